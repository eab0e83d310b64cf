//! Creates and opens the file of a ledger. Blocks.
//!
//! A new file gets its name only once it is complete and synced, so an empty or a short file was damaged. Opening checks
//! the checksum of every page.

use std::{fs, io, path::Path};

use redb::{Builder, Database, DatabaseError, StorageError};

use super::{FILE_NAME, LedgerError};

/// Opens the database in a folder. Both are created if they are missing.
pub(super) fn open_or_create(folder: &Path) -> Result<Database, LedgerError> {
    let path = folder.join(FILE_NAME);
    if !path.exists() {
        create_folder(folder).map_err(|error| io_error(folder, &error))?;
        create(folder, &path)?;
    }
    open(folder)
}

/// Opens the database in a folder.
pub(super) fn open(folder: &Path) -> Result<Database, LedgerError> {
    let opened = builder().open(folder.join(FILE_NAME));
    opened.map_err(|error| unopened(folder, error))
}

/// Returns the settings of the database.
pub(super) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(true);
    builder
}

/// Returns the error of a database that could not be opened.
pub(super) fn unopened(folder: &Path, error: DatabaseError) -> LedgerError {
    let reason = match error {
        DatabaseError::DatabaseAlreadyOpen => {
            return LedgerError::InUse {
                folder: folder.to_owned(),
            };
        }
        DatabaseError::Storage(StorageError::Corrupted(reason)) => reason,
        DatabaseError::Storage(StorageError::Io(error)) if is_damage(&error) => {
            "its file is not that of a ledger, or was cut off".to_owned()
        }
        error @ (DatabaseError::UpgradeRequired(_) | DatabaseError::RepairAborted) => {
            error.to_string()
        }
        error => {
            return LedgerError::Io {
                folder: folder.to_owned(),
                reason: error.to_string(),
            };
        }
    };
    LedgerError::Damaged {
        folder: folder.to_owned(),
        reason,
    }
}

/// Returns true if an error is due to the content of the file.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// Creates an empty database, and gives it its name once it is complete.
fn create(folder: &Path, path: &Path) -> Result<(), LedgerError> {
    let failed = |error: &io::Error| io_error(folder, error);
    let new = folder.join(format!("{FILE_NAME}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&error)),
        _ => {}
    }
    let created = builder().create(&new).and_then(Database::close);
    created.map_err(|error| unopened(folder, error))?;
    // A link does not replace the file that another process has created meanwhile.
    match fs::hard_link(&new, path) {
        Ok(()) => fs::remove_file(&new).map_err(|error| failed(&error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // This file system has no links.
        Err(_) => fs::rename(&new, path).map_err(|error| failed(&error))?,
    }
    sync_folder(folder).map_err(|error| failed(&error))
}

/// Creates a folder, so that its name and those of its missing parents are durable.
fn create_folder(folder: &Path) -> io::Result<()> {
    let missing = folder.ancestors().take_while(|folder| !folder.exists());
    let parents: Vec<_> = missing.filter_map(Path::parent).collect();
    fs::create_dir_all(folder)?;
    parents.into_iter().try_for_each(sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let is_here = folder.as_os_str().is_empty();
    fs::File::open(if is_here { Path::new(".") } else { folder })?.sync_all()
}

fn io_error(folder: &Path, error: &io::Error) -> LedgerError {
    LedgerError::Io {
        folder: folder.to_owned(),
        reason: error.to_string(),
    }
}
