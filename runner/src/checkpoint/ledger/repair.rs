//! Finds and mends damage of a ledger.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use redb::{DatabaseError, ReadOnlyDatabase};

use super::{FILE_NAME, Ledger, LedgerError, guarded};
use crate::checkpoint::{Image, StageId};

/// What a ledger holds, as far as it can be read.
#[derive(Debug)]
pub struct Survey {
    /// The last checkpoint, without the stages whose state cannot be read; `None` if there is none.
    pub image: Option<Image>,
    /// True if the structure of the file is as it was written.
    pub is_intact: bool,
    /// The operators whose state cannot be read, with the reason. They start with empty state once the file is mended.
    pub unreadable: Vec<(StageId, String)>,
}

impl Survey {
    /// Returns whether nothing has to be mended.
    pub const fn is_clean(&self) -> bool {
        self.is_intact && self.unreadable.is_empty()
    }
}

/// What was discarded of a folder.
#[derive(Debug, PartialEq, Eq)]
pub enum Discarded {
    /// There was no checkpoint.
    Nothing,
    /// The checkpoint with this number.
    Checkpoint(u64),
    /// A file that cannot be read. It was renamed.
    Unreadable {
        /// Its new path.
        renamed: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl Ledger {
    /// Returns the last checkpoint in a folder, if the whole file is as it was written. Changes nothing. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, has another format, is damaged, or is in use.
    pub fn check(folder: &Path) -> Result<Option<Image>, LedgerError> {
        let Some(survey) = Self::survey(folder)? else {
            return Ok(None);
        };
        let reason = match survey.unreadable.first() {
            None if survey.is_intact => return Ok(survey.image),
            None => "its structure is not what was written".to_owned(),
            Some((stage, reason)) => format!("the state of {stage}: {reason}"),
        };
        Err(LedgerError::Damaged {
            folder: folder.to_owned(),
            reason,
        })
    }

    /// Examines a copy of the file in a folder. Changes nothing. Returns `None` if there is no file. Blocks.
    ///
    /// # Errors
    /// The file is in use, or it cannot be mended.
    pub fn survey(folder: &Path) -> Result<Option<Survey>, LedgerError> {
        let file = folder.join(FILE_NAME);
        if !file.exists() {
            return Ok(None);
        }
        // No process writes to the file while this has it open. A file that it cannot read is mended in the copy.
        let open = guarded(folder, || match ReadOnlyDatabase::open(&file) {
            Err(DatabaseError::DatabaseAlreadyOpen) => Err(LedgerError::InUse {
                folder: folder.to_owned(),
            }),
            open => Ok(open.ok()),
        });
        if let Err(error @ LedgerError::InUse { .. }) = open {
            return Err(error);
        }
        let failed = |error: io::Error| LedgerError::Io {
            folder: folder.to_owned(),
            reason: error.to_string(),
        };
        let copy = tempfile::tempdir_in(folder).map_err(failed)?;
        fs::copy(&file, copy.path().join(FILE_NAME)).map_err(failed)?;
        drop(open);
        let named = |error: LedgerError| error.of_folder(folder);
        let mended = guarded(copy.path(), || Self::mended(copy.path()));
        let (_, survey) = mended.map_err(named)?;
        Ok(Some(survey))
    }

    /// Mends the file in a folder, after a copy of it is made. Returns what was found, and the path of the copy if
    /// anything was mended. Blocks.
    ///
    /// # Errors
    /// The file is in use, or it cannot be copied or mended.
    pub fn repair(folder: &Path) -> Result<Option<(Survey, Option<PathBuf>)>, LedgerError> {
        let Some(survey) = Self::survey(folder)? else {
            return Ok(None);
        };
        if survey.is_clean() {
            return Ok(Some((survey, None)));
        }
        let copy = folder.join(format!("{FILE_NAME}.damaged"));
        fs::copy(folder.join(FILE_NAME), &copy).map_err(|error| LedgerError::Io {
            folder: folder.to_owned(),
            reason: error.to_string(),
        })?;
        let (mut ledger, survey) = guarded(folder, || Self::mended(folder))?;
        if let Some(image) = survey
            .image
            .as_ref()
            .filter(|_| !survey.unreadable.is_empty())
        {
            ledger.write(ledger.origin, &image.stages)?;
        }
        Ok(Some((survey, Some(copy))))
    }

    /// Mends the structure of the file in a folder, and reads what it holds.
    fn mended(folder: &Path) -> Result<(Self, Survey), LedgerError> {
        let missing = || LedgerError::Damaged {
            folder: folder.to_owned(),
            reason: "the file is missing".to_owned(),
        };
        let mut ledger = Self::existing(folder)?.ok_or_else(missing)?;
        let checked = ledger.database.check_integrity();
        let is_intact = checked.map_err(|error| LedgerError::Damaged {
            folder: folder.to_owned(),
            reason: error.to_string(),
        })?;
        let (mut image, mut unreadable) = (None, Vec::new());
        if let Some(found) = ledger.found()? {
            (ledger.generation, ledger.origin) = (found.generation, found.origin);
            image = found.image();
            unreadable = found.unreadable;
            // A hash that no state has, so that a commit writes every state and removes the others.
            let keys = found.keys.into_iter();
            ledger.written = keys
                .map(|key| (key, blake3::Hash::from_bytes([0; 32])))
                .collect();
        }
        Ok((
            ledger,
            Survey {
                image,
                is_intact,
                unreadable,
            },
        ))
    }

    /// Discards the checkpoints in a folder: one that can be read is cleared, and a file that cannot be is renamed.
    /// Blocks.
    ///
    /// # Errors
    /// The file is in use, or cannot be written or renamed.
    pub fn discard(folder: &Path) -> Result<Discarded, LedgerError> {
        if !folder.join(FILE_NAME).exists() {
            return Ok(Discarded::Nothing);
        }
        match Self::open(folder) {
            Ok((_, None)) => Ok(Discarded::Nothing),
            Ok((mut ledger, Some(image))) => {
                ledger.clear()?;
                Ok(Discarded::Checkpoint(image.number))
            }
            Err(error @ LedgerError::InUse { .. }) => Err(error),
            Err(error) => Ok(Discarded::Unreadable {
                renamed: Self::set_aside(folder)?,
                reason: error.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::checkpoint::{InstanceImage, StageImage};

    /// Returns two operators with a state, and a sink.
    fn stages(value: &str) -> BTreeMap<StageId, StageImage> {
        let operator = |value: &str| StageImage::Operator {
            read: Vec::new(),
            ended_ports: Vec::new(),
            key: None,
            component: "ab".to_owned(),
            instances: vec![InstanceImage {
                version: 1,
                kept: 1,
                entries: vec![(None, value.as_bytes().to_vec())],
            }],
            ended: false,
        };
        let sink = StageImage::Sink {
            read: Vec::new(),
            token: Some(7.into()),
            ended: false,
        };
        BTreeMap::from([
            (StageId::new("operator one"), operator(value)),
            (StageId::new("operator two"), operator("other")),
            (StageId::new("consumer out"), sink),
        ])
    }

    fn committed(folder: &Path) {
        let (mut ledger, _) = Ledger::open(folder).unwrap();
        ledger.commit(5, &stages("kept")).unwrap();
    }

    fn damage_state(folder: &Path, stage: &str) {
        let (ledger, _) = Ledger::open(folder).unwrap();
        let transaction = ledger.database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(super::super::STATE).unwrap();
            table.insert((stage, 0), [0xff; 3].as_slice()).unwrap();
        }
        transaction.commit().unwrap();
    }

    #[test]
    fn an_intact_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Ledger::survey(folder.path()).unwrap().is_none());
        assert!(Ledger::repair(folder.path()).unwrap().is_none());
        committed(folder.path());
        let before = fs::read(folder.path().join(FILE_NAME)).unwrap();
        let (survey, copy) = Ledger::repair(folder.path()).unwrap().unwrap();
        assert!(survey.is_clean() && copy.is_none(), "{survey:?}");
        assert_eq!(survey.image.unwrap().stages, stages("kept"));
        let after = fs::read(folder.path().join(FILE_NAME)).unwrap();
        assert!(before == after, "the file was written");
    }

    #[test]
    fn a_state_that_cannot_be_read_is_named_and_its_stage_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        committed(folder.path());
        damage_state(folder.path(), "operator one");
        assert!(Ledger::open(folder.path()).is_err(), "it cannot be used");
        let survey = Ledger::survey(folder.path()).unwrap().unwrap();
        let names: Vec<_> = survey
            .unreadable
            .iter()
            .map(|(stage, _)| stage.as_str())
            .collect();
        assert_eq!(names, ["operator one"]);
        assert!(
            Ledger::open(folder.path()).is_err(),
            "a survey changes nothing"
        );

        let (_, copy) = Ledger::repair(folder.path()).unwrap().unwrap();
        assert!(copy.is_some_and(|copy| copy.exists()));
        let (ledger, image) = Ledger::open(folder.path()).unwrap();
        let mut rest = stages("kept");
        rest.remove(&StageId::new("operator one"));
        let image = image.unwrap();
        assert_eq!((image.number, image.stages), (5, rest));
        assert_eq!(
            ledger.content().unwrap().unwrap().1.len(),
            1,
            "its state is gone"
        );
    }

    #[test]
    fn a_file_in_use_is_not_examined() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        for refused in [
            Ledger::survey(folder.path()).map(|_| ()),
            Ledger::repair(folder.path()).map(|_| ()),
            Ledger::discard(folder.path()).map(|_| ()),
        ] {
            assert!(
                matches!(refused, Err(LedgerError::InUse { .. })),
                "{refused:?}"
            );
        }
        drop(ledger);
    }

    #[test]
    fn what_is_no_ledger_is_refused_and_renamed_when_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAME);
        assert_eq!(Ledger::discard(folder.path()).unwrap(), Discarded::Nothing);
        assert!(!file.exists(), "nothing is created");
        fs::write(&file, "no database").unwrap();
        let refused = Ledger::survey(folder.path()).unwrap_err().to_string();
        let shown = folder.path().display().to_string();
        assert!(refused.contains(&format!("in {shown} ")), "{refused}");
        let discarded = Ledger::discard(folder.path()).unwrap();
        let Discarded::Unreadable { renamed, .. } = discarded else {
            panic!("{discarded:?}");
        };
        assert_eq!(fs::read(renamed).unwrap(), b"no database");
        committed(folder.path());
        assert_eq!(
            Ledger::discard(folder.path()).unwrap(),
            Discarded::Checkpoint(5)
        );
    }

    #[test]
    fn a_bit_flip_anywhere_is_found_or_harmless() {
        let folder = tempfile::tempdir().unwrap();
        committed(folder.path());
        let file = folder.path().join(FILE_NAME);
        let intact = fs::read(&file).unwrap();
        let marker = intact
            .windows(4)
            .position(|bytes| bytes == b"kept")
            .unwrap();
        // The content of a state, and places all over the file.
        let places = (0..intact.len()).step_by(intact.len() / 64).chain([marker]);
        for at in places {
            let mut bytes = intact.clone();
            bytes[at] ^= 0x10;
            fs::write(&file, bytes).unwrap();
            if let Ok(survey) = Ledger::survey(folder.path()) {
                let stages = survey.unwrap().image.map(|image| image.stages);
                let is_old = stages
                    .as_ref()
                    .is_none_or(|found| *found == self::stages("kept"));
                assert!(is_old, "byte {at}: another state is taken for good");
            }
        }
    }
}
