//! [`Found`]: the content of a ledger, as far as it can be read.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, UNIX_EPOCH},
};

use super::Origin;
use crate::checkpoint::{Image, StageId, StageImage};

/// The content of a file.
pub(super) struct Found {
    pub(super) generation: u64,
    pub(super) origin: Origin,
    pub(super) stages: BTreeMap<StageId, StageImage>,
    /// The stages whose state cannot be read, with the reason.
    pub(super) unreadable: Vec<(StageId, String)>,
    /// The keys of all states.
    pub(super) keys: Vec<(StageId, u32)>,
}

impl Found {
    /// Returns the checkpoint, if there is one.
    pub(super) fn image(&self) -> Option<Image> {
        (self.origin.number > 0).then(|| Image {
            number: self.origin.number,
            generation: self.origin.generation,
            taken: UNIX_EPOCH + Duration::from_millis(self.origin.taken_ms),
            stages: self.stages.clone(),
        })
    }
}

/// Adds the states of an operator's instances to its image.
pub(super) fn read_states(
    stage: &StageId,
    image: &mut StageImage,
    count: u32,
    saved: &HashMap<(String, u32), Vec<u8>>,
) -> Result<(), String> {
    let StageImage::Operator { instances, .. } = image else {
        return Ok(());
    };
    for index in 0..count {
        let bytes = saved.get(&(stage.as_str().to_owned(), index));
        let bytes = bytes.ok_or_else(|| format!("instance {index} has none"))?;
        instances.push(postcard::from_bytes(bytes).map_err(|error| error.to_string())?);
    }
    Ok(())
}
