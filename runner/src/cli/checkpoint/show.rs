//! Formats a checkpoint.

use std::{fmt::Write as _, time::SystemTime};

use crate::{
    checkpoint::{FORMAT, Image, StageImage},
    cli::control::figures::{bytes, span},
};

/// Returns the age of a checkpoint in milliseconds.
pub(super) fn age_ms(image: &Image) -> u64 {
    let age = SystemTime::now().duration_since(image.taken);
    u64::try_from(age.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// Formats a checkpoint: a heading, and a line for each stage.
pub(super) fn shown(image: &Image) -> String {
    let age = age_ms(image);
    let mut text = format!(
        "checkpoint {}, taken {} ago by process {}\n",
        image.number,
        span(age),
        image.generation
    );
    let width = image.stages.keys().map(|stage| stage.as_str().len()).max();
    for (stage, image) in &image.stages {
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "  {:<1$}  {2}",
            stage.as_str(),
            width.unwrap_or(0),
            in_words(image)
        );
    }
    text
}

fn in_words(image: &StageImage) -> String {
    let ended = if image.is_ended() { ", ended" } else { "" };
    let what = match image {
        StageImage::Source { position: None, .. } => "cannot be read again".to_owned(),
        StageImage::Source {
            position: Some(position),
            sent: 0,
            ..
        } => position.to_string(),
        StageImage::Source {
            position: Some(position),
            sent,
            ..
        } => {
            format!("{sent} records after {position}")
        }
        StageImage::Operator { instances, .. } => {
            let size = bytes(image.state_bytes());
            let entries: usize = instances
                .iter()
                .map(|instance| instance.entries.len())
                .sum();
            let s = if instances.len() == 1 { "" } else { "s" };
            format!("{} instance{s}, {entries} entries, {size}", instances.len())
        }
        StageImage::Log { position, .. } => format!("{position} records in its log"),
        StageImage::Sink { token: None, .. } => "cannot take back what it has written".to_owned(),
        StageImage::Sink {
            token: Some(token), ..
        } => token.to_string(),
    };
    what + ended
}

/// Returns a checkpoint as JSON, with the size of each state instead of its content.
pub(super) fn described(image: &Image) -> serde_json::Value {
    let stages = image.stages.iter().map(|(stage, image)| {
        let mut value = serde_json::to_value(image).unwrap_or_default();
        if let (StageImage::Operator { instances, .. }, Some(value)) =
            (image, value.as_object_mut())
        {
            value.insert("instances".to_owned(), instances.len().into());
            value.insert("state_bytes".to_owned(), image.state_bytes().into());
        }
        (stage.as_str().to_owned(), value)
    });
    let taken = image
        .taken
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    serde_json::json!({
        "number": image.number,
        "process": image.generation,
        "taken_ms": u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
        "format": FORMAT,
        "stages": stages.collect::<serde_json::Map<_, _>>(),
    })
}
