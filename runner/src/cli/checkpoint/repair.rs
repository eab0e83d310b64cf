//! Formats what of a ledger is damaged and mended.

use std::{fmt::Write as _, path::Path};

use crate::checkpoint::Survey;

/// Formats what mending a file would do.
pub(super) fn planned(survey: &Survey) -> String {
    if survey.is_clean() {
        return clean(survey);
    }
    let mut text = found(survey, "would start");
    text.push_str("nothing is changed; `--yes` mends the file after a copy of it is made\n");
    text
}

/// Formats what was mended. The copy is of the damaged file.
pub(super) fn done(survey: &Survey, copy: Option<&Path>) -> String {
    let Some(copy) = copy else {
        return clean(survey);
    };
    let mut text = found(survey, "starts");
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        text,
        "mended; a copy of the damaged file is {}",
        copy.display()
    );
    text
}

fn clean(survey: &Survey) -> String {
    match &survey.image {
        Some(image) => format!("nothing to mend: checkpoint {} is intact\n", image.number),
        None => "nothing to mend: the file holds no checkpoint\n".to_owned(),
    }
}

fn found(survey: &Survey, starts: &str) -> String {
    let mut text = String::new();
    if !survey.is_intact {
        let holds = match &survey.image {
            Some(image) => format!("checkpoint {}", image.number),
            None => "no checkpoint".to_owned(),
        };
        let _ = writeln!(
            text,
            "the structure of the file is damaged; mended, it holds {holds}"
        );
    }
    for (stage, reason) in &survey.unreadable {
        let _ = writeln!(
            text,
            "{stage}: its state cannot be read ({reason}); it {starts} with empty state"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::StageId;

    #[test]
    fn damage_is_named_by_stage() {
        let mut survey = Survey {
            image: None,
            is_intact: true,
            unreadable: Vec::new(),
        };
        assert_eq!(
            planned(&survey),
            "nothing to mend: the file holds no checkpoint\n"
        );
        survey.is_intact = false;
        survey.unreadable = vec![(StageId::new("operator count"), "cut off".to_owned())];
        assert_eq!(
            planned(&survey),
            "the structure of the file is damaged; mended, it holds no checkpoint\n\
             operator count: its state cannot be read (cut off); it would start with empty state\n\
             nothing is changed; `--yes` mends the file after a copy of it is made\n"
        );
        let text = done(&survey, Some(Path::new("copy")));
        assert!(
            text.contains("it starts with empty state\nmended; a copy"),
            "{text}"
        );
    }
}
