//! [`Opened`]: an open file that detects when data read from it has been overwritten.

use std::{
    fs::{self, Metadata},
    io::{self, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, MetadataExt},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    task::spawn_blocking,
};

use super::{open_regular, read::tokio_file};
use crate::connector::OpenError;

/// Number of bytes compared to detect a rewrite: the first and the last 1 KiB read.
const COMPARED_BYTES: usize = 1024;

/// A file's device and inode number, and its creation time if the file system records it. The creation time is needed
/// because a new file may reuse the inode number of a deleted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64, Option<SystemTime>);

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino(), metadata.created().ok())
    }
}

/// An open file and its read position.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    /// Second handle, for inspecting the file without moving the read position.
    handle: Handle,
    mark: Mark,
}

/// A shared handle of the same file.
type Handle = Arc<fs::File>;

/// Change of a file since it was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// No change.
    None,
    /// The file is longer.
    Grown,
    /// The file is shorter than the read position, or the data read before has been overwritten.
    Rewritten,
}

/// Read position of a file, with the data needed to detect a rewrite.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    identity: Identity,
    /// Number of bytes read so far.
    position: u64,
    /// Last known modification time.
    modified: Option<SystemTime>,
    /// The first bytes that were read, and the last.
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// Everything needed to inspect a file without moving its read position.
#[derive(Debug)]
pub(super) struct Probe {
    handle: Handle,
    mark: Mark,
}

/// Result of inspecting a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) identity: Identity,
    pub(super) change: Change,
    /// The file has been deleted: no name refers to it.
    pub(super) is_deleted: bool,
    modified: Option<SystemTime>,
}

/// Opens a regular file; `None` if it does not exist.
pub(super) fn open_if_there(path: &Path) -> Result<Option<(Opened, Metadata)>, OpenError> {
    let failed = |source| OpenError::File {
        path: path.to_owned(),
        source,
    };
    match open_regular(path) {
        Ok(file) => {
            let metadata = file.metadata().map_err(failed)?;
            let handle = Arc::new(file.try_clone().map_err(failed)?);
            let mark = Mark {
                identity: Identity::from(&metadata),
                position: 0,
                modified: None,
                head: Vec::new(),
                tail: Vec::new(),
            };
            let opened = Opened {
                file: tokio_file(file),
                handle,
                mark,
            };
            Ok(Some((opened, metadata)))
        }
        Err(OpenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Mark {
    pub(super) const fn identity(&self) -> Identity {
        self.identity
    }
}

impl Opened {
    pub(super) const fn identity(&self) -> Identity {
        self.mark.identity
    }

    /// Returns the number of bytes read so far.
    pub(super) const fn position(&self) -> u64 {
        self.mark.position
    }

    /// Returns the read position, with the data needed to detect a rewrite.
    pub(super) fn mark(&self) -> Mark {
        self.mark.clone()
    }

    /// Continues at an earlier position. Data read before is compared with the file before reading resumes.
    pub(super) fn go_on_from(&mut self, mark: Mark) {
        if (&*self.handle).seek(SeekFrom::Start(mark.position)).is_ok() {
            self.mark = mark;
        }
    }

    /// Reads a chunk and returns its length in bytes.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let start = buffer.len();
        let read = self.file.read_buf(buffer).await?;
        let chunk = &buffer[start..start + read];
        let Mark { head, tail, .. } = &mut self.mark;
        let room = COMPARED_BYTES - head.len();
        head.extend_from_slice(&chunk[..room.min(read)]);
        if read >= COMPARED_BYTES {
            tail.clear();
            tail.extend_from_slice(&chunk[read - COMPARED_BYTES..]);
        } else {
            tail.extend_from_slice(chunk);
            let over = tail.len().saturating_sub(COMPARED_BYTES);
            tail.drain(..over);
        }
        self.mark.position += read as u64;
        Ok(read)
    }

    /// Moves to the start of the file.
    pub(super) async fn rewind(&mut self) -> io::Result<()> {
        self.file.rewind().await?;
        self.mark.position = 0;
        self.mark.head.clear();
        self.mark.tail.clear();
        Ok(())
    }

    /// Detects changes since the file was read to its end. Cancel safe.
    pub(super) async fn look(&mut self) -> io::Result<Change> {
        let probe = self.probe();
        let look = spawn_blocking(move || probe.look());
        let look = look.await.map_err(io::Error::other)??;
        if look.change != Change::Rewritten {
            self.mark.modified = look.modified;
        }
        Ok(look.change)
    }

    pub(super) fn probe(&self) -> Probe {
        Probe {
            handle: self.handle.clone(),
            mark: self.mark(),
        }
    }
}

impl Probe {
    /// Detects changes since the file was read to its end. Blocks.
    fn look(&self) -> io::Result<Look> {
        let (handle, mark) = (&*self.handle, &self.mark);
        let metadata = handle.metadata()?;
        let modified = metadata.modified().ok();
        let tail_at = mark.position - mark.tail.len() as u64;
        let is_there = metadata.len() >= mark.position
            && (modified == mark.modified
                || stands(handle, 0, &mark.head)? && stands(handle, tail_at, &mark.tail)?);
        let change = if !is_there {
            Change::Rewritten
        } else if metadata.len() > mark.position {
            Change::Grown
        } else {
            Change::None
        };
        Ok(Look {
            identity: mark.identity,
            change,
            is_deleted: metadata.nlink() == 0,
            modified,
        })
    }
}

/// Inspects several files. Cancel safe.
pub(super) async fn look_at(files: Vec<Probe>) -> io::Result<Vec<Look>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let look = move || files.iter().map(Probe::look).collect();
    spawn_blocking(look).await.map_err(io::Error::other)?
}

/// Returns whether the file contains these bytes at this offset.
fn stands(file: &fs::File, at: u64, expected: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; expected.len()];
    match file.read_exact_at(&mut found, at) {
        Ok(()) => Ok(found == expected),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
