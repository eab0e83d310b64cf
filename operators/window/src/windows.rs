//! [`Windows`]: the open windows of all keys, which of them are due, and those that wait to be written.

use crate::aggregate::Seen;
use crate::config::Watermark;
use mosaik_wasm_sdk::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

/// A window: what the aggregates have seen of the time from `start` up to `end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) seen: Vec<Seen>,
}

/// A key, with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Its members as they stand in an output, `"symbol":"MSFT"`.
    #[serde(skip, default = "no_text")]
    pub(crate) text: Rc<[u8]>,
    /// Keys are numbered as they come.
    pub(crate) number: u64,
    /// The newest event time.
    pub(crate) newest: i64,
    /// When the last datum came, by the host's clock.
    pub(crate) heard_ms: u64,
    /// Open windows, by start.
    pub(crate) windows: Vec<Window>,
}

fn no_text() -> Rc<[u8]> {
    Rc::from([])
}

/// A window that has been closed.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) key: Rc<[u8]>,
    pub(crate) window: Window,
}

/// How many keys and windows there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) keys: usize,
    pub(crate) windows: usize,
}

/// The open windows.
#[derive(Debug)]
pub(crate) struct Windows {
    watermark: Watermark,
    lateness_ms: i64,
    bounds: Bounds,
    slots: Vec<Option<Key>>,
    free: Vec<usize>,
    by_text: HashMap<Rc<[u8]>, usize>,
    /// The slot of the last datum: files are often sorted by key.
    last: usize,
    open: usize,
    /// Under one watermark for all: end, key's number and slot of every open window.
    due: BTreeSet<(i64, u64, usize)>,
    pub(crate) newest: i64,
    pub(crate) next_number: u64,
    closed: VecDeque<Closed>,
}

/// Where a datum goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// Into a window of the key in that slot, if it is known.
    Open(Option<usize>),
    /// Its window is closed.
    Late,
}

impl Windows {
    pub(crate) fn new(watermark: Watermark, lateness_ms: i64, bounds: Bounds) -> Self {
        Self {
            watermark,
            lateness_ms,
            bounds,
            slots: Vec::new(),
            free: Vec::new(),
            by_text: HashMap::new(),
            last: 0,
            open: 0,
            due: BTreeSet::new(),
            newest: i64::MIN,
            next_number: 0,
            closed: VecDeque::new(),
        }
    }

    /// Where a datum goes whose window ends there.
    pub(crate) fn place(&self, text: &[u8], end: i64) -> Place {
        let slot = match self.slots.get(self.last) {
            Some(Some(key)) if *key.text == *text => Some(self.last),
            _ => self.by_text.get(text).copied(),
        };
        let newest = match self.watermark {
            Watermark::All => self.newest,
            Watermark::Key => slot
                .and_then(|slot| self.slots.get(slot)?.as_ref())
                .map_or(i64::MIN, |key| key.newest),
        };
        if end.saturating_add(self.lateness_ms) <= newest {
            Place::Late
        } else {
            Place::Open(slot)
        }
    }

    /// Lets the aggregates of a window see a datum, and closes what its time makes due.
    pub(crate) fn add(
        &mut self,
        slot: Option<usize>,
        text: &[u8],
        (start, end): (i64, i64),
        (time_ms, clock_ms): (i64, u64),
        nothing: impl FnOnce() -> Vec<Seen>,
        see: impl FnOnce(&mut [Seen]),
    ) -> Result<()> {
        let known = slot.and_then(|slot| self.slots.get(slot)?.as_ref());
        let is_open =
            known.is_some_and(|key| key.windows.iter().any(|window| window.start == start));
        if !is_open {
            let most = self.bounds.windows;
            ensure!(
                self.open < most,
                "{most} windows are open already (max_windows)"
            );
        }
        let slot = match slot.filter(|_| known.is_some()) {
            Some(slot) => slot,
            None => self.insert(Key {
                text: text.into(),
                number: self.next_number,
                newest: i64::MIN,
                heard_ms: clock_ms,
                windows: Vec::new(),
            })?,
        };
        self.last = slot;
        let Some(Some(key)) = self.slots.get_mut(slot) else {
            bail!("the key has gone");
        };
        key.newest = key.newest.max(time_ms);
        key.heard_ms = clock_ms;
        self.newest = self.newest.max(time_ms);
        let at = match key
            .windows
            .binary_search_by_key(&start, |window| window.start)
        {
            Ok(at) => at,
            Err(at) => {
                key.windows.insert(
                    at,
                    Window {
                        start,
                        end,
                        seen: nothing(),
                    },
                );
                self.open += 1;
                if self.watermark == Watermark::All {
                    self.due.insert((end, key.number, slot));
                }
                at
            }
        };
        if let Some(window) = key.windows.get_mut(at) {
            see(&mut window.seen);
        }
        match self.watermark {
            Watermark::Key => self.close_key(slot),
            Watermark::All => self.close_due(),
        }
        Ok(())
    }

