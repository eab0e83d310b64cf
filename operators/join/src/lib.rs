//! The built-in operator `join`: joins two streams of JSON records by key, within a time.
//!
//! Its behaviour and configuration are described in its README; this file combines the parts.

mod config;
mod output;
mod saved;
mod side;

#[cfg(test)]
mod tests;

use config::Config;
use mosaik_operator_common::clock::{Ahead, clock_time, late};
use mosaik_operator_common::encodings::only_json;
use mosaik_operator_common::fields::Wanted;
use mosaik_operator_common::key::KeyFields;
use mosaik_wasm_sdk::host::{self, CounterClass};
use mosaik_wasm_sdk::{
    Binding, FramesOperator, OperatorConfig, Outcome, Outputs, Result, State, ensure, parse_config,
};
use serde_json::value::RawValue;
use side::{At, Held, Key, Side};
use std::collections::VecDeque;

/// The maximum number of values extracted from a record: those of the key, and the time.
const VALUES_MAX: usize = 9;

/// The maximum length of a record in bytes.
const DATUM_LEN_MAX: usize = 1024 * 1024;

/// The output port for late records.
const LATE: usize = 1;

/// The operator.
#[derive(Debug)]
pub struct JoinOperator {
    config: Config,
    inputs: [Input; 2],
    /// The waiting records of the left and the right side.
    sides: [Side; 2],
    clocks: [Clock; 2],
    ahead: Ahead,
    /// Records are numbered in order of arrival.
    next_number: u64,
    /// The remaining work of the current call.
    matching: Option<Matching>,
    leaving: VecDeque<(usize, At, Key)>,
    /// A buffer for the key of the current record.
    key: Vec<u8>,
}

mosaik_wasm_sdk::export!(JoinOperator);

/// The fields extracted from the records of a side.
#[derive(Debug)]
struct Input {
    wanted: Wanted,
    keys: KeyFields,
    /// The index of the event time among the extracted values; `None` if the clock is used.
    time_at: Option<usize>,
}

/// The progress of a side.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Clock {
    /// The newest time.
    newest: i64,
    /// True if its input has ended.
    finished: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            newest: i64::MIN,
            finished: false,
        }
    }
}

/// A record that is being joined with those of the other side.
#[derive(Debug)]
struct Matching {
    side: usize,
    key: Key,
    at: At,
    /// The first record of the other side that it has not been joined with.
    next: At,
}

impl FramesOperator for JoinOperator {
    const INPUTS: &'static [&'static str] = &config::SIDES;
    const OUTPUTS: &'static [&'static str] = &["out", "late"];
    const CONFIG_SCHEMA: &'static str = Config::SCHEMA;
    const STATE_VERSION: u32 = saved::VERSION;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let config: Config = parse_config(config)?;
        only_json("join", inputs, outputs)?;
        let input = |side: usize| {
            let mut wanted = Wanted::default();
            let keys = KeyFields::new(config.by.sides()[side], &mut wanted);
            let time_at = config
                .time
                .as_ref()
                .map(|time| wanted.add(&time.sides()[side].field));
            Input {
                wanted,
                keys,
                time_at,
            }
        };
        Ok(Self {
            inputs: [input(0), input(1)],
            sides: Default::default(),
            clocks: Default::default(),
            ahead: Ahead::new(config.max_ahead),
            next_number: 0,
            matching: None,
            leaving: VecDeque::new(),
            key: Vec::new(),
            config,
        })
    }

    fn process(&mut self, port: usize, datum: &[u8], out: &mut Outputs) -> Result<()> {
        let len = datum.len();
        ensure!(
            len <= DATUM_LEN_MAX,
            "the record has {len} bytes, more than {DATUM_LEN_MAX}"
        );
        let Input { wanted, keys, .. } = &self.inputs[port];
        let found = wanted.find::<VALUES_MAX>(datum)?;
        keys.read(wanted, &found, &mut self.key)?;
        let key_is_null = keys.any_null(&found);
        let clock_ms = host::now();
        let time_ms = self.time_of(port, &found, clock_ms)?;
        if self.config.time.is_some() {
            self.ahead.check(time_ms)?;
        }
        if time_ms < self.closed_to(port) {
            return late(
                datum,
                LATE,
                "late: the newest record of its side is newer by more than `lateness`",
                out,
            );
        }
        self.advance(port, time_ms);
        if key_is_null {
            // As in SQL, null is not equal to null.
            if !self.config.kind.keeps(port) {
                out.outcome(Outcome::Filtered);
            }
            self.alone(port, datum, out);
        } else {
            let key = Key::from(&self.key[..]);
            let at = (time_ms, self.next_number);
            self.next_number += 1;
            let held = Held {
                datum: datum.into(),
                matched: false,
                arrived_ms: clock_ms,
            };
            self.sides[port].insert(&key, at, held);
            out.outcome(Outcome::Absorbed);
            let next = (time_ms.saturating_sub(self.config.within.0), 0);
            self.matching = Some(Matching {
                side: port,
                key,
                at,
                next,
            });
        }
        self.work(out);
        Ok(())
    }

    fn drain(&mut self, out: &mut Outputs) -> Result<()> {
        self.work(out);
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, out: &mut Outputs) -> Result<()> {
        if self.config.time.is_none() {
            self.advance(0, clock_time(now_ms));
        }
        if let Some(idle) = self.config.idle
            && let Some(arrived_ms) = now_ms.checked_sub(idle.as_clock_ms())
        {
            for (port, side) in self.sides.iter_mut().enumerate() {
                let found = side.arrived_by(arrived_ms).into_iter();
                self.leaving.extend(found.map(|(at, key)| (port, at, key)));
            }
        }
        self.work(out);
        Ok(())
    }

    fn finish(&mut self, port: usize, _last: bool, out: &mut Outputs) -> Result<()> {
        self.clocks[port].finished = true;
        self.work(out);
        Ok(())
    }

    fn snapshot(&self) -> Result<State> {
        self.save()
    }

    fn restore(&mut self, saved: State) -> Result<()> {
        self.load(saved)
    }
}

