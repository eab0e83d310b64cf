//! [`Durable`]: makes the output of a file sink durable, and goes on behind it after a restart. Blocks.

mod restore;

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    family::folder_of,
    fingerprint::{FileId, Fingerprint, file_time},
};
use crate::connector::Position;

/// Maximum number of renamed files that are held open until they are synced: 8.
const EARLIER_MAX: usize = 8;

/// How much of an output is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    /// The path as messages name it.
    path: String,
    /// The time before the sync, in nanoseconds since 1970.
    at: u64,
    #[serde(flatten)]
    id: FileId,
    /// Number of bytes.
    length: u64,
    /// The last bytes.
    last: Fingerprint,
}

/// The files of an output that are not durable yet.
#[derive(Debug, Default)]
pub(super) struct Durable {
    /// Files that were written and have lost the path. The last one received the last byte, if no other file is open.
    earlier: Vec<File>,
    /// Folders with new names.
    folders: Vec<PathBuf>,
    /// The reason that a sync failed. The system may have dropped what was not written, so a second sync proves nothing.
    failed: Option<(io::ErrorKind, String)>,
}

impl Durable {
    /// Notes that a file and its missing folders are about to be created at this path.
    pub(super) fn opens(&mut self, path: &Path) {
        let folder = folder_of(path);
        let missing = folder.ancestors().take_while(|folder| !folder.exists());
        let missing: Vec<_> = missing.filter_map(Path::parent).map(parent_of).collect();
        self.folders.extend(missing);
        self.folders.push(folder);
        self.folders.sort();
        self.folders.dedup();
    }

    /// Takes a file that has lost the path.
    pub(super) fn leaves(&mut self, file: Option<File>) {
        // What was written to a deleted file is gone.
        self.earlier.retain(has_name);
        self.earlier.extend(file);
        if self.earlier.len() > EARLIER_MAX {
            let oldest = self.earlier.remove(0);
            let synced = oldest.sync_data();
            let _ = self.unless_failed(synced);
        }
    }

    /// Syncs everything that was written. `file` is the open file. Returns `None` if the output is not a regular file,
    /// or cannot be read.
    pub(super) fn sync(
        &mut self,
        file: Option<&File>,
        shown: &str,
    ) -> io::Result<Option<Position>> {
        if let Some((kind, reason)) = &self.failed {
            return Err(io::Error::new(*kind, reason.clone()));
        }
        let synced = self.sync_all(file, shown);
        let token = self.unless_failed(synced)?;
        let last = usize::from(file.is_none());
        let synced = self.earlier.len().saturating_sub(last);
        self.earlier.drain(..synced);
        self.folders.clear();
        Ok(token.and_then(|token| serde_json::to_value(token).ok()))
    }

    fn sync_all(&self, file: Option<&File>, shown: &str) -> io::Result<Option<Token>> {
        for earlier in self.earlier.iter().filter(|earlier| has_name(earlier)) {
            earlier.sync_data()?;
        }
        let Some(file) = file.or(self.earlier.last()) else {
            return Ok(None);
        };
        let at = file_time();
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        file.sync_data()?;
        for folder in &self.folders {
            match File::open(folder) {
                Ok(folder) => folder.sync_all()?,
                // A folder that was removed has no names, and one that cannot be read is not synced.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        let length = metadata.len();
        // The file is open for writing only.
        let readable = match File::open(format!("/proc/self/fd/{}", file.as_raw_fd())) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            readable => readable?,
        };
        Ok(Some(Token {
            path: shown.to_owned(),
            at,
            id: FileId::of(&metadata),
            length,
            last: Fingerprint::before(&readable, length)?,
        }))
    }

    fn unless_failed<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &done {
            self.failed = Some((error.kind(), error.to_string()));
        }
        done
    }
}

fn has_name(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

fn parent_of(folder: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        folder.to_owned()
    }
}

#[cfg(test)]
mod tests;
