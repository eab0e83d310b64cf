//! [`Ledger`]: keeps the last checkpoint of a node in a file. Each checkpoint is one synced transaction, so a process
//! that is killed at any moment, or a machine that loses power, leaves the last complete one.
//!
//! The file is a redb database with two tables. `checkpoint` holds one JSON text under `last`: the format version, the
//! generation, the origin of the checkpoint, and the note of each stage. `state` holds the state of each
//! operator instance in postcard, under the stage and the number of the instance; a state that has not changed is not
//! written again. A transaction is synced in two phases, so that damage to the last one is found and never hidden by a
//! return to the one before.

mod error;
mod file;
mod found;
mod guard;
mod repair;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

pub use self::{
    error::LedgerError,
    guard::is_guarded,
    repair::{Discarded, Survey},
};
use self::{
    found::{Found, read_states},
    guard::guarded,
};
use super::{Image, InstanceImage, StageId, StageImage, Stages};

/// The version of the format that this program writes. It reads this one only.
pub const FORMAT: u32 = 1;
/// The name of the file in the folder of the checkpoints.
const FILE_NAME: &str = "ledger.redb";
const CHECKPOINT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("checkpoint");
const STATE: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("state");
const LAST: &str = "last";

/// The part of the JSON text that every format has.
#[derive(Debug, Deserialize)]
struct Version {
    format: u32,
}

/// The JSON text of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Header<'a> {
    format: u32,
    generation: u64,
    checkpoint: Origin,
    stages: BTreeMap<StageId, Entry<'a>>,
}

/// Where a checkpoint comes from.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Origin {
    /// 0 if no checkpoint is complete.
    number: u64,
    generation: u64,
    taken_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry<'a> {
    /// Borrowed for writing: it contains the states, which are not part of the text.
    #[serde(flatten)]
    image: Cow<'a, StageImage>,
    /// The number of states in the other table.
    #[serde(default, skip_serializing_if = "is_zero")]
    instances: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The file with the last checkpoint of a node. One process at a time has it open.
pub struct Ledger {
    folder: PathBuf,
    database: Database,
    /// The number of this process among those that have used the file, from 1.
    generation: u64,
    /// The origin of the last checkpoint.
    origin: Origin,
    /// The hashes of the states in the file.
    written: HashMap<(StageId, u32), blake3::Hash>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("folder", &self.folder)
            .field("generation", &self.generation)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger in a folder, which is created if it is missing, and returns it with the last checkpoint. Raises
    /// the generation. Blocks.
    ///
    /// # Errors
    /// The folder or file cannot be used, has another format, or is damaged. Nothing is changed then.
    pub fn open(folder: &Path) -> Result<(Self, Option<Image>), LedgerError> {
        guarded(folder, || Self::of(folder, file::open_or_create(folder)?))
    }

    /// Returns the last checkpoint in a folder, without using the ledger. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, has another format, is damaged, or is in use.
    pub fn read(folder: &Path) -> Result<Option<Image>, LedgerError> {
        guarded(folder, || {
            let Some(ledger) = Self::existing(folder)? else {
                return Ok(None);
            };
            Ok(ledger.last()?.and_then(|(_, image)| image))
        })
    }

    /// Returns the size of the file in a folder; `None` if there is none. Blocks.
    pub fn file_size(folder: &Path) -> Option<u64> {
        let found = std::fs::metadata(folder.join(FILE_NAME)).ok()?;
        found.is_file().then_some(found.len())
    }

    fn existing(folder: &Path) -> Result<Option<Self>, LedgerError> {
        if !folder.join(FILE_NAME).exists() {
            return Ok(None);
        }
        let database = file::open(folder)?;
        Ok(Some(Self::without_content(folder, database)))
    }

    fn without_content(folder: &Path, database: Database) -> Self {
        Self {
            folder: folder.to_owned(),
            database,
            generation: 0,
            origin: Origin::default(),
            written: HashMap::new(),
        }
    }

    /// Renames the file of the checkpoints in a folder, for one that cannot be read, and returns its new path. Blocks.
    ///
    /// # Errors
    /// It cannot be renamed.
    fn set_aside(folder: &Path) -> Result<PathBuf, LedgerError> {
        let to = folder.join(format!("{FILE_NAME}.discarded"));
        let renamed = std::fs::rename(folder.join(FILE_NAME), &to);
        renamed.map(|()| to).map_err(|error| LedgerError::Io {
            folder: folder.to_owned(),
            reason: error.to_string(),
        })
    }

