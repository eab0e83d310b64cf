//! [`Queue`]: the files that had a path, in order. Performs no I/O except on the files passed to it.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::Metadata,
};

use super::{
    super::{
        find::Waiting,
        opened::{Identity, Mark, Opened, Probe},
        position::ReadFile,
    },
    Resumed,
    watch::Event,
};
use crate::connector::format::csv::Header;

/// Maximum number of waiting files that are held open: 64.
pub(super) const OPEN_MAX: usize = 64;
/// Maximum number of files that wait to be read, open or known by name: 10,000.
const FILES_MAX: usize = 10_000;
/// Maximum number of files that are held open after they were read to their end, in case they grow: 8.
const LEFT_OPEN_MAX: usize = 8;
/// Maximum number of files that are recognised, after they were read to their end, when they get the path back: 256.
const LEFT_MAX: usize = 256;

/// A file that waits to be read.
#[derive(Debug)]
struct Entry {
    identity: Identity,
    /// Its name in the folder, if known.
    name: Option<OsString>,
    /// `None` for files beyond [`OPEN_MAX`].
    file: Option<Opened>,
    /// Its length when last inspected, in bytes.
    len: u64,
    /// Read position and columns of a file that was read in part before.
    read: Option<Mark>,
    header: Option<Header>,
}

/// A file that was read to its end.
#[derive(Debug)]
struct Left {
    mark: Mark,
    header: Option<Header>,
    /// The file in a checkpoint.
    described: ReadFile,
    /// `None` if it was deleted, or beyond [`LEFT_OPEN_MAX`].
    file: Option<Opened>,
}

/// Files that can no longer be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) files: u64,
    /// Their total size in bytes, as far as known.
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Queue {
    /// The file name that is followed.
    name: OsString,
    /// The file that is being read.
    current: Option<Identity>,
    /// The file that has the name, if known.
    holder: Option<Identity>,
    /// The files that wait to be read, in order.
    files: VecDeque<Entry>,
    left: VecDeque<Left>,
    /// Current names of files that had the followed name and were not opened, in order.
    moved: VecDeque<OsString>,
    missed: Missed,
}

impl Queue {
    pub(super) fn new(name: OsString) -> Self {
        Self {
            name,
            current: None,
            holder: None,
            files: VecDeque::new(),
            left: VecDeque::new(),
            moved: VecDeque::new(),
            missed: Missed::default(),
        }
    }

    /// Returns the file name that is followed.
    pub(super) const fn name(&self) -> &OsString {
        &self.name
    }

