//! Files: read once, followed like `tail -F`, appended to.

mod follow;
mod read;
mod write;

use std::{io, path::Path};

use rustix::fs::OFlags;

pub(super) use self::{follow::Follower, read::FileReader, write::open_for_append};
use super::OpenError;
use crate::manifest::connector::{FileSource, Format};

/// Opens a regular file, and nothing else: a pipe would make the opening itself wait.
fn open_regular(path: &Path) -> Result<std::fs::File, OpenError> {
    use std::os::unix::fs::OpenOptionsExt;

    let failed = |source: io::Error| OpenError::File {
        path: path.to_owned(),
        source,
    };
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("open's flags are an int");
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(OpenError::NotAFile {
            path: path.to_owned(),
        });
    }
    Ok(file)
}

/// Runs `open` where it may block.
async fn off_thread<T: Send + 'static>(
    path: &Path,
    open: impl FnOnce(&Path) -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let owned = path.to_owned();
    match tokio::task::spawn_blocking(move || open(&owned)).await {
        Ok(opened) => opened,
        Err(error) => Err(OpenError::File {
            path: path.to_owned(),
            source: io::Error::other(error),
        }),
    }
}

/// How a file is cut: as it says, or by its extension, or else into lines.
fn format_of(config: &FileSource) -> Format {
    let extension = config
        .path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    config
        .format
        .unwrap_or_else(|| match extension.to_ascii_lowercase().as_str() {
            "csv" => Format::Csv,
            "jsonl" | "ndjson" => Format::Jsonl,
            _ => Format::Lines,
        })
}

#[cfg(test)]
mod tests;
