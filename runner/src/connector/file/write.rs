//! A file appended to.

use std::{fs, io, os::unix::fs::FileTypeExt, path::Path};

use super::off_thread;
use crate::{
    connector::{OpenError, line_writer::LineWriter},
    manifest::connector::FileSink,
};

/// Opens a file to append to, its folders created.
pub(in crate::connector) async fn open_for_append(
    config: &FileSink,
) -> Result<LineWriter, OpenError> {
    let file = off_thread(&config.path, open).await?;
    LineWriter::start(&config.path.display().to_string(), file)
}

fn open(path: &Path) -> Result<fs::File, OpenError> {
    let failed = |source: io::Error| OpenError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // Opening a pipe would wait for its reader.
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.file_type().is_char_device())
    {
        return Err(OpenError::NotAFile {
            path: path.to_owned(),
        });
    }
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(failed)
}
