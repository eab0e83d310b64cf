//! Finds a followed file again, and the files that took its path while no process followed it. Blocks.
//!
//! A file is recognised by its inode and by the content that was read. A file that still has the path has no successors.
//! Otherwise its successors are the files with names of rotated files that were changed later, in the order of their last
//! changes, and then the file that has the path. If a file was copied and truncated, which leaves its inode with other
//! content, the oldest copy with the content stands for it, and the path is read from its start.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use super::{
    family::{Folder, Member},
    fingerprint::{FileId, FileMark},
    opened::Opened,
    position::{FilePosition, ReadFile},
};
use crate::connector::format::place::ColumnPlace;

/// Maximum number of files that are opened in advance: 64.
const OPEN_MAX: usize = 64;
/// Number of bytes that are compared at a time: 64 KiB.
const COMPARED_BYTES: usize = 64 * 1024;
/// Maximum size of a file that is recognised as a copy: 64 MiB.
const COPY_MAX: u64 = 64 << 20;

/// A file that is read after the current one.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) member: Member,
    /// `None` for files beyond the limit.
    pub(super) opened: Option<Opened>,
    pub(super) columns: Vec<ColumnPlace>,
}

/// The files in which reading goes on.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The file of the position, at its offset; `None` if it is gone.
    pub(super) current: Option<Opened>,
    pub(super) waiting: Vec<Waiting>,
    /// Files that were read to their end.
    pub(super) left: Vec<Waiting>,
    /// Descriptions of the files that cannot be read.
    pub(super) missed: Vec<String>,
}

/// Finds the files of a position. `shown` is the name of the file in messages.
pub(super) fn find(path: &Path, shown: &str, position: &FilePosition) -> io::Result<Found> {
    let others = position.waiting.iter().chain(&position.left);
    let marks = position.file.iter().chain(others.map(|other| &other.mark));
    let inodes: Vec<u64> = marks.map(|mark| mark.id.inode).collect();
    let folder = match Folder::list(path, &inodes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        listed => Some(listed?),
    };
    let mut search = Search {
        shown,
        position,
        folder: folder.as_ref(),
        found: Found::default(),
        taken: Vec::new(),
    };
    search.run()?;
    Ok(search.found)
}

struct Search<'a> {
    shown: &'a str,
    position: &'a FilePosition,
    /// `None` if the folder does not exist.
    folder: Option<&'a Folder>,
    found: Found,
    /// The files that have their place in the order.
    taken: Vec<FileId>,
}

