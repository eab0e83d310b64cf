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
    let others = position.begun.iter().chain(&position.left);
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
        let Some(mark) = &self.position.file else {
            // All files were created after the position.
            self.add_later(self.position.at, Some(self.position.at));
            return Ok(());
        };
        let place = self.place_of(mark)?;
        let mut bound = (mark.modified.unwrap_or(0), mark.id.created);
        let mut original = None;
        let mut is_at_path = false;
        match place {
            Place::At(member, file) | Place::Copied(member, file) => {
                is_at_path = member.is_holder;
                if !is_at_path && self.is_copy(member) {
                    bound = (member.modified, member.id.created);
                }
                original = Some((member, file.try_clone()?));
                let mut opened = Opened::new(file, &member.metadata)?;
                opened.resume(self.position.offset, mark.read)?;
                self.taken.push(member.id.clone());
                self.found.current = Some(opened);
            }
            Place::Truncated => self.lose("it was truncated, and no copy has its content"),
            Place::Gone => self.lose("it was deleted or compressed"),
        }
        for begun in &self.position.begun {
            bound = (begun.mark.modified.unwrap_or(0), begun.mark.id.created);
            if let Some((member, file)) = self.locate(&begun.mark)? {
                is_at_path |= member.is_holder;
                let waiting = self.resumed(member, file, begun)?;
                self.found.waiting.push(waiting);
            } else {
                let (read, inode) = (begun.mark.read, begun.mark.id.inode);
                self.lose_file(&format!(
                    "inode {inode}, which was read up to offset {read}, is gone"
                ));
            }
        }
        if !is_at_path {
            self.exclude_copies(original.as_ref())?;
            self.add_later(bound.0, bound.1);
        } else if mark.read == 0 && self.position.begun.is_empty() {
            self.add_copies_before();
        }
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

    /// Returns whether a file is not the one of the position, but a copy.
    fn is_copy(&self, member: &Member) -> bool {
        let mark = self.position.file.as_ref();
        mark.is_some_and(|mark| !mark.id.is(&member.id))
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

    /// Adds copies of a file that was empty at the position and was truncated later. They hold what was written before
    /// the truncation, so they are read first.
    fn add_copies_before(&mut self) {
        let at = self.position.at;
        let Some(folder) = self.folder else {
            return;
        };
        let is_later = |member: &&Member| {
            member.id.created.is_some_and(|created| created >= at) && !member.is_compressed
        };
        let copies: Vec<_> = folder
            .after(at, None)
            .into_iter()
            .filter(is_later)
            .collect();
        if copies.is_empty() {
            return;
        }
        for copy in copies {
            self.add(copy);
        }
        let holder = folder
            .holder()
            .map(|holder| (holder, self.found.current.take()));
        if let Some((holder, opened)) = holder {
            self.found.waiting.push(Waiting {
                member: holder.clone(),
                opened,
                columns: Vec::new(),
            });
        }
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
