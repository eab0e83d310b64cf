//! The portable form of a checkpoint: one file that another machine can read. No I/O.
//!
//! A line with the format, the length of a JSON text as 8 bytes in big-endian order, the text, the states of operator
//! instances in postcard, and the blake3 hash of all before it. The text holds the checkpoint without the states, and
//! the length of each state.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{Image, InstanceImage, StageId, StageImage};

/// The first line, with the version of the format.
const MAGIC: &[u8] = b"mosaik-runner checkpoint 1\n";
const HASH_BYTES: usize = 32;

/// The reason that bytes are not a portable checkpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotPortable {
    /// They begin with something else.
    #[error("it is not an exported checkpoint of this version")]
    Foreign,
    /// They are cut off or changed.
    #[error("it is damaged: its content does not match its hash")]
    Damaged,
    /// They match their hash, and cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    number: u64,
    generation: u64,
    taken_ms: u64,
    stages: BTreeMap<StageId, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    image: StageImage,
    /// The length of each state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    states: Vec<usize>,
}

impl Image {
    /// Returns the portable form.
    ///
    /// # Errors
    /// A position or a state cannot be encoded.
    pub fn to_portable(&self) -> Result<Vec<u8>, NotPortable> {
        let unreadable = |reason: String| NotPortable::Unreadable(reason);
        let mut encoded = Vec::new();
        let mut stages = BTreeMap::new();
        for (stage, image) in &self.stages {
            let mut lengths = Vec::new();
            if let StageImage::Operator { instances, .. } = image {
                for instance in instances {
                    let state = postcard::to_allocvec(instance)
                        .map_err(|error| unreadable(error.to_string()))?;
                    lengths.push(state.len());
                    encoded.extend(state);
                }
            }
            let entry = Entry {
                image: image.clone(),
                states: lengths,
            };
            stages.insert(stage.clone(), entry);
        }
        let taken = self.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = serde_json::to_vec(&Header {
            number: self.number,
            generation: self.generation,
            taken_ms: u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
            stages,
        });
        let header = header.map_err(|error| unreadable(error.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((header.len() as u64).to_be_bytes());
        bytes.extend(header);
        bytes.extend(encoded);
        let hash = blake3::hash(&bytes);
        bytes.extend(hash.as_bytes());
        Ok(bytes)
    }

    /// Reads the portable form.
    ///
    /// # Errors
    /// The bytes are not a portable checkpoint, or are damaged.
    pub fn from_portable(bytes: &[u8]) -> Result<Self, NotPortable> {
        if !bytes.starts_with(MAGIC) {
            return Err(NotPortable::Foreign);
        }
        let content = bytes.len().checked_sub(HASH_BYTES);
        let (content, hash) = bytes
            .split_at_checked(content.ok_or(NotPortable::Damaged)?)
            .ok_or(NotPortable::Damaged)?;
        if blake3::hash(content).as_bytes() != hash {
            return Err(NotPortable::Damaged);
        }
        let unreadable = |reason: String| NotPortable::Unreadable(reason);
        let short = || NotPortable::Unreadable("it is too short".to_owned());
        let content = &content[MAGIC.len()..];
        let (length, content) = content.split_first_chunk().ok_or_else(short)?;
        let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| short())?;
        let (header, mut rest) = content.split_at_checked(length).ok_or_else(short)?;
        let header: Header =
            serde_json::from_slice(header).map_err(|error| unreadable(error.to_string()))?;
        let mut stages = BTreeMap::new();
        for (
            stage,
            Entry {
                mut image,
                states: lengths,
            },
        ) in header.stages
        {
            if let StageImage::Operator { instances, .. } = &mut image {
                for length in lengths {
                    let (state, after) = rest.split_at_checked(length).ok_or_else(short)?;
                    rest = after;
                    let state: InstanceImage = postcard::from_bytes(state)
                        .map_err(|error| unreadable(format!("the state of {stage}: {error}")))?;
                    instances.push(state);
                }
            }
            stages.insert(stage, image);
        }
        Ok(Self {
            number: header.number,
            generation: header.generation,
            taken: UNIX_EPOCH + Duration::from_millis(header.taken_ms),
            stages,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(states: &[(u32, Vec<u8>)]) -> Image {
        let instances = states.iter().map(|(version, value)| InstanceImage {
            version: *version,
            kept: 1,
            entries: vec![(Some(value.clone()), value.clone()), (None, Vec::new())],
        });
        let operator = StageImage::Operator {
            read: Vec::new(),
            ended_ports: vec![1],
            key: Some(vec!["id".to_owned()]),
            component: "ab".to_owned(),
            instances: instances.collect(),
            ended: false,
        };
        let source = StageImage::Source {
            position: Some(serde_json::json!({ "offset": 12 })),
            sent: 3,
            ended: true,
        };
        Image {
            number: 7,
            generation: 2,
            taken: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            stages: BTreeMap::from([
                (StageId::new("operator a"), operator.clone()),
                (StageId::new("operator b"), operator),
                (StageId::new("producer in"), source),
            ]),
        }
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(Image::from_portable(b""), Err(NotPortable::Foreign));
        assert_eq!(Image::from_portable(b"{}"), Err(NotPortable::Foreign));
        assert_eq!(Image::from_portable(MAGIC), Err(NotPortable::Damaged));
        let mut hashed = MAGIC.to_vec();
        hashed.extend([0xff; 8]);
        hashed.extend(blake3::hash(&hashed).as_bytes());
        assert!(matches!(
            Image::from_portable(&hashed),
            Err(NotPortable::Unreadable(_))
        ));
    }

    proptest! {
        #[test]
        fn a_checkpoint_is_read_back_as_it_was(
            states in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..4),
        ) {
            let image = image(&states);
            let bytes = image.to_portable().unwrap();
            prop_assert_eq!(Image::from_portable(&bytes), Ok(image));
        }

        #[test]
        fn a_cut_or_changed_file_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let bytes = image(&[(1, b"state".to_vec())]).to_portable().unwrap();
            let at = at.index(bytes.len());
            prop_assert!(Image::from_portable(&bytes[..at]).is_err());
            let mut changed = bytes;
            changed[at] ^= 1 << bit;
            prop_assert!(Image::from_portable(&changed).is_err());
        }
    }
}
