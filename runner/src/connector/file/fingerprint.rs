//! [`FileMark`] and [`Fingerprint`]: how a checkpoint recognises a file and its content. Blocks.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Number of bytes compared to detect a rewrite: the first and the last 1 KiB read.
pub(super) const COMPARED_BYTES: usize = 1024;

/// A file system's name for a file. An inode number may be used again after the file was deleted, so the creation time
/// decides where it is known. It also recognises the file on a device that got another number at a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// In nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<u64>,
}

/// The content of up to 1 KiB of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fingerprint {
    bytes: u64,
    blake3: String,
}

/// A file that was read up to some position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileMark {
    #[serde(flatten)]
    pub(super) id: FileId,
    /// Last known modification time, in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<u64>,
    /// Number of bytes read.
    pub(super) read: u64,
    /// The first bytes.
    #[serde(rename = "fingerprint")]
    pub(super) first: Fingerprint,
    /// The last bytes that were read.
    pub(super) last: Fingerprint,
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            created: metadata.created().ok().and_then(nanos),
        }
    }

    /// Returns whether both are the same file.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.inode == other.inode
            && match (self.created, other.created) {
                (Some(one), Some(other)) => one == other,
                _ => self.device == other.device,
            }
    }
}

impl Fingerprint {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            blake3: blake3::hash(bytes).to_hex().to_string(),
        }
    }

    /// Returns the fingerprint of the bytes before an offset.
    pub(super) fn before(file: &File, end: u64) -> io::Result<Self> {
        let len = end.min(COMPARED_BYTES as u64);
        Ok(Self::of(&bytes_at(file, end - len, len)?))
    }

    /// Returns whether the file has this content before an offset.
    pub(super) fn stands_before(&self, file: &File, end: u64) -> io::Result<bool> {
        match end.checked_sub(self.bytes) {
            Some(start) if self.bytes <= COMPARED_BYTES as u64 => self.stands_at(file, start),
            _ => Ok(false),
        }
    }

    fn stands_at(&self, file: &File, start: u64) -> io::Result<bool> {
        match bytes_at(file, start, self.bytes) {
            Ok(bytes) => Ok(Self::of(&bytes) == *self),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl FileMark {
    /// Returns whether the file begins with the content that was read.
    pub(super) fn has_content(&self, file: &File) -> io::Result<bool> {
        let is_known =
            |fingerprint: &Fingerprint| fingerprint.bytes <= self.read.min(COMPARED_BYTES as u64);
        Ok(is_known(&self.first)
            && is_known(&self.last)
            && file.metadata()?.len() >= self.read
            && self.first.stands_at(file, 0)?
            && self.last.stands_before(file, self.read)?)
    }

    /// Checks that this is the file, and that its content was not changed.
    ///
    /// # Errors
    /// Returns the difference.
    pub(super) fn check(&self, file: &File) -> Result<(), String> {
        let failed = |error: io::Error| error.to_string();
        let metadata = file.metadata().map_err(failed)?;
        if !self.id.is(&FileId::of(&metadata)) {
            return Err(format!(
                "another file has its path (inode {} instead of {})",
                metadata.ino(),
                self.id.inode
            ));
        }
        if metadata.len() < self.read {
            return Err(format!(
                "it has {} bytes, and {} were read",
                metadata.len(),
                self.read
            ));
        }
        if self.has_content(file).map_err(failed)? {
            Ok(())
        } else {
            Err("the bytes that were read have changed".to_owned())
        }
    }
}

fn bytes_at(file: &File, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Returns a time in nanoseconds since 1970.
pub(super) fn nanos(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// Returns the current time as file systems note it, in nanoseconds since 1970. It is behind the clock by some
/// milliseconds.
pub(super) fn file_time() -> u64 {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let now = clock_gettime(ClockId::RealtimeCoarse);
        let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
        seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
    }
    #[cfg(not(target_os = "linux"))]
    {
        nanos(SystemTime::now()).unwrap_or(0)
    }
}