impl JoinOperator {
    fn time_of(&self, port: usize, found: &[Option<&RawValue>], clock_ms: u64) -> Result<i64> {
        let input = &self.inputs[port];
        match (&self.config.time, input.time_at) {
            (Some(time), Some(at)) => time.sides()[port].read(input.wanted.required(found, at)?),
            // A clock that is set back does not make records late.
            _ => Ok(clock_time(clock_ms).max(self.clocks[port].newest)),
        }
    }

    /// Returns the time before which records of that side are late.
    fn closed_to(&self, side: usize) -> i64 {
        let newest = self.clocks[side].newest;
        newest.saturating_sub(self.config.lateness.0)
    }

    /// Advances the time of a side; with the host's clock, of both sides.
    fn advance(&mut self, side: usize, time_ms: i64) {
        let by_clock = self.config.time.is_none();
        for (index, clock) in self.clocks.iter_mut().enumerate() {
            if by_clock || index == side {
                clock.newest = clock.newest.max(time_ms);
            }
        }
    }

    /// Continues the work of the current call until enough output waits.
    fn work(&mut self, out: &mut Outputs) {
        if !(self.match_on(out) && self.let_go(out)) {
            out.call_drain();
        }
    }

    /// Joins the current record with those of the other side. Returns true when done.
    fn match_on(&mut self, out: &mut Outputs) -> bool {
        let Some(matching) = &mut self.matching else {
            return true;
        };
        let Matching {
            side,
            ref key,
            at,
            next,
        } = *matching;
        let newest = at.0.saturating_add(self.config.within.0);
        let [left, right] = &mut self.sides;
        let (own, other) = if side == 0 {
            (left, right)
        } else {
            (right, left)
        };
        let Some(own) = own.get_mut(key, at) else {
            self.matching = None;
            return true;
        };
        let mut from = next;
        while let Some((found, partner)) = other.next(key, from, newest) {
            if out.is_full() {
                matching.next = from;
                return false;
            }
            own.matched = true;
            partner.matched = true;
            let mut records = [Some(&own.datum[..]), Some(&partner.datum[..])];
            if side == 1 {
                records.reverse();
            }
            write(&self.config, records, out);
            from = (found.0, found.1 + 1);
        }
        self.matching = None;
        true
    }

    /// Removes records that need not or cannot be held any longer. Returns true when done.
    fn let_go(&mut self, out: &mut Outputs) -> bool {
        while !out.is_full() {
            let Some((side, at, key)) = self.next_to_go() else {
                return true;
            };
            let Some(held) = self.sides[side].remove(&key, at) else {
                continue;
            };
            if !held.matched {
                self.alone(side, &held.datum, out);
            }
        }
        false
    }

    /// Returns the next record to remove: one that was held too long, one that cannot find a match any more, or one
    /// that exceeds the bounds.
    fn next_to_go(&mut self) -> Option<(usize, At, Key)> {
        if let Some(first) = self.leaving.pop_front() {
            return Some(first);
        }
        let Config {
            max_records,
            max_bytes,
            ..
        } = self.config;
        (0..2).find_map(|index| {
            let side = &self.sides[index];
            let (at, key) = side.oldest()?;
            if self.is_past(index, at) {
                return Some((index, at, key));
            }
            let is_full = side.len() > max_records || side.bytes() > max_bytes.0;
            if is_full {
                let name = ["evicted_left", "evicted_right"][index];
                host::count_as(CounterClass::Incomplete, name, 1);
            }
            is_full.then_some((index, at, key))
        })
    }

    /// Returns true if the other side can no longer produce a record within `within`.
    fn is_past(&self, side: usize, at: At) -> bool {
        let other = 1 - side;
        self.clocks[other].finished
            || at.0.saturating_add(self.config.within.0) < self.closed_to(other)
    }

    /// Outputs an unmatched record alone, or drops it.
    fn alone(&self, side: usize, datum: &[u8], out: &mut Outputs) {
        if self.config.kind.keeps(side) {
            let mut records = [Some(datum), None];
            if side == 1 {
                records.reverse();
            }
            write(&self.config, records, out);
        } else {
            host::count(["unmatched_left", "unmatched_right"][side], 1);
        }
    }
}

/// Writes matched records. The inputs are consumed already, so a failure is counted instead of rejecting them.
fn write(config: &Config, records: [Option<&[u8]>; 2], out: &mut Outputs) {
    let mut clashes = 0;
    let sent = out.write(0, |to| {
        clashes = output::write(config.output, config.prefixes(), records, to)?;
        Ok(())
    });
    if sent.is_err() {
        host::count_as(CounterClass::Lost, "too_large", 1);
    } else if clashes > 0 {
        host::count_as(CounterClass::Incomplete, "name_clashes", clashes);
    }
}