    /// The next window that waits to be written.
    pub(crate) fn next_closed(&mut self) -> Option<Closed> {
        self.closed.pop_front()
    }

    /// Whether a window waits to be written.
    pub(crate) fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Closes all windows of the keys that were last heard of at that time or before, and forgets them.
    pub(crate) fn close_idle(&mut self, heard_ms: u64) {
        self.close_keys(|key| key.heard_ms <= heard_ms);
    }

    /// Closes all windows.
    pub(crate) fn close_all(&mut self) {
        self.close_keys(|_| true);
    }

    /// The keys, in the order in which they came.
    pub(crate) fn keys(&self) -> Vec<&Key> {
        let mut keys: Vec<&Key> = self.slots.iter().flatten().collect();
        keys.sort_unstable_by_key(|key| key.number);
        keys
    }

    /// Puts a key where none of its text is.
    pub(crate) fn insert(&mut self, key: Key) -> Result<usize> {
        let most = self.bounds.keys;
        ensure!(
            self.by_text.len() < most,
            "{most} keys are held already (max_keys)"
        );
        ensure!(
            !self.by_text.contains_key(&key.text),
            "a key is there twice"
        );
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.open += key.windows.len();
        if self.watermark == Watermark::All {
            self.due.extend(
                key.windows
                    .iter()
                    .map(|window| (window.end, key.number, slot)),
            );
        }
        self.next_number = self.next_number.max(key.number + 1);
        self.by_text.insert(Rc::clone(&key.text), slot);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(key);
        }
        Ok(slot)
    }

    /// Closes the windows of a key that are due by its own time.
    fn close_key(&mut self, slot: usize) {
        let Some(Some(key)) = self.slots.get_mut(slot) else {
            return;
        };
        let due = key
            .windows
            .iter()
            .take_while(|window| window.end.saturating_add(self.lateness_ms) <= key.newest)
            .count();
        for window in key.windows.drain(..due) {
            self.closed.push_back(Closed {
                key: Rc::clone(&key.text),
                window,
            });
        }
        self.open -= due;
    }

    /// Closes the windows that are due by the time of all; a key without a window is forgotten.
    fn close_due(&mut self) {
        while let Some((end, number, slot)) = self.due.first().copied() {
            if end.saturating_add(self.lateness_ms) > self.newest {
                break;
            }
            self.due.remove(&(end, number, slot));
            let Some(Some(key)) = self.slots.get_mut(slot) else {
                continue;
            };
            if let Some(at) = key.windows.iter().position(|window| window.end == end) {
                self.closed.push_back(Closed {
                    key: Rc::clone(&key.text),
                    window: key.windows.remove(at),
                });
                self.open -= 1;
            }
            if key.windows.is_empty() {
                self.forget(slot);
            }
        }
    }

    /// Closes all windows of the keys, by end and then in the order in which the keys came, and forgets the keys.
    fn close_keys(&mut self, which: impl Fn(&Key) -> bool) {
        let mut closed = Vec::new();
        for slot in 0..self.slots.len() {
            if !self
                .slots
                .get(slot)
                .and_then(Option::as_ref)
                .is_some_and(&which)
            {
                continue;
            }
            let Some(key) = self.forget(slot) else {
                continue;
            };
            self.open -= key.windows.len();
            for window in key.windows {
                self.due.remove(&(window.end, key.number, slot));
                closed.push((
                    key.number,
                    Closed {
                        key: Rc::clone(&key.text),
                        window,
                    },
                ));
            }
        }
        closed.sort_by_key(|(number, closed)| (closed.window.end, *number));
        self.closed
            .extend(closed.into_iter().map(|(_, closed)| closed));
    }

    fn forget(&mut self, slot: usize) -> Option<Key> {
        let key = self.slots.get_mut(slot)?.take()?;
        self.by_text.remove(&key.text);
        self.free.push(slot);
        Some(key)
    }
}
