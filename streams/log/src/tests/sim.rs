//! [`SimDisk`]: a disk in memory that remembers every write, and forgets what was not synced when it loses power.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use crate::{Disk, DiskFile};

#[derive(Debug, Clone)]
enum Op {
    Create {
        name: String,
        file: usize,
    },
    Remove {
        name: String,
    },
    SyncFolder,
    Write {
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        file: usize,
        len: usize,
    },
    Sync {
        file: usize,
    },
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    ops: Vec<Op>,
    /// The number of bytes that fit onto the disk.
    room: Option<usize>,
    fails_to_sync: bool,
}

#[derive(Debug, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    file: usize,
}

/// A small generator, so that every crash can be repeated.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) const fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

impl SimDisk {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The number of operations so far.
    pub(super) fn ops(&self) -> usize {
        self.0.lock().unwrap().ops.len()
    }

    pub(super) fn set_room(&self, room: Option<usize>) {
        self.0.lock().unwrap().room = room;
    }

    pub(super) fn fail_to_sync(&self) {
        self.0.lock().unwrap().fails_to_sync = true;
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    /// Changes the contents of a file.
    pub(super) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock().unwrap();
        let file = state.names[name];
        edit(&mut state.files[file]);
    }

    pub(super) fn add(&self, name: &str, bytes: &[u8]) {
        let mut state = self.0.lock().unwrap();
        let file = state.files.len();
        state.files.push(bytes.to_vec());
        state.names.insert(name.to_owned(), file);
    }

    /// Returns the disk as it could be after the power was lost behind the first `ops` operations. An operation that
    /// was not synced may have happened, or not, or in part.
    pub(super) fn crash(&self, ops: usize, random: &mut Random) -> Arc<Self> {
        let state = self.0.lock().unwrap();
        let ops = &state.ops[..ops];
        let folder_synced = ops.iter().rposition(|op| matches!(op, Op::SyncFolder));
        let mut names = BTreeMap::new();
        let mut files = vec![Vec::new(); state.files.len()];
        for (index, op) in ops.iter().enumerate() {
            let is_durable = match op {
                Op::Create { .. } | Op::Remove { .. } => Some(index) < folder_synced,
                Op::Write { file, .. } | Op::Cut { file, .. } => ops[index..]
                    .iter()
                    .any(|later| matches!(later, Op::Sync { file: synced } if synced == file)),
                Op::Sync { .. } | Op::SyncFolder => continue,
            };
            let happens = is_durable || random.next(2) == 0;
            match op {
                Op::Create { name, file } if happens => drop(names.insert(name.clone(), *file)),
                Op::Remove { name } if happens => drop(names.remove(name)),
                Op::Cut { file, len } if happens => files[*file].resize(*len, 0),
                Op::Write { file, at, bytes } if happens => {
                    let bytes = if is_durable || random.next(2) == 0 {
                        &bytes[..]
                    } else {
                        &bytes[..random.next(bytes.len() + 1)]
                    };
                    write(&mut files[*file], *at, bytes);
                }
                _ => {}
            }
        }
        Arc::new(Self(Arc::new(Mutex::new(State {
            names,
            files,
            ..State::default()
        }))))
    }
}

fn write(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}

impl Disk for SimDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(Self::names(self))
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock().unwrap();
        let file = match (state.names.get(name), create) {
            (Some(_), true) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), false) => *file,
            (None, false) => return Err(io::ErrorKind::NotFound.into()),
            (None, true) => {
                let file = state.files.len();
                state.files.push(Vec::new());
                state.names.insert(name.to_owned(), file);
                let name = name.to_owned();
                state.ops.push(Op::Create { name, file });
                file
            }
        };
        let state = self.0.clone();
        Ok(Box::new(SimFile { state, file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let name = name.to_owned();
        state.ops.push(Op::Remove { name });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.lock().unwrap().ops.push(Op::SyncFolder);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().unwrap().files[self.file].len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock().unwrap();
        let file = &state.files[self.file];
        let rest = &file[file.len().min(offset as usize)..];
        // Like a disk, not always everything at once.
        let len = buf.len().min(rest.len()).min(1000);
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let used: usize = state.files.iter().map(Vec::len).sum();
        let room = state
            .room
            .map_or(usize::MAX, |room| room.saturating_sub(used));
        let fits = buf.len().min(room);
        let (file, at) = (self.file, offset as usize);
        write(&mut state.files[file], at, &buf[..fits]);
        let bytes = buf[..fits].to_vec();
        state.ops.push(Op::Write { file, at, bytes });
        if fits < buf.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let (file, len) = (self.file, len as usize);
        state.files[file].resize(len, 0);
        state.ops.push(Op::Cut { file, len });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.fails_to_sync {
            state.fails_to_sync = false;
            return Err(io::Error::other("lost the connection to the drive"));
        }
        let file = self.file;
        state.ops.push(Op::Sync { file });
        Ok(())
    }
}
