//! [`Opened`]: a file held open while it is read, which notices when what was read of it is no longer there.

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

/// Bytes of what was read that are compared when a file has changed: the first and the last 1 KiB.
const COMPARED_BYTES: usize = 1024;

/// A file's device, its number there, and when it was made, where the file system knows: another file may get the number of
/// one that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64, u64, Option<SystemTime>);

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino(), metadata.created().ok())
    }
}

/// A file, and how far it is read.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    /// To look at it wherever reading stands.
    handle: Handle,
    mark: Mark,
}

/// The same file.
type Handle = Arc<fs::File>;

/// What has become of a file since it was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// It is longer.
    Grown,
    /// It is shorter than what was read of it, or what was read stands there no more: it has another content.
    Rewritten,
}

/// How far a file was read, and what stood there.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    identity: Identity,
    /// Bytes read so far.
    position: u64,
    /// When it was changed last, as far as is known.
    modified: Option<SystemTime>,
    /// The first bytes that were read, and the last.
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// What it takes to look at a file wherever reading it stands.
#[derive(Debug)]
pub(super) struct Probe {
    handle: Handle,
    mark: Mark,
}

/// What a look at a file has found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) identity: Identity,
    pub(super) change: Change,
    /// It has no name any more.
    pub(super) is_deleted: bool,
    modified: Option<SystemTime>,
}

/// Opens a regular file; `None` if there is none of that name.
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

    /// Bytes read so far.
    pub(super) const fn position(&self) -> u64 {
        self.mark.position
    }

    /// How far it is read.
    pub(super) fn mark(&self) -> Mark {
        self.mark.clone()
    }

    /// Goes on where it was left. What was read of it is compared before more is read.
    pub(super) fn go_on_from(&mut self, mark: Mark) {
        if (&*self.handle).seek(SeekFrom::Start(mark.position)).is_ok() {
            self.mark = mark;
        }
    }

    /// Reads a chunk, and says how many bytes there were.
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

    /// Goes on at its start.
    pub(super) async fn rewind(&mut self) -> io::Result<()> {
        self.file.rewind().await?;
        self.mark.position = 0;
        self.mark.head.clear();
        self.mark.tail.clear();
        Ok(())
    }

    /// What has become of it since it was read to its end. Cancel safe.
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
    /// What has become of the file since it was read to its end. Blocks.
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

/// Looks at several files. Cancel safe.
pub(super) async fn look_at(files: Vec<Probe>) -> io::Result<Vec<Look>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let look = move || files.iter().map(Probe::look).collect();
    spawn_blocking(look).await.map_err(io::Error::other)?
}

/// Whether these bytes stand there.
fn stands(file: &fs::File, at: u64, expected: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; expected.len()];
    match file.read_exact_at(&mut found, at) {
        Ok(()) => Ok(found == expected),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
