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
    identity: Identity,
    /// Bytes read so far.
    position: u64,
    /// When it was changed last, as far as is known.
    modified: Option<SystemTime>,
    /// The first bytes that were read, and the last.
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// The same file.
pub(super) type Handle = Arc<fs::File>;

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

/// Opens a regular file; `None` if there is none of that name.
pub(super) fn open_if_there(path: &Path) -> Result<Option<Opened>, OpenError> {
    let failed = |source| OpenError::File {
        path: path.to_owned(),
        source,
    };
    match open_regular(path) {
        Ok(file) => {
            let identity = Identity::from(&file.metadata().map_err(failed)?);
            let handle = Arc::new(file.try_clone().map_err(failed)?);
            Ok(Some(Opened {
                file: tokio_file(file),
                handle,
                identity,
                position: 0,
                modified: None,
                head: Vec::new(),
                tail: Vec::new(),
            }))
        }
        Err(OpenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Opened {
    pub(super) const fn identity(&self) -> Identity {
        self.identity
    }

    /// Bytes read so far.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Goes on where another reader of it has left it.
    pub(super) fn go_on_at(&mut self, position: u64) -> io::Result<()> {
        (&*self.handle).seek(SeekFrom::Start(position))?;
        self.position = position;
        Ok(())
    }

    /// Reads a chunk, and says how many bytes there were.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let start = buffer.len();
        let read = self.file.read_buf(buffer).await?;
        let chunk = &buffer[start..start + read];
        let room = COMPARED_BYTES - self.head.len();
        self.head.extend_from_slice(&chunk[..room.min(read)]);
        if read >= COMPARED_BYTES {
            self.tail.clear();
            self.tail.extend_from_slice(&chunk[read - COMPARED_BYTES..]);
        } else {
            self.tail.extend_from_slice(chunk);
            let over = self.tail.len().saturating_sub(COMPARED_BYTES);
            self.tail.drain(..over);
        }
        self.position += read as u64;
        Ok(read)
    }

    /// Goes on at its start.
    pub(super) async fn rewind(&mut self) -> io::Result<()> {
        self.file.rewind().await?;
        self.position = 0;
        self.head.clear();
        self.tail.clear();
        Ok(())
    }

    /// What has become of it since it was read to its end. Cancel safe.
    pub(super) async fn look(&mut self) -> io::Result<Change> {
        let (handle, position, before) = (self.handle.clone(), self.position, self.modified);
        let (head, tail) = (self.head.clone(), self.tail.clone());
        let look = move || {
            let metadata = handle.metadata()?;
            let modified = metadata.modified().ok();
            let tail_at = position - tail.len() as u64;
            let is_there = metadata.len() >= position
                && (modified == before
                    || stands(&handle, 0, &head)? && stands(&handle, tail_at, &tail)?);
            let change = if !is_there {
                Change::Rewritten
            } else if metadata.len() > position {
                Change::Grown
            } else {
                Change::None
            };
            Ok::<_, io::Error>((change, modified))
        };
        let (change, modified) = spawn_blocking(look).await.map_err(io::Error::other)??;
        if change != Change::Rewritten {
            self.modified = modified;
        }
        Ok(change)
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

/// Whether any of these files, none of which is read yet, has content. Cancel safe.
pub(super) async fn any_has_content(files: Vec<Handle>) -> io::Result<bool> {
    if files.is_empty() {
        return Ok(false);
    }
    let look = move || {
        for file in &files {
            if file.metadata()?.len() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    };
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