/// The file of the position.
enum Place<'a> {
    At(&'a Member, File),
    /// The file was truncated, and this copy has its content.
    Copied(&'a Member, File),
    /// The file was truncated, and no copy has its content.
    Truncated,
    Gone,
}

impl<'a> Search<'a> {
    fn run(&mut self) -> io::Result<()> {
        for left in &self.position.left {
            if let Some((member, file)) = self.locate(&left.mark)? {
                let waiting = self.resumed(member, file, left)?;
                self.found.left.push(waiting);
            }
        }
        let position = self.position;
        // What was changed before the last known change of the last known file is older.
        let mut bound = (position.at, Some(position.at));
        let mut last = None;
        let mut original = None;
        if let Some(mark) = &position.file {
            bound = (mark.modified.unwrap_or(0), mark.id.created);
            match self.place_of(mark)? {
                Place::At(member, file) => {
                    last = Some((member, mark));
                    original = Some((member, file.try_clone()?));
                    self.begin(member, file, mark)?;
                }
                Place::Copied(member, file) => {
                    bound = (member.modified, member.id.created);
                    original = Some((member, file.try_clone()?));
                    self.begin(member, file, mark)?;
                }
                Place::Truncated => self.lose("it was truncated, and no copy has its content"),
                Place::Gone => self.lose("it was deleted or compressed"),
            }
        }
        for waiting in &position.waiting {
            let mark = &waiting.mark;
            bound = (mark.modified.unwrap_or(0), mark.id.created);
            last = None;
            match self.place_of(mark)? {
                Place::At(member, file) => {
                    last = Some((member, mark));
                    let resumed = self.resumed(member, file, waiting)?;
                    self.found.waiting.push(resumed);
                }
                Place::Copied(member, file) => {
                    bound = (member.modified, member.id.created);
                    let resumed = self.resumed(member, file, waiting)?;
                    self.found.waiting.push(resumed);
                }
                Place::Truncated | Place::Gone => self.lose_file(&format!(
                    "inode {} from offset {} on is gone",
                    mark.id.inode, mark.read
                )),
            }
        }
        if let Some((member, mark)) = last
            && mark.read == 0
        {
            self.add_copies_before(member, bound)?;
        }
        if last.is_none_or(|(member, _)| !member.is_holder) {
            self.exclude_copies(original.as_ref())?;
            self.add_later(bound.0, bound.1);
        }
        Ok(())
    }

    /// Goes on in the file of the position.
    fn begin(&mut self, member: &Member, file: File, mark: &FileMark) -> io::Result<()> {
        let mut opened = Opened::new(file, &member.metadata)?;
        opened.resume(self.position.offset, mark.read)?;
        self.taken.push(member.id.clone());
        self.found.current = Some(opened);
        Ok(())
    }

    /// Finds the file of the position.
    fn place_of(&self, mark: &FileMark) -> io::Result<Place<'a>> {
        if let Some((member, file)) = self.locate(mark)? {
            return Ok(Place::At(member, file));
        }
        let Some(folder) = self.folder else {
            return Ok(Place::Gone);
        };
        if !folder.members.iter().any(|member| member.id.is(&mark.id)) {
            return Ok(Place::Gone);
        }
        if mark.read > 0 {
            for member in folder.after(mark.modified.unwrap_or(0), mark.id.created) {
                if member.is_compressed || member.id.is(&mark.id) {
                    continue;
                }
                if let Some(file) = opened(member)?
                    && mark.has_content(&file)?
                {
                    return Ok(Place::Copied(member, file));
                }
            }
        }
        Ok(Place::Truncated)
    }

    /// Finds a file by its inode and content.
    fn locate(&self, mark: &FileMark) -> io::Result<Option<(&'a Member, File)>> {
        let members = self.folder.map_or(&[][..], |folder| &folder.members);
        for member in members.iter().filter(|member| member.id.is(&mark.id)) {
            if let Some(file) = opened(member)?
                && mark.has_content(&file)?
            {
                return Ok(Some((member, file)));
            }
        }
        Ok(None)
    }

    fn resumed(&mut self, member: &Member, file: File, read: &ReadFile) -> io::Result<Waiting> {
        let mut opened = Opened::new(file, &member.metadata)?;
        opened.resume(read.mark.read, read.mark.read)?;
        self.taken.push(member.id.clone());
        Ok(Waiting {
            member: member.clone(),
            opened: Some(opened),
            columns: read.columns.clone(),
        })
    }

    /// Leaves out copies of the file of the position that were made beside it.
    fn exclude_copies(&mut self, original: Option<&(&Member, File)>) -> io::Result<()> {
        let (Some(folder), Some((original, file)), Some(mark)) =
            (self.folder, original, &self.position.file)
        else {
            return Ok(());
        };
        for member in &folder.members {
            let len = member.metadata.len();
            let may_be = !member.is_holder
                && !member.is_compressed
                && mark.read > 0
                && (mark.read..=original.metadata.len().min(COPY_MAX)).contains(&len)
                && !self.is_taken(&member.id);
            if may_be
                && let Some(copy) = opened(member)?
                && same_beginning(&copy, file, len)?
            {
                self.taken.push(member.id.clone());
            }
        }
        Ok(())
    }

    fn is_taken(&self, id: &FileId) -> bool {
        self.taken.iter().any(|taken| taken.is(id))
    }

    /// Adds the files that were changed after this time, and the file that has the path.
    fn add_later(&mut self, modified: u64, created: Option<u64>) {
        let Some(folder) = self.folder else {
            return;
        };
        let later = folder.after(modified, created);
        // The compressed file is the one that was reported already, if that is gone.
        let mut reported = self.found.missed.len();
        for member in later.into_iter().chain(folder.holder()) {
            if self.is_taken(&member.id) {
                continue;
            }
            if member.is_compressed && !member.is_holder {
                if reported > 0 {
                    reported -= 1;
                } else {
                    let name = member.name.to_string_lossy().into_owned();
                    self.lose_file(&format!("{name} is compressed"));
                }
                continue;
            }
            self.add(member);
        }
    }

    /// Adds copies of the last known file, of which nothing was read, so that a truncation does not show. They hold what
    /// was written before the truncation, so they are read first.
    fn add_copies_before(
        &mut self,
        last: &Member,
        (modified, created): (u64, Option<u64>),
    ) -> io::Result<()> {
        let (Some(folder), Some(file)) = (self.folder, opened(last)?) else {
            return Ok(());
        };
        let is_earlier = |member: &&&Member| {
            let is_new = member.id.created.is_some_and(|at| at >= self.position.at);
            is_new && !member.is_compressed && member.modified <= last.modified
        };
        let later = folder.after(modified, created);
        let mut copies = Vec::new();
        for copy in later.iter().filter(is_earlier) {
            if self.is_taken(&copy.id) {
                continue;
            }
            let len = copy.metadata.len();
            let is_beside = len <= last.metadata.len().min(COPY_MAX)
                && match opened(copy)? {
                    Some(copy) => same_beginning(&copy, &file, len)?,
                    None => false,
                };
            if is_beside {
                self.taken.push(copy.id.clone());
            } else {
                copies.push(*copy);
            }
        }
        if copies.is_empty() {
            return Ok(());
        }
        let waiting = self.found.waiting.pop().or_else(|| {
            Some(Waiting {
                member: last.clone(),
                opened: Some(self.found.current.take()?),
                columns: Vec::new(),
            })
        });
        for copy in copies {
            self.add(copy);
        }
        self.found.waiting.extend(waiting);
        Ok(())
    }

    /// Adds a file that is read from its start.
    fn add(&mut self, member: &Member) {
        let is_open = |waiting: &&Waiting| waiting.opened.is_some();
        let has_room = self.found.waiting.iter().filter(is_open).count() < OPEN_MAX;
        let open = || Opened::new(member.open().ok()?, &member.metadata).ok();
        self.taken.push(member.id.clone());
        self.found.waiting.push(Waiting {
            member: member.clone(),
            opened: has_room.then(open).flatten(),
            columns: Vec::new(),
        });
    }

    fn lose(&mut self, reason: &str) {
        let (shown, offset) = (self.shown, self.position.offset);
        let inode = self.position.file.as_ref().map_or(0, |mark| mark.id.inode);
        self.found.missed.push(format!(
            "{shown} (inode {inode}) cannot be read from offset {offset} on: {reason}"
        ));
    }

    fn lose_file(&mut self, reason: &str) {
        let shown = self.shown;
        self.found.missed.push(format!(
            "a file that had the path {shown} cannot be read: {reason}"
        ));
    }
}

/// Opens a file; `None` if it is gone or cannot be read.
fn opened(member: &Member) -> io::Result<Option<File>> {
    match member.open() {
        Ok(file) => Ok(Some(file)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Returns whether two files begin with the same bytes.
fn same_beginning(one: &File, other: &File, len: u64) -> io::Result<bool> {
    let (mut a, mut b) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    let mut at = 0;
    while at < len {
        let part =
            usize::try_from(len - at).map_or(COMPARED_BYTES, |left| left.min(COMPARED_BYTES));
        for (file, buffer) in [(one, &mut a), (other, &mut b)] {
            match file.read_exact_at(&mut buffer[..part], at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                read => read?,
            }
        }
        if a[..part] != b[..part] {
            return Ok(false);
        }
        at += part as u64;
    }
    Ok(true)
}
