//! [`Queue`]: the files that had a name, in the order in which they had it. No I/O but for what it is given.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::Metadata,
};

use super::{
    super::opened::{Identity, Mark, Opened, Probe},
    Resumed,
    watch::Event,
};
use crate::connector::csv::Header;

/// Files that are held open until they are read: 64.
pub(super) const OPEN_MAX: usize = 64;
/// Files that wait to be read, open or known by name: 10,000.
const FILES_MAX: usize = 10_000;
/// Files that were read to their end and are still held open, since they may grow: 8.
const LEFT_OPEN_MAX: usize = 8;
/// Files that were read to their end and are known if they get the name back: 256.
const LEFT_MAX: usize = 256;

/// A file that waits to be read.
#[derive(Debug)]
struct Entry {
    identity: Identity,
    /// Its name in the folder, where that is known.
    name: Option<OsString>,
    /// None beyond [`OPEN_MAX`].
    file: Option<Opened>,
    /// Its length when it was last seen.
    len: u64,
    /// How far it was read before, and what its columns are.
    read: Option<Mark>,
    header: Option<Header>,
}

/// A file that was read to its end.
#[derive(Debug)]
struct Left {
    mark: Mark,
    header: Option<Header>,
    /// None if it was deleted, or is one of many.
    file: Option<Opened>,
}

/// Files that nobody can read any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) files: u64,
    /// Their bytes, as far as known.
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Queue {
    /// The name that is followed.
    name: OsString,
    /// The file that is being read.
    current: Option<Identity>,
    /// The file that has the name, if it is known.
    holder: Option<Identity>,
    /// Those that wait, in order.
    files: VecDeque<Entry>,
    left: VecDeque<Left>,
    /// The present names of files that had the name and were not seen, in order.
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

    /// The name that is followed.
    pub(super) const fn name(&self) -> &OsString {
        &self.name
    }

    /// Takes up what has happened in the folder; whether another file may have the name now.
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
                // Files may have had the name meanwhile that nobody knows of.
                self.holder = None;
                self.missed.files += 1;
            }
            Event::Changed(_) => return false,
        }
        event.is_about(&self.name)
    }

    /// The file that had a name has it no more, and no other.
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

    /// Whether it is being read, or will be.
    pub(super) fn is_held(&self, identity: Identity) -> bool {
        self.current == Some(identity) || self.files.iter().any(|entry| entry.identity == identity)
    }

    /// The present name of the first file that had the name and was not seen.
    pub(super) fn first_moved(&self) -> Option<OsString> {
        self.moved.front().cloned()
    }

    /// Takes in the first file that had the name and was not seen, or none if it is gone.
    pub(super) fn take_moved(&mut self, opened: Option<(Opened, Metadata)>) {
        let name = self.moved.pop_front();
        match opened {
            Some((opened, metadata)) => self.push(opened, &metadata, name),
            None => self.missed.files += 1,
        }
    }

    /// Notes which file has the name.
    pub(super) fn set_holder(&mut self, holder: Option<Identity>) {
        self.holder = holder;
        let name = self.name.clone();
        if let Some(entry) = holder.and_then(|holder| self.entry(holder)) {
            entry.name = Some(name);
        }
    }

    /// Puts a file behind the others, unless it is among them. One that was read before is read on.
    pub(super) fn push(&mut self, opened: Opened, metadata: &Metadata, name: Option<OsString>) {
        let identity = opened.identity();
        if self.is_held(identity) {
            if let Some(entry) = self.entry(identity) {
                entry.name = name;
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

    /// Puts a file behind the others whose name is not known, unless it is among them.
    pub(super) fn push_unnamed(&mut self, opened: Opened, metadata: &Metadata) {
        if !self.is_held(opened.identity()) {
            self.push(opened, metadata, None);
        }
    }

    fn open_count(&self) -> usize {
        let open = self.files.iter().filter(|entry| entry.file.is_some());
        open.count()
    }

    /// The first file that is to be opened by its name, if there is room for it.
    pub(super) fn first_closed(&self) -> Option<(Identity, Option<OsString>)> {
        if self.open_count() >= OPEN_MAX {
            return None;
        }
        let closed = self.files.iter().find(|entry| entry.file.is_none())?;
        Some((closed.identity, closed.name.clone()))
    }

    /// Holds a file open that was known by name, or gives it up if it is gone.
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

    /// Begins to read a file.
    pub(super) fn begin(&mut self, identity: Identity) {
        self.current = Some(identity);
    }

    /// The next file, which becomes the one that is read. None also while it is yet to be opened.
    pub(super) fn next(&mut self) -> Option<Resumed> {
        self.files.front()?.file.as_ref()?;
        let entry = self.files.pop_front()?;
        self.current = Some(entry.identity);
        entry.file.map(|file| (file, entry.header))
    }

    /// Notes that a file was read to its end, after another was begun.
    pub(super) fn leave(&mut self, file: Opened, header: Option<Header>) {
        self.left.push_back(Left {
            mark: file.mark(),
            header,
            file: Some(file),
        });
        if self.left.len() > LEFT_MAX {
            self.left.pop_front();
        }
        let open = self.left.iter_mut().rev().skip(LEFT_OPEN_MAX);
        open.for_each(|left| left.file = None);
    }

    /// Puts a file that was being read in front of the others, after another was begun.
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

    /// What is to be looked at to know whether one that waits has content; `None` if that is known.
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

    /// What is to be looked at to know which of those that were read has grown.
    pub(super) fn left(&self) -> Vec<Probe> {
        let open = self.left.iter().filter_map(|left| left.file.as_ref());
        open.map(Opened::probe).collect()
    }

    /// Lets go of files that were read and deleted, so that their room on the disk is free.
    pub(super) fn close_left(&mut self, deleted: &[Identity]) {
        for left in &mut self.left {
            left.file.take_if(|file| deleted.contains(&file.identity()));
        }
    }

    /// Begins to read on in one that was left.
    pub(super) fn resume(&mut self, identity: Identity) -> Option<Resumed> {
        let is_it = |left: &Left| left.mark.identity() == identity && left.file.is_some();
        let index = self.left.iter().position(is_it)?;
        let left = self.left.remove(index)?;
        self.current = Some(identity);
        left.file.map(|file| (file, left.header))
    }

    /// Whether a file waits to be opened.
    pub(super) fn has_closed(&self) -> bool {
        self.files.iter().any(|entry| entry.file.is_none())
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
