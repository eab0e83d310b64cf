//! File connectors: reading once, following like `tail -F`, and appending.

mod append;
mod columns;
mod durable;
mod family;
mod find;
mod fingerprint;
mod follow;
mod opened;
mod position;
mod read;
mod rotated_files;
mod sample;
mod settings;

use std::{io, path::Path};

pub(crate) use self::append::reopen_all;
pub use self::settings::{FileSink, FileSource};
use self::{follow::Follower, read::FileReader};
use super::OpenError;
use crate::files;

/// Opens a regular file. Refuses everything else, because opening a pipe could block.
fn open_regular(path: &Path) -> Result<std::fs::File, OpenError> {
    let path = path.to_owned();
    match files::open_regular(&path) {
        Ok((file, _)) => Ok(file),
        Err(error) if error.raw_os_error().is_none() => Err(OpenError::NotAFile { path }),
        Err(source) => Err(OpenError::File { path, source }),
    }
}

/// Runs `open` on a blocking thread, for at most [`FILE_TIME_MAX`](files::FILE_TIME_MAX).
async fn off_thread<T: Send + 'static>(
    path: &Path,
    open: impl FnOnce(&Path) -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let owned = path.to_owned();
    let opening = move || files::in_time(move || open(&owned));
    let failed = |source| OpenError::File {
        path: path.to_owned(),
        source,
    };
    tokio::task::spawn_blocking(opening)
        .await
        .map_err(|error| failed(io::Error::other(error)))?
        .map_err(failed)?
}

#[cfg(test)]
mod tests;
