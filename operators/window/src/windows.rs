//! [`Windows`]: the open windows of all keys, those that are due, and closed ones that wait to be written.

use crate::aggregate::Seen;
use crate::config::Watermark;
use mosaik_wasm_sdk::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

/// A window: the states of the aggregates for the time from `start` up to `end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) seen: Vec<Seen>,
}

/// A key and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// The key itself, as JSON.
    #[serde(skip, default = "no_text")]
    pub(crate) text: Rc<[u8]>,
    /// Keys are numbered in order of arrival.
    pub(crate) number: u64,
    /// The newest event time.
    pub(crate) newest: i64,
    /// The time of the last record by the host's clock.
    pub(crate) heard_ms: u64,
    /// Open windows, by start.
    pub(crate) windows: Vec<Window>,
}

fn no_text() -> Rc<[u8]> {
    Rc::from([])
}

/// A closed window.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) key: Rc<[u8]>,
    pub(crate) window: Window,
}

/// The maximum numbers of keys and windows.
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
    /// The slot of the last record's key: files are often sorted by key.
    last: usize,
    open: usize,
    /// With one watermark for all: end, key number and slot of every open window.
    due: BTreeSet<(i64, u64, usize)>,
    pub(crate) newest: i64,
    next_number: u64,
    closed: VecDeque<Closed>,
}

/// A record that is being added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// Its key, as JSON.
    pub(crate) text: &'a [u8],
    /// The slot of its key, if the key is known.
    slot: Option<usize>,
    /// The time up to which windows are closed.
    closed_to: i64,
    /// Its event time.
    pub(crate) time_ms: i64,
    /// The host's clock.
    pub(crate) clock_ms: u64,
}

