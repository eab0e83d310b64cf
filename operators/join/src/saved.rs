//! The saved state: one self-contained entry per key, and one that belongs to all keys.

use crate::side::{At, Held, Key};
use crate::{Clock, JoinOperator};
use mosaik_operator_common::key::ALL_KEYS;
use mosaik_operator_common::saved::{load, save};
use mosaik_wasm_sdk::{Entry, Result, State, bail, ensure};
use serde::{Deserialize, Serialize};

/// The version of the saved state.
pub(crate) const VERSION: u32 = 1;

/// The contents of every entry.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Common {
    shape: u64,
    newest: [i64; 2],
    finished: [bool; 2],
}

/// A waiting record.
#[derive(Serialize, Deserialize)]
struct Waiting<'a> {
    side: u8,
    at: At,
    arrived_ms: u64,
    matched: bool,
    #[serde(borrow)]
    datum: &'a [u8],
}

impl JoinOperator {
    pub(crate) fn save(&self) -> Result<State> {
        let common = Common {
            shape: self.config.shape(),
            newest: self.clocks.map(|clock| clock.newest),
            finished: self.clocks.map(|clock| clock.finished),
        };
        let [left, right] = &self.sides;
        let mut left = left.by_key().peekable();
        let mut right = right.by_key().peekable();
        let mut entries = Vec::new();
        loop {
            let next = [&mut left, &mut right].map(|side| side.peek().map(|(key, ..)| *key));
            let Some(key) = next.into_iter().flatten().min() else {
                break;
            };
            let mut waiting = Vec::new();
            for (index, side) in (0u8..).zip([&mut left, &mut right]) {
                while let Some((_, at, held)) = side.next_if(|(next, ..)| *next == key) {
                    waiting.push(Waiting {
                        side: index,
                        at: *at,
                        arrived_ms: held.arrived_ms,
                        matched: held.matched,
                        datum: &held.datum,
                    });
                }
            }
            entries.push(Entry {
                key: Some(key.to_vec()),
                value: save(&(common, waiting))?,
            });
        }
        if self.clocks != [Clock::default(); 2] {
            entries.push(Entry {
                key: Some(ALL_KEYS.to_vec()),
                value: save(&(common, Vec::<Waiting<'_>>::new()))?,
            });
        }
        Ok(State {
            version: VERSION,
            entries,
        })
    }

    /// Restores a state, possibly combined from parts of several instances.
    pub(crate) fn load(&mut self, saved: State) -> Result<()> {
        let version = saved.version;
        ensure!(
            version == VERSION,
            "the saved state has version {version}, but this join reads version {VERSION}"
        );
        for Entry { key, value } in saved.entries {
            let (common, waiting): (Common, Vec<Waiting<'_>>) = load(&value)?;
            if common.shape != self.config.shape() {
                bail!("the saved records were held with another `by` or `time`");
            }
            for (index, clock) in self.clocks.iter_mut().enumerate() {
                clock.newest = clock.newest.max(common.newest[index]);
                clock.finished |= common.finished[index];
            }
            let key = Key::from(key.unwrap_or_default());
            for held in waiting {
                let Some(side) = self.sides.get_mut(usize::from(held.side)) else {
                    bail!("the saved state has a side that is neither left nor right");
                };
                self.next_number = self.next_number.max(held.at.1.saturating_add(1));
                let datum = Held {
                    datum: held.datum.into(),
                    matched: held.matched,
                    arrived_ms: held.arrived_ms,
                };
                side.insert(&key, held.at, datum);
            }
        }
        Ok(())
    }
}
