//! [`Folder`]: the files in a folder that have had the same path before a rotation. Blocks.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata},
    io,
    os::unix::{ffi::OsStrExt as _, fs::DirEntryExt as _},
    path::{Path, PathBuf},
};

use super::fingerprint::{FileId, nanos};
use crate::files;

/// Extensions of compressed files.
const COMPRESSED: [&str; 8] = ["gz", "bz2", "xz", "zst", "lz4", "lzma", "Z", "zip"];
/// Extensions of files that other programs keep beside a file.
const OTHERS: [&str; 7] = ["lock", "pid", "pos", "offset", "swp", "tmp", "part"];

/// A file in the folder.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: OsString,
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    pub(super) id: FileId,
    /// Last modification, in nanoseconds since 1970.
    pub(super) modified: u64,
    /// It has the path.
    pub(super) is_holder: bool,
    pub(super) is_compressed: bool,
}

/// The files that have the path, or a name of a rotated file.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Ordered by the time of their last change.
    pub(super) members: Vec<Member>,
}

impl Folder {
    /// Lists the folder of a path. Files of these inodes are members whatever their names.
    pub(super) fn list(path: &Path, inodes: &[u64]) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default();
        let folder = folder_of(path);
        let mut members = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let is_holder = entry.file_name() == name;
            let is_ours = inodes.contains(&entry.ino())
                || is_holder
                || is_rotated(name.as_bytes(), entry.file_name().as_bytes());
            // A symbolic link may have the path, and is not a rotated file.
            let metadata = match is_ours.then(|| {
                if is_holder {
                    fs::metadata(path)
                } else {
                    entry.metadata()
                }
            }) {
                Some(Ok(metadata)) if metadata.is_file() => metadata,
                Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => continue,
            };
            members.push(Member {
                path: folder.join(entry.file_name()),
                is_compressed: has_extension(&entry.file_name(), &COMPRESSED),
                name: entry.file_name(),
                id: FileId::of(&metadata),
                modified: metadata.modified().ok().and_then(nanos).unwrap_or(0),
                metadata,
                is_holder,
            });
        }
        members.sort_by_cached_key(Member::order);
        Ok(Self {
            path: path.to_owned(),
            members,
        })
    }

    /// Returns the file that has the path.
    pub(super) fn holder(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.is_holder)
    }

    /// Returns the files, other than the one that has the path, that were changed after this time. A file that was
    /// changed at that time is later if it was created after it.
    pub(super) fn after(&self, modified: u64, created: Option<u64>) -> Vec<&Member> {
        let is_after = |member: &&Member| {
            let is_younger = member.id.created.unwrap_or(0) > created.unwrap_or(u64::MAX);
            !member.is_holder
                && (member.modified > modified || member.modified == modified && is_younger)
                && is_rotated(self.name(), member.name.as_bytes())
        };
        self.members.iter().filter(is_after).collect()
    }

    fn name(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }
}

impl Member {
    /// Opens the file, unless another one has its name by now.
    pub(super) fn open(&self) -> io::Result<File> {
        let (file, metadata) = files::open_regular(&self.path)?;
        if FileId::of(&metadata).is(&self.id) {
            Ok(file)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Orders files from the oldest to the newest. Of two that were changed at the same time, a higher number at the
    /// end of the name is older.
    fn order(&self) -> (u64, u64, u64, OsString) {
        let name = self.name.as_bytes();
        let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(&name[name.len() - digits.count()..]);
        let number: u64 = number.ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let created = self.id.created.unwrap_or(0);
        (self.modified, created, u64::MAX - number, self.name.clone())
    }
}

/// Returns the folder of a path.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// Returns whether a name is one that rotation gives to a file: `app.log.1`, `app.log-20260101`, `app-20260101.log`.
fn is_rotated(name: &[u8], other: &[u8]) -> bool {
    if has_extension(OsStr::from_bytes(other), &OTHERS) || other.ends_with(b"~") {
        return false;
    }
    if let Some(rest) = other.strip_prefix(name) {
        return rest
            .first()
            .is_some_and(|byte| !byte.is_ascii_alphanumeric());
    }
    // With the date or number before the extension.
    let Some(dot) = name
        .iter()
        .rposition(|byte| *byte == b'.')
        .filter(|dot| *dot > 0)
    else {
        return false;
    };
    let (stem, extension) = name.split_at(dot);
    let compressed = has_extension(OsStr::from_bytes(other), &COMPRESSED);
    let end = other
        .iter()
        .rposition(|byte| *byte == b'.')
        .filter(|_| compressed);
    let middle = other[..end.unwrap_or(other.len())]
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(extension));
    middle.is_some_and(|middle| {
        matches!(middle.first(), Some(b'.' | b'-' | b'_')) && middle.iter().any(u8::is_ascii_digit)
    })
}

fn has_extension(name: &OsStr, extensions: &[&str]) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|extension| extensions.iter().any(|known| extension == *known))
}

#[cfg(test)]
mod tests {
    use super::is_rotated;

    #[test]
    fn the_names_that_rotation_gives_are_recognised() {
        for name in [
            "app.log.1",
            "app.log.1.gz",
            "app.log-20260101",
            "app.log.old",
            "app.log.2026-01-01.zst",
            "app-20260101.log",
            "app.1.log",
            "app_2.log",
            "app-20260101.log.gz",
        ] {
            assert!(is_rotated(b"app.log", name.as_bytes()), "{name}");
        }
        for name in [
            "app.log",
            "app.log.lock",
            "app.log.1.tmp",
            "app.log~",
            "app.logger",
            "app-errors.log",
            "other.log",
            "app.txt",
            "app",
            "application-1.log",
        ] {
            assert!(!is_rotated(b"app.log", name.as_bytes()), "{name}");
        }
        assert!(is_rotated(b"log", b"log.1"));
        assert!(!is_rotated(b".log", b".log"));
    }
}
