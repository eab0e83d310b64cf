//! [`Opened`]: an open file that detects when data read from it has been overwritten.

use std::{
    fs::{self, Metadata},
    io::{self, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, MetadataExt},
    path::Path,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use bytes::BufMut as _;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
    task::spawn_blocking,
};

use super::{
    fingerprint::{COMPARED_BYTES, FileId, FileMark, Fingerprint, nanos},
    open_regular,
};
use crate::connector::{OpenError, format::intake::CHUNK_BYTES};

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
    /// The end of the chunk that an earlier process has read. Reading stops there once, so that chunks are the same in
    /// both processes.
    chunk_end: u64,
    /// The mark for a checkpoint, until the next read.
    described: OnceLock<FileMark>,
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
    /// Modification time when the content read so far was found unchanged.
    modified: Option<SystemTime>,
    /// Last known modification time.
    known: Option<SystemTime>,
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
            let opened = Opened::new(file, &metadata).map_err(failed)?;
            Ok(Some((opened, metadata)))
        }
        Err(OpenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Identity {
    fn file_id(self) -> FileId {
        FileId {
            device: self.0,
            inode: self.1,
            created: self.2.and_then(nanos),
        }
    }
}

impl Mark {
    pub(super) const fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns the read position for a checkpoint.
    pub(super) fn file_mark(&self) -> FileMark {
        FileMark {
            id: self.identity.file_id(),
            modified: self.known.and_then(nanos),
            read: self.position,
            first: Fingerprint::of(&self.head),
            last: Fingerprint::of(&self.tail),
        }
    }
}

impl Opened {
    /// Takes a file at its start.
    pub(super) fn new(file: fs::File, metadata: &Metadata) -> io::Result<Self> {
        let handle = Arc::new(file.try_clone()?);
        let mut file = File::from_std(file);
        // Reads one chunk at a time.
        file.set_max_buf_size(CHUNK_BYTES);
        let mark = Mark {
            identity: Identity::from(metadata),
            position: 0,
            modified: None,
            known: metadata.modified().ok(),
            head: Vec::new(),
            tail: Vec::new(),
        };
        Ok(Self {
            file,
            handle,
            mark,
            chunk_end: 0,
            described: OnceLock::new(),
        })
    }

    /// Goes on at an offset, where an earlier process has read up to `read`. Call before the first read. Blocks.
    pub(super) fn resume(&mut self, offset: u64, read: u64) -> io::Result<()> {
        let bytes = |at: u64, len: u64| {
            let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            self.handle.read_exact_at(&mut bytes, at)?;
            io::Result::Ok(bytes)
        };
        let compared = offset.min(COMPARED_BYTES as u64);
        let (head, tail) = (bytes(0, compared)?, bytes(offset - compared, compared)?);
        (&*self.handle).seek(SeekFrom::Start(offset))?;
        (self.mark.head, self.mark.tail, self.mark.position) = (head, tail, offset);
        self.chunk_end = read;
        Ok(())
    }

    /// Returns the handle for inspecting the file.
    pub(super) fn handle(&self) -> &fs::File {
        &self.handle
    }

    /// Returns the start of the file for a checkpoint, for content that was rewritten.
    pub(super) fn start_mark(&self) -> FileMark {
        FileMark {
            read: 0,
            first: Fingerprint::of(&[]),
            last: Fingerprint::of(&[]),
            ..self.file_mark()
        }
    }

    /// Returns the read position for a checkpoint.
    pub(super) fn file_mark(&self) -> FileMark {
        let describe = || self.mark.file_mark();
        self.described.get_or_init(describe).clone()
    }

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
            self.described.take();
        }
    }

    /// Reads a chunk and returns its length in bytes.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let start = buffer.len();
        let limit = match self.chunk_end.saturating_sub(self.mark.position) {
            0 => CHUNK_BYTES,
            left => usize::try_from(left).unwrap_or(CHUNK_BYTES),
        };
        let read = self.file.read_buf(&mut buffer.limit(limit)).await?;
        self.described.take();
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
        self.chunk_end = 0;
        self.described.take();
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
        if self.mark.known != look.modified {
            self.mark.known = look.modified;
            self.described.take();
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
