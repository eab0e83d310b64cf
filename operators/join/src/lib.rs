//! The built-in operator `join`: two streams of JSON datums by key, within a time.
//!
//! What it does and how it is configured is in its README; this file puts the parts together.

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
use mosaik_wasm_sdk::{Binding, FramesOperator, Outcome, Outputs, Result, State, ensure};
use serde_json::value::RawValue;
use side::{At, Held, Key, Side};
use std::collections::VecDeque;

/// Values that are taken out of one datum: those of the key, and the time.
const VALUES_MAX: usize = 9;

/// Bytes of a datum.
const DATUM_LEN_MAX: usize = 1024 * 1024;

/// The output port for what comes too late.
const LATE: usize = 1;

/// The operator.
#[derive(Debug)]
pub struct JoinOperator {
    config: Config,
    inputs: [Input; 2],
    /// The datums that wait, of the left and of the right.
    sides: [Side; 2],
    clocks: [Clock; 2],
    ahead: Ahead,
    /// Datums are numbered as they come.
    next_number: u64,
    /// What is still to be done of the call at hand.
    matching: Option<Matching>,
    leaving: VecDeque<(usize, At, Key)>,
    /// Holds the key of the datum at hand.
    key: Vec<u8>,
}

mosaik_wasm_sdk::export!(JoinOperator);

/// What is taken out of the datums of a side.
#[derive(Debug)]
struct Input {
    wanted: Wanted,
    keys: KeyFields,
    /// The place of the event time among the wanted values; none where the clock is taken.
    time_at: Option<usize>,
}

/// How far a side has come.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Clock {
    /// The newest time.
    newest: i64,
    /// Whether its input has ended.
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

/// A datum that is being joined with those of the other side.
#[derive(Debug)]
struct Matching {
    side: usize,
    key: Key,
    at: At,
    /// The first of the other side that it has not been joined with.
    next: At,
}

impl FramesOperator for JoinOperator {
    const INPUTS: &'static [&'static str] = &config::SIDES;
    const OUTPUTS: &'static [&'static str] = &["out", "late"];
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
    const STATE_VERSION: u32 = saved::VERSION;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let config = Config::parse(config)?;
        only_json("join", inputs, outputs)?;
        let input = |side: usize| {
            let mut wanted = Wanted::default();
            let keys = KeyFields::new(&config.by[side], &mut wanted);
            let time_at = config
                .time
                .as_ref()
                .map(|time| wanted.add(&time[side].field));
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
            "the datum has {len} bytes, more than {DATUM_LEN_MAX}"
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
                "late: others of its side are newer by more than `lateness`",
                out,
            );
        }
        self.advance(port, time_ms);
        if key_is_null {
            // As in SQL, null is not the same as null.
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
            (Some(time), Some(at)) => time[port].read(input.wanted.required(found, at)?),
            // A clock that is set back does not make anything late.
            _ => Ok(clock_time(clock_ms).max(self.clocks[port].newest)),
        }
    }

    /// No datum of that side is taken that is older.
    fn closed_to(&self, side: usize) -> i64 {
        let newest = self.clocks[side].newest;
        newest.saturating_sub(self.config.lateness_ms())
    }

    /// That side has come so far; by the host's clock, both have.
    fn advance(&mut self, side: usize, time_ms: i64) {
        let by_clock = self.config.time.is_none();
        for (index, clock) in self.clocks.iter_mut().enumerate() {
            if by_clock || index == side {
                clock.newest = clock.newest.max(time_ms);
            }
        }
    }

    /// Goes on with what the call at hand has left to do, until enough waits to be handed out.
    fn work(&mut self, out: &mut Outputs) {
        if !(self.match_on(out) && self.let_go(out)) {
            out.call_drain();
        }
    }

    /// Joins the datum at hand with those of the other side. Whether that is done.
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
            let mut datums = [Some(&own.datum[..]), Some(&partner.datum[..])];
            if side == 1 {
                datums.reverse();
            }
            write(&self.config, datums, out);
            from = (found.0, found.1 + 1);
        }
        self.matching = None;
        true
    }

    /// Lets go of what need not or cannot be held any longer. Whether that is done.
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

    /// The next datum to let go of: one that was held for too long, one that cannot find another any more, or one that is
    /// too much.
    fn next_to_go(&mut self) -> Option<(usize, At, Key)> {
        if let Some(first) = self.leaving.pop_front() {
            return Some(first);
        }
        let Config {
            max_datums,
            max_bytes,
            ..
        } = self.config;
        (0..2).find_map(|index| {
            let side = &self.sides[index];
            let (at, key) = side.oldest()?;
            if self.is_past(index, at) {
                return Some((index, at, key));
            }
            let is_full = side.len() > max_datums || side.bytes() > max_bytes.0;
            if is_full {
                let name = ["evicted_left", "evicted_right"][index];
                host::count_as(CounterClass::Incomplete, name, 1);
            }
            is_full.then_some((index, at, key))
        })
    }

    /// Whether the other side can have no datum any more that is near enough.
    fn is_past(&self, side: usize, at: At) -> bool {
        let other = 1 - side;
        self.clocks[other].finished
            || at.0.saturating_add(self.config.within.0) < self.closed_to(other)
    }

    /// A datum that found no other leaves alone, or not at all.
    fn alone(&self, side: usize, datum: &[u8], out: &mut Outputs) {
        if self.config.kind.keeps(side) {
            let mut datums = [Some(datum), None];
            if side == 1 {
                datums.reverse();
            }
            write(&self.config, datums, out);
        } else {
            host::count(["unmatched_left", "unmatched_right"][side], 1);
        }
    }
}

/// Sends datums that belong together. What cannot be sent has been taken already, so it is counted, not rejected.
fn write(config: &Config, datums: [Option<&[u8]>; 2], out: &mut Outputs) {
    let mut clashes = 0;
    let sent = out.write(0, |to| {
        clashes = output::write(config.output, config.prefixes(), datums, to)?;
        Ok(())
    });
    if sent.is_err() {
        host::count_as(CounterClass::Lost, "too_large", 1);
    } else if clashes > 0 {
        host::count_as(CounterClass::Incomplete, "name_clashes", clashes);
    }
}
