//! The built-in operator `sample`: passes a part of the records: one in N, N in a time, or a fraction of keys.
//!
//! Its behaviour and configuration are described in its README; this file combines the parts.

mod config;
mod rate;

#[cfg(test)]
mod tests;

use config::{Config, KEY_FIELDS_MAX, Method, Turn};
use mosaik_operator_common::encodings::all_alike;
use mosaik_operator_common::fields::Wanted;
use mosaik_operator_common::hash::hash_64;
use mosaik_operator_common::key::KeyFields;
use mosaik_operator_common::recent::Recent;
use mosaik_operator_common::saved::{load, save};
use mosaik_wasm_sdk::host::{self, CounterClass};
use mosaik_wasm_sdk::{
    Binding, Entry, FramesOperator, OperatorConfig, Outputs, Result, State, ensure, parse_config,
};
use rate::Bucket;
use serde::{Deserialize, Serialize};

/// The version of the saved state.
const STATE_VERSION: u32 = 1;

/// The output port for records that do not pass.
const REST: usize = 1;

/// The operator.
#[derive(Debug)]
pub struct SampleOperator {
    config: Config,
    method: Method,
    wanted: Wanted,
    keys: KeyFields,
    /// The state of all records together, if they are not sampled by key.
    alone: Option<Seen>,
    by_key: Recent<Seen>,
    /// A buffer for the key of the current record.
    key: Vec<u8>,
}

mosaik_wasm_sdk::export!(SampleOperator);

/// The sampling state of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Seen {
    /// The number of following records that do not pass.
    Skip(u64),
    /// The tokens that are available.
    Bucket(Bucket),
}

impl FramesOperator for SampleOperator {
    const OUTPUTS: &'static [&'static str] = &["out", "rest"];
    const CONFIG_SCHEMA: &'static str = Config::SCHEMA;
    const STATE_VERSION: u32 = STATE_VERSION;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let config: Config = parse_config(config)?;
        all_alike("sample", !config.by.0.is_empty(), inputs, outputs)?;
        let mut wanted = Wanted::default();
        Ok(Self {
            method: config.method(),
            keys: KeyFields::new(&config.by, &mut wanted),
            wanted,
            alone: None,
            by_key: Recent::new(config.bounds()),
            key: Vec::new(),
            config,
        })
    }

    fn process(&mut self, _port: usize, datum: &[u8], out: &mut Outputs) -> Result<()> {
        let is_by_key = !self.config.by.0.is_empty();
        if is_by_key {
            let found = self.wanted.find::<KEY_FIELDS_MAX>(datum)?;
            self.keys.read(&self.wanted, &found, &mut self.key)?;
        }
        let turn = match &self.method {
            Method::Fraction { threshold, seed } => {
                let of = if is_by_key { &*self.key } else { datum };
                let passes = u128::from(hash_64(seed, of)) < *threshold;
                return hand_on(passes, datum, out);
            }
            Method::Turn(turn) => *turn,
        };
        let now_ms = host::now();
        let known = if is_by_key {
            self.by_key.touch(&self.key, now_ms)
        } else {
            self.alone.as_mut()
        };
        let (passes, seen) = turn.judge(known.as_deref().copied(), now_ms);
        // A record that does not fit into the answer is rejected and not counted.
        hand_on(passes, datum, out)?;
        match known {
            Some(known) => *known = seen,
            None if is_by_key => {
                self.forget_full(now_ms);
                let gone = self.by_key.insert(self.key.as_slice(), seen, now_ms);
                count_evicted(gone);
            }
            None => self.alone = Some(seen),
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, _out: &mut Outputs) -> Result<()> {
        self.forget_full(now_ms);
        Ok(())
    }

    fn snapshot(&self) -> Result<State> {
        let shape = self.config.shape();
        let mut entries = self.by_key.save(shape)?;
        if let Some(seen) = &self.alone {
            entries.push(Entry {
                key: None,
                value: save(&(shape, seen))?,
            });
        }
        Ok(State {
            version: STATE_VERSION,
            entries,
        })
    }

    fn restore(&mut self, saved: State) -> Result<()> {
        let State { version, entries } = saved;
        ensure!(
            version == STATE_VERSION,
            "the saved state has version {version}, but this sample reads version {STATE_VERSION}"
        );
        let shape = self.config.shape();
        let (alone, by_key): (Vec<_>, _) =
            entries.into_iter().partition(|entry| entry.key.is_none());
        let mut seen = None;
        for entry in alone {
            let (saved_shape, alone): (u64, Seen) = load(&entry.value)?;
            ensure!(
                saved_shape == shape,
                "the saved state was made with another configuration"
            );
            seen = Some(alone);
        }
        let (by_key, gone) = Recent::restore(self.config.bounds(), shape, by_key)?;
        count_evicted(gone);
        self.alone = seen;
        self.by_key = by_key;
        Ok(())
    }
}

impl Turn {
    /// Returns true if the next record passes, and the state after it.
    fn judge(self, known: Option<Seen>, now_ms: u64) -> (bool, Seen) {
        match (self, known) {
            (Self::Every(_), Some(Seen::Skip(left @ 1..))) => (false, Seen::Skip(left - 1)),
            (Self::Every(every), _) => (true, Seen::Skip(every - 1)),
            (Self::Rate(rate, burst), known) => {
                let mut bucket = match known {
                    Some(Seen::Bucket(bucket)) => bucket,
                    _ => Bucket::full(rate, burst, now_ms),
                };
                (bucket.take(rate, burst, now_ms), Seen::Bucket(bucket))
            }
        }
    }
}

impl SampleOperator {
    /// Forgets keys with a full bucket, which is also the state of a new key.
    fn forget_full(&mut self, now_ms: u64) {
        let Method::Turn(Turn::Rate(rate, burst)) = self.method else {
            return;
        };
        self.by_key.forget_while(|seen| match seen {
            Seen::Bucket(bucket) => bucket.is_full(rate, burst, now_ms),
            Seen::Skip(_) => false,
        });
    }
}

fn hand_on(passes: bool, datum: &[u8], out: &mut Outputs) -> Result<()> {
    if passes {
        return out.push(0, datum);
    }
    host::count("left_out", 1);
    out.push(REST, datum)
}

fn count_evicted(gone: usize) {
    if gone > 0 {
        host::count_as(CounterClass::Incomplete, "evicted", gone as u64);
    }
}