    /// Applies an event of the folder. Returns whether another file may now have the name.
    pub(super) fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::Renamed(from, to) => {
                self.vanish(to);
                if *from == self.name {
                    match self.holder.take() {
                        Some(holder) => {
                            if let Some(entry) = self.entry(holder) {
                                entry.name = Some(to.clone());
                            }
                        }
                        None if self.moved.len() < FILES_MAX => self.moved.push_back(to.clone()),
                        None => self.missed.files += 1,
                    }
                } else {
                    let names = self.files.iter_mut().filter_map(|file| file.name.as_mut());
                    for name in names.chain(&mut self.moved).filter(|name| *name == from) {
                        name.clone_from(to);
                    }
                }
            }
            Event::Appeared(name) | Event::Gone(name) => self.vanish(name),
            Event::Missed => {
                // Unknown files may have had the name in the meantime.
                self.holder = None;
                self.missed.files += 1;
            }
            Event::Changed(_) => return false,
        }
        event.is_about(&self.name)
    }

    /// Handles the removal of a file that had this name and has no other name in the folder.
    fn vanish(&mut self, name: &OsStr) {
        if *name == *self.name {
            self.holder = None;
        }
        let missed = &mut self.missed;
        self.moved.retain(|moved| {
            let stays = moved != name;
            missed.files += u64::from(!stays);
            stays
        });
        self.files.retain_mut(|entry| {
            if entry.name.as_deref() != Some(name) {
                return true;
            }
            entry.name = None;
            if entry.file.is_none() {
                missed.files += 1;
                missed.bytes += entry.len;
            }
            entry.file.is_some()
        });
    }

    fn entry(&mut self, identity: Identity) -> Option<&mut Entry> {
        self.files
            .iter_mut()
            .find(|entry| entry.identity == identity)
    }

    /// Returns whether the file is being read or is queued.
    pub(super) fn is_held(&self, identity: Identity) -> bool {
        self.current == Some(identity) || self.files.iter().any(|entry| entry.identity == identity)
    }

    /// Returns the current name of the first file that had the followed name and was not opened.
    pub(super) fn first_moved(&self) -> Option<OsString> {
        self.moved.front().cloned()
    }

    /// Queues the first file that had the followed name and was not opened. `opened` is `None` if it no longer exists.
    pub(super) fn take_moved(&mut self, opened: Option<(Opened, Metadata)>) {
        let name = self.moved.pop_front();
        match opened {
            Some((opened, metadata)) => self.push(opened, &metadata, name),
            None => self.missed.files += 1,
        }
    }

    /// Records the file that has the name.
    pub(super) fn set_holder(&mut self, holder: Option<Identity>) {
        self.holder = holder;
        let name = self.name.clone();
        if let Some(entry) = holder.and_then(|holder| self.entry(holder)) {
            entry.name = Some(name);
        }
    }

    /// Appends a file to the queue, unless it is queued already. Reading resumes where it stopped, if it was read
    /// before. `name` is its name in the folder, if known.
    pub(super) fn push(&mut self, opened: Opened, metadata: &Metadata, name: Option<OsString>) {
        let identity = opened.identity();
        if self.is_held(identity) {
            if let (Some(entry), Some(name)) = (self.entry(identity), name) {
                entry.name = Some(name);
            }
            return;
        }
        if self.files.len() >= FILES_MAX {
            self.missed.files += 1;
            self.missed.bytes += metadata.len();
            return;
        }
        let left = self
            .left
            .iter()
            .position(|left| left.mark.identity() == identity);
        let left = left.and_then(|index| self.left.remove(index));
        let (mark, header) = left.map(|left| (left.mark, left.header)).unzip();
        let mut entry = Entry {
            identity,
            name,
            file: None,
            len: metadata.len(),
            read: mark,
            header: header.flatten(),
        };
        if self.open_count() < OPEN_MAX {
            entry.open(opened);
        }
        self.files.push_back(entry);
    }

    fn open_count(&self) -> usize {
        let open = self.files.iter().filter(|entry| entry.file.is_some());
        open.count()
    }

    /// Returns the first file that is to be opened by its name, if the limit allows another open file.
    pub(super) fn first_closed(&self) -> Option<(Identity, Option<OsString>)> {
        if self.open_count() >= OPEN_MAX {
            return None;
        }
        let closed = self.files.iter().find(|entry| entry.file.is_none())?;
        Some((closed.identity, closed.name.clone()))
    }

    /// Stores the opened file of an entry known only by name, or drops the entry if the file no longer exists.
    pub(super) fn reopen(&mut self, identity: Identity, opened: Option<Opened>) {
        let position = |entry: &Entry| entry.identity == identity && entry.file.is_none();
        let Some(index) = self.files.iter().position(position) else {
            return;
        };
        if let Some(opened) = opened.filter(|opened| opened.identity() == identity) {
            self.files[index].open(opened);
        } else {
            let gone = self.files.remove(index);
            self.missed.files += 1;
            self.missed.bytes += gone.map_or(0, |gone| gone.len);
        }
    }

    /// Makes a file the current one.
    pub(super) fn begin(&mut self, identity: Identity) {
        self.current = Some(identity);
    }

    /// Returns the next file and makes it the current one. `None` also if that file is not open yet.
    pub(super) fn next(&mut self) -> Option<Resumed> {
        self.files.front()?.file.as_ref()?;
        let entry = self.files.pop_front()?;
        self.current = Some(entry.identity);
        entry.file.map(|file| (file, entry.header))
    }

    /// Records that a file was read to its end. Another file must already be the current one.
    pub(super) fn leave(&mut self, file: Opened, header: Option<Header>) {
        self.left.push_back(Left {
            mark: file.mark(),
            described: ReadFile::new(file.file_mark(), header.as_ref()),
            header,
            file: Some(file),
        });
        if self.left.len() > LEFT_MAX {
            self.left.pop_front();
        }
        let open = self.left.iter_mut().rev().skip(LEFT_OPEN_MAX);
        open.for_each(|left| left.file = None);
    }

    /// Puts a partly read file at the front of the queue. Another file must already be the current one.
    pub(super) fn pause(&mut self, file: Opened, header: Option<Header>) {
        self.files.push_front(Entry {
            identity: file.identity(),
            name: None,
            len: file.position(),
            read: None,
            header,
            file: Some(file),
        });
        if self.holder == self.files.front().map(|entry| entry.identity) {
            self.set_holder(self.holder);
        }
    }

    /// Returns the files to inspect to find out whether a waiting file has content; `None` if one is known to have
    /// content.
    pub(super) fn waiting(&self) -> Option<Vec<Probe>> {
        if self
            .files
            .iter()
            .any(|entry| entry.file.is_none() && entry.len > 0)
        {
            return None;
        }
        let open = self.files.iter().filter_map(|entry| entry.file.as_ref());
        Some(open.map(Opened::probe).collect())
    }

    /// Returns the files to inspect to find out whether one that was read to its end has grown.
    pub(super) fn left(&self) -> Vec<Probe> {
        let open = self.left.iter().filter_map(|left| left.file.as_ref());
        open.map(Opened::probe).collect()
    }

    /// Closes files that were read to their end and deleted, so that their disk space is freed.
    pub(super) fn close_left(&mut self, deleted: &[Identity]) {
        for left in &mut self.left {
            left.file.take_if(|file| deleted.contains(&file.identity()));
        }
    }

    /// Resumes reading a file that had been read to its end.
    pub(super) fn resume(&mut self, identity: Identity) -> Option<Resumed> {
        let is_it = |left: &Left| left.mark.identity() == identity && left.file.is_some();
        let index = self.left.iter().position(is_it)?;
        let left = self.left.remove(index)?;
        self.current = Some(identity);
        left.file.map(|file| (file, left.header))
    }

    /// Returns whether any queued file is not open.
    pub(super) fn has_closed(&self) -> bool {
        self.files.iter().any(|entry| entry.file.is_none())
    }

    /// Appends a file that was found again after a restart, with its columns if it was read in part.
    pub(super) fn add(&mut self, found: Waiting, header: Option<Header>) {
        self.files.push_back(Entry {
            identity: Identity::from(&found.member.metadata),
            name: Some(found.member.name),
            len: found.member.metadata.len(),
            file: found.opened,
            read: None,
            header,
        });
    }

    /// Counts files that were gone after a restart.
    pub(super) const fn miss(&mut self, files: u64) {
        self.missed.files += files;
    }

    /// Returns the first waiting files, and the last files that were read to their end.
    pub(super) fn read_files(&self) -> (Vec<ReadFile>, Vec<ReadFile>) {
        let waiting = self.files.iter().map_while(|entry| {
            let mark = entry.read.as_ref().map(Mark::file_mark);
            let mark = mark.or_else(|| entry.file.as_ref().map(Opened::file_mark))?;
            Some(ReadFile::new(mark, entry.header.as_ref()))
        });
        let left = self.left.len().saturating_sub(LEFT_OPEN_MAX);
        let left = self.left.iter().skip(left);
        (
            waiting.take(OPEN_MAX).collect(),
            left.map(|left| left.described.clone()).collect(),
        )
    }

    pub(super) fn missed(&self) -> Missed {
        self.missed
    }
}

impl Entry {
    fn open(&mut self, mut opened: Opened) {
        if let Some(mark) = self.read.take() {
            opened.go_on_from(mark);
        }
        self.file = Some(opened);
    }
}