    fn of(folder: &Path, database: Database) -> Result<(Self, Option<Image>), LedgerError> {
        let mut ledger = Self::without_content(folder, database);
        let last = ledger.last()?;
        if let Some((header, image)) = &last {
            (ledger.generation, ledger.origin) = *header;
            for (stage, instances) in image.iter().flat_map(|image| operators(&image.stages)) {
                for (index, instance) in (0..).zip(instances) {
                    let key = (stage.clone(), index);
                    ledger.written.insert(key, blake3::hash(&encode(instance)));
                }
            }
        }
        ledger.generation += 1;
        let image = last.and_then(|(_, image)| image);
        let stages = image.as_ref().map(|image| &image.stages);
        ledger.write(ledger.origin, stages.unwrap_or(&BTreeMap::new()))?;
        Ok((ledger, image))
    }

    /// Returns the number of this process among those that have used the ledger, from 1.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the number of the last checkpoint; 0 if there is none.
    pub const fn number(&self) -> u64 {
        self.origin.number
    }

    /// Makes these images the last checkpoint, and syncs it. Blocks.
    ///
    /// # Errors
    /// The file cannot be written. The previous checkpoint stays the last one.
    pub fn commit(&mut self, number: u64, stages: &Stages) -> Result<(), LedgerError> {
        let origin = Origin {
            number,
            generation: self.generation,
            taken_ms: now_ms(),
        };
        self.write(origin, stages)
    }

    /// Adds stages that have done nothing yet to the last checkpoint. Those in `added` count if it does not hold them, and
    /// those in `replaced` in any case. The checkpoint keeps its number and time. Without one, this is the first. Blocks.
    ///
    /// # Errors
    /// The file cannot be read or written. The checkpoint stays as it is.
    pub fn add(&mut self, added: Stages, replaced: Stages) -> Result<(), LedgerError> {
        let last = self.last()?.and_then(|(_, image)| image);
        let mut all = added;
        let Some(last) = last else {
            all.extend(replaced);
            return self.commit(1, &all);
        };
        if replaced.is_empty() && all.keys().all(|stage| last.stages.contains_key(stage)) {
            return Ok(());
        }
        all.extend(last.stages);
        all.extend(replaced);
        self.write(self.origin, &all)
    }

    /// Makes a checkpoint that was exported the last one. It keeps its number and time. Blocks.
    ///
    /// # Errors
    /// The file cannot be written. The previous checkpoint stays the last one.
    pub fn import(&mut self, image: &Image) -> Result<(), LedgerError> {
        let taken = image.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin = Origin {
            number: image.number,
            generation: image.generation,
            taken_ms: u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
        };
        self.write(origin, &image.stages)
    }