impl Arrival<'_> {
    /// Returns true if a window with this end is closed.
    pub(crate) fn is_late_for(&self, end: i64) -> bool {
        end <= self.closed_to
    }
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

    /// Creates the arrival of a record from its key, its time and the host's clock.
    pub(crate) fn arrival<'a>(&self, text: &'a [u8], time_ms: i64, clock_ms: u64) -> Arrival<'a> {
        let slot = match self.slots.get(self.last) {
            Some(Some(key)) if *key.text == *text => Some(self.last),
            _ => self.by_text.get(text).copied(),
        };
        let newest = match self.watermark {
            Watermark::All => self.newest,
            Watermark::Key => self.key(slot).map_or(i64::MIN, |key| key.newest),
        };
        Arrival {
            text,
            slot,
            closed_to: newest.saturating_sub(self.lateness_ms),
            time_ms,
            clock_ms,
        }
    }

    /// Adds a record to the aggregates of windows, and closes the windows that its time makes due. The windows are in
    /// order, and none of them is closed.
    pub(crate) fn add(
        &mut self,
        arrival: Arrival<'_>,
        spans: &[(i64, i64)],
        nothing: impl Fn() -> Vec<Seen>,
        see: impl Fn(&mut [Seen]),
    ) -> Result<()> {
        let is_open = |start| {
            self.key(arrival.slot).is_some_and(|key| {
                key.windows
                    .binary_search_by_key(&start, |window| window.start)
                    .is_ok()
            })
        };
        let new = spans.iter().filter(|(start, _)| !is_open(*start)).count();
        let slot = self.enter(arrival, new)?;
        let Some(Some(key)) = self.slots.get_mut(slot) else {
            bail!("the key is missing");
        };
        let first = spans.first().map_or(i64::MIN, |(start, _)| *start);
        let mut at = key.windows.partition_point(|window| window.start < first);
        for (start, end) in spans {
            while key
                .windows
                .get(at)
                .is_some_and(|window| window.start < *start)
            {
                at += 1;
            }
            if key
                .windows
                .get(at)
                .is_none_or(|window| window.start != *start)
            {
                let window = Window {
                    start: *start,
                    end: *end,
                    seen: nothing(),
                };
                key.windows.insert(at, window);
                if self.watermark == Watermark::All {
                    self.due.insert((*end, key.number, slot));
                }
            }
            if let Some(window) = key.windows.get_mut(at) {
                see(&mut window.seen);
            }
        }
        self.open += new;
        self.close_after(slot);
        Ok(())
    }

    /// Returns the session of a record: from `start` to `end`, extended by the sessions of the key that it touches.
    pub(crate) fn session(&self, arrival: Arrival<'_>, (start, end): (i64, i64)) -> (i64, i64) {
        let met = self.key(arrival.slot).map(|key| {
            let met = meeting(&key.windows, (start, end));
            key.windows.get(met).unwrap_or_default()
        });
        match met {
            Some([first, .., last]) => (start.min(first.start), end.max(last.end)),
            Some([one]) => (start.min(one.start), end.max(one.end)),
            _ => (start, end),
        }
    }

    /// Like [`add`](Self::add), for one session, merged from those that it touches.
    pub(crate) fn add_to_session(
        &mut self,
        arrival: Arrival<'_>,
        span: (i64, i64),
        nothing: impl Fn() -> Vec<Seen>,
        see: impl Fn(&mut [Seen]),
        merge: impl Fn(&mut [Seen], Vec<Seen>),
    ) -> Result<()> {
        let is_new = self
            .key(arrival.slot)
            .is_none_or(|key| meeting(&key.windows, span).is_empty());
        let slot = self.enter(arrival, usize::from(is_new))?;
        let Some(Some(key)) = self.slots.get_mut(slot) else {
            bail!("the key is missing");
        };
        let met = meeting(&key.windows, span);
        let at = met.start;
        let (mut start, mut end) = span;
        let mut session: Option<Vec<Seen>> = None;
        let before = key.windows.len();
        for window in key.windows.drain(met) {
            start = start.min(window.start);
            end = end.max(window.end);
            self.due.remove(&(window.end, key.number, slot));
            match &mut session {
                None => session = Some(window.seen),
                Some(seen) => merge(seen, window.seen),
            }
        }
        let mut seen = session.unwrap_or_else(nothing);
        see(&mut seen);
        key.windows.insert(at, Window { start, end, seen });
        self.open = self.open + key.windows.len() - before;
        if self.watermark == Watermark::All {
            self.due.insert((end, key.number, slot));
        }
        self.close_after(slot);
        Ok(())
    }

    /// Closes the windows that are due by the time of all keys.
    pub(crate) fn advance(&mut self, time_ms: i64) {
        self.newest = self.newest.max(time_ms);
        if self.watermark == Watermark::All {
            self.close_due();
        }
    }

    fn key(&self, slot: Option<usize>) -> Option<&Key> {
        self.slots.get(slot?)?.as_ref()
    }

    /// Adds the record's key if necessary, and ensures room for this many more windows.
    fn enter(&mut self, arrival: Arrival<'_>, windows: usize) -> Result<usize> {
        let most = self.bounds.windows;
        ensure!(
            windows == 0 || self.open.saturating_add(windows) <= most,
            "more than {most} windows would be open (max_windows)"
        );
        let slot = match arrival.slot {
            Some(slot) => slot,
            None => self.insert(Key {
                text: arrival.text.into(),
                number: self.next_number,
                newest: i64::MIN,
                heard_ms: arrival.clock_ms,
                windows: Vec::new(),
            })?,
        };
        self.last = slot;
        if let Some(Some(key)) = self.slots.get_mut(slot) {
            key.newest = key.newest.max(arrival.time_ms);
            key.heard_ms = arrival.clock_ms;
        }
        self.newest = self.newest.max(arrival.time_ms);
        Ok(slot)
    }

    fn close_after(&mut self, slot: usize) {
        match self.watermark {
            Watermark::Key => self.close_key(slot),
            Watermark::All => self.close_due(),
        }
    }

    /// Returns the next closed window to write.
    pub(crate) fn next_closed(&mut self) -> Option<Closed> {
        self.closed.pop_front()
    }

    /// Returns true if a closed window waits to be written.
    pub(crate) fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Closes all windows of the keys whose last record arrived at or before that time, and removes the keys.
    pub(crate) fn close_idle(&mut self, heard_ms: u64) {
        self.close_keys(|key| key.heard_ms <= heard_ms);
    }

    /// Closes all windows.
    pub(crate) fn close_all(&mut self) {
        self.close_keys(|_| true);
    }

    /// Returns the keys in order of arrival.
    pub(crate) fn keys(&self) -> Vec<&Key> {
        let mut keys: Vec<&Key> = self.slots.iter().flatten().collect();
        keys.sort_unstable_by_key(|key| key.number);
        keys
    }

    /// Inserts a key that is not present.
    pub(crate) fn insert(&mut self, key: Key) -> Result<usize> {
        let most = self.bounds.keys;
        ensure!(
            self.by_text.len() < most,
            "the limit of {most} keys is reached (max_keys)"
        );
        ensure!(!self.by_text.contains_key(&key.text), "duplicate key");
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
        self.next_number = self.next_number.max(key.number.saturating_add(1));
        self.newest = self.newest.max(key.newest);
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

    /// Closes the windows that are due by the time of all keys. A key without a window is removed.
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

    /// Closes all windows of the keys, by end and then in the order in which the keys arrived, and removes the keys.
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

/// Returns the range of disjoint windows that overlap a span.
fn meeting(windows: &[Window], (start, end): (i64, i64)) -> std::ops::Range<usize> {
    let first = windows.partition_point(|window| window.end <= start);
    let past = windows.partition_point(|window| window.start < end);
    first..past.max(first)
}
