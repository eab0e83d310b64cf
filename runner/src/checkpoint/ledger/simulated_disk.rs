//! [`Disk`]: a simulated disk that forgets or tears what was not synced when the machine loses power.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use redb::StorageBackend;

use crate::checkpoint::random::Random;

/// Size of the parts in which a write reaches the disk: 512 bytes.
const SECTOR: usize = 512;

/// A change of the file, or a sync.
#[derive(Debug, Clone)]
enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

/// What is left of the changes since the last sync.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    /// None of them.
    All,
    /// All of them.
    Nothing,
    /// Some of them.
    Some(u64),
    /// All of them, but only some sectors of the last write.
    Torn(u64),
}

/// A file on a disk. Clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The content before the changes in `ops`.
    first: Vec<u8>,
    content: Vec<u8>,
    ops: Vec<Op>,
    /// The size beyond which the file cannot grow.
    capacity: Option<u64>,
    /// The number of syncs until one fails. Later ones succeed, as they do on a real system.
    failing_sync: Option<u64>,
}

impl Disk {
    /// Creates a disk with this content, which is durable.
    pub(super) fn with(content: Vec<u8>) -> Self {
        let disk = Self::default();
        {
            let mut state = disk.state();
            state.first.clone_from(&content);
            state.content = content;
        }
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Returns the content as this process sees it.
    pub(super) fn content(&self) -> Vec<u8> {
        self.state().content.clone()
    }

    /// Returns the number of changes and syncs so far.
    pub(super) fn ops(&self) -> usize {
        self.state().ops.len()
    }

    /// Lets the file grow no further.
    pub(super) fn fill(&self, room: u64) {
        let mut state = self.state();
        state.capacity = Some(state.content.len() as u64 + room);
    }

    /// Lets the file grow again.
    pub(super) fn clean_up(&self) {
        self.state().capacity = None;
    }

    /// Makes a later sync fail: 0 for the next one.
    pub(super) fn fail_sync(&self, after: u64) {
        self.state().failing_sync = Some(after);
    }

    /// Returns the content after a loss of power before the change with this number.
    pub(super) fn after_crash(&self, at: usize, loss: Loss) -> Vec<u8> {
        let state = self.state();
        let done = &state.ops[..at];
        let synced = done.iter().rposition(|op| matches!(op, Op::Sync));
        let (synced, unsynced) = done.split_at(synced.map_or(0, |last| last + 1));
        let mut content = state.first.clone();
        for op in synced {
            apply(&mut content, op);
        }
        match loss {
            Loss::All => {}
            Loss::Nothing => unsynced.iter().for_each(|op| apply(&mut content, op)),
            Loss::Some(seed) => {
                let mut random = Random::seeded(seed ^ at as u64);
                for op in unsynced {
                    if random.once_in(2) {
                        apply(&mut content, op);
                    }
                }
            }
            Loss::Torn(seed) => {
                let mut random = Random::seeded(seed ^ at as u64);
                let Some((last, before)) = unsynced.split_last() else {
                    return content;
                };
                for op in before {
                    apply(&mut content, op);
                }
                tear(&mut content, last, &mut random);
            }
        }
        content
    }
}

fn apply(content: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(at, bytes) => put(content, *at as usize, bytes),
        Op::SetLen(len) => content.resize(*len as usize, 0),
        Op::Sync => {}
    }
}

/// Applies some sectors of a write.
fn tear(content: &mut Vec<u8>, op: &Op, random: &mut Random) {
    let Op::Write(at, bytes) = op else { return };
    let mut at = *at as usize;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (sector, after) = rest.split_at((SECTOR - at % SECTOR).min(rest.len()));
        if random.once_in(2) {
            put(content, at, sector);
        }
        at += sector.len();
        rest = after;
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(bytes);
}

impl State {
    fn grow_to(&self, len: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if len > capacity => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn change(&mut self, op: Op) {
        apply(&mut self.content, &op);
        self.ops.push(op);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (start, state) = (offset as usize, self.state());
        let found = state.content.get(start..start + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.grow_to(len)?;
        state.change(Op::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        match &mut state.failing_sync {
            Some(0) => {
                state.failing_sync = None;
                return Err(io::Error::other("the disk does not answer"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.change(Op::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.grow_to(offset + data.len() as u64)?;
        state.change(Op::Write(offset, data.to_vec()));
        Ok(())
    }
}