    /// Discards the last checkpoint. Blocks.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn clear(&mut self) -> Result<(), LedgerError> {
        self.write(Origin::default(), &BTreeMap::new())
    }

    fn write(&mut self, origin: Origin, stages: &Stages) -> Result<(), LedgerError> {
        let mut written = HashMap::new();
        for (stage, instances) in operators(stages) {
            for (index, instance) in (0..).zip(instances) {
                let bytes = encode(instance);
                let hash = blake3::hash(&bytes);
                written.insert((stage.clone(), index), (hash, bytes));
            }
        }
        let header = Header {
            format: FORMAT,
            generation: self.generation,
            checkpoint: origin,
            stages: stages.iter().map(entry).collect(),
        };
        let is_stale = |(key, _): &(&(StageId, u32), &blake3::Hash)| !written.contains_key(*key);
        let stale: Vec<_> = self
            .written
            .iter()
            .filter(is_stale)
            .map(|(key, _)| key.clone())
            .collect();
        self.transact(&header, &written, &stale)
            .map_err(|error| self.io(&error))?;
        self.written = written
            .into_iter()
            .map(|(key, (hash, _))| (key, hash))
            .collect();
        self.origin = origin;
        Ok(())
    }

    fn transact(
        &self,
        header: &Header<'_>,
        states: &HashMap<(StageId, u32), (blake3::Hash, Vec<u8>)>,
        stale: &[(StageId, u32)],
    ) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_two_phase_commit(true);
        {
            let mut table = transaction.open_table(STATE)?;
            for ((stage, index), (hash, bytes)) in states {
                let key = (stage.clone(), *index);
                if self.written.get(&key) != Some(hash) {
                    table.insert((stage.as_str(), *index), bytes.as_slice())?;
                }
            }
            for (stage, index) in stale {
                table.remove((stage.as_str(), *index))?;
            }
            let text = serde_json::to_vec(header)
                .map_err(|error| redb::Error::Corrupted(error.to_string()))?;
            let mut table = transaction.open_table(CHECKPOINT)?;
            table.insert(LAST, text.as_slice())?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Returns the generation of the last transaction and the origin of the checkpoint, and the checkpoint if there is
    /// one.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn last(&self) -> Result<Option<((u64, Origin), Option<Image>)>, LedgerError> {
        let Some(found) = self.found()? else {
            return Ok(None);
        };
        if let Some((stage, reason)) = found.unreadable.first() {
            return Err(self.damaged(format!("the state of {stage}: {reason}")));
        }
        Ok(Some(((found.generation, found.origin), found.image())))
    }

    /// Returns what the file holds, also if the states of some stages cannot be read.
    fn found(&self) -> Result<Option<Found>, LedgerError> {
        let Some((text, saved)) = self.content().map_err(|error| self.io(&error))? else {
            return Ok(None);
        };
        let unreadable = |error: serde_json::Error| self.damaged(error.to_string());
        let Version { format } = serde_json::from_slice(&text).map_err(unreadable)?;
        if format != FORMAT {
            return Err(LedgerError::Format {
                folder: self.folder.clone(),
                found: format,
            });
        }
        let header: Header<'_> = serde_json::from_slice(&text).map_err(unreadable)?;
        let mut found = Found {
            generation: header.generation,
            origin: header.checkpoint,
            stages: BTreeMap::new(),
            unreadable: Vec::new(),
            keys: Vec::new(),
        };
        for (stage, entry) in header.stages {
            let mut image = entry.image.into_owned();
            let Err(reason) = read_states(&stage, &mut image, entry.instances, &saved) else {
                found.stages.insert(stage, image);
                continue;
            };
            found.unreadable.push((stage, reason));
        }
        let keys = saved.into_keys();
        found.keys = keys
            .map(|(stage, index)| (StageId::new(stage), index))
            .collect();
        Ok(Some(found))
    }

    fn damaged(&self, reason: String) -> LedgerError {
        LedgerError::Damaged {
            folder: self.folder.clone(),
            reason,
        }
    }

    /// Returns the text of the last checkpoint, and the states.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn content(&self) -> Result<Option<(Vec<u8>, HashMap<(String, u32), Vec<u8>>)>, redb::Error> {
        let transaction = self.database.begin_read()?;
        let table = match transaction.open_table(CHECKPOINT) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(text) = table.get(LAST)? else {
            return Ok(None);
        };
        let mut states = HashMap::new();
        for entry in transaction.open_table(STATE)?.iter()? {
            let (key, value) = entry?;
            let (stage, index) = key.value();
            states.insert((stage.to_owned(), index), value.value().to_vec());
        }
        Ok(Some((text.value().to_vec(), states)))
    }

    fn io(&self, error: &redb::Error) -> LedgerError {
        match error {
            redb::Error::Corrupted(reason) => LedgerError::Damaged {
                folder: self.folder.clone(),
                reason: reason.clone(),
            },
            error => LedgerError::Io {
                folder: self.folder.clone(),
                reason: error.to_string(),
            },
        }
    }
}

/// Returns the operators among the stages, with their instances.
fn operators(stages: &Stages) -> impl Iterator<Item = (&StageId, &Vec<InstanceImage>)> {
    stages.iter().filter_map(|(stage, image)| match image {
        StageImage::Operator { instances, .. } => Some((stage, instances)),
        _ => None,
    })
}

fn entry<'a>((stage, image): (&StageId, &'a StageImage)) -> (StageId, Entry<'a>) {
    let instances = match image {
        StageImage::Operator { instances, .. } => instances.len(),
        _ => 0,
    };
    let entry = Entry {
        image: Cow::Borrowed(image),
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
    };
    (stage.clone(), entry)
}

fn encode(instance: &InstanceImage) -> Vec<u8> {
    postcard::to_allocvec(instance).unwrap_or_default()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod simulated_disk;
#[cfg(test)]
mod tests;
