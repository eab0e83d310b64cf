//! The built-in operator `dedupe`: drops records whose key was seen before.
//!
//! Its behaviour and configuration are described in its README; this file combines the parts.

mod config;

#[cfg(test)]
mod tests;

use config::{Config, FIELDS_MAX};
use mosaik_operator_common::encodings::all_alike;
use mosaik_operator_common::fields::Wanted;
use mosaik_operator_common::hash::hash_128;
use mosaik_operator_common::key::KeyFields;
use mosaik_operator_common::recent::Recent;
use mosaik_wasm_sdk::host::{self, CounterClass};
use mosaik_wasm_sdk::{
    Binding, Entry, Error, FramesOperator, OperatorConfig, Outputs, Result, State, ensure,
    parse_config,
};

/// The version of the saved state.
const STATE_VERSION: u32 = 1;

/// The output port for duplicates.
const DUPLICATES: usize = 1;

/// The length in bytes of the hash that represents a whole record.
const HASH_LEN: usize = 16;

/// The operator.
#[derive(Debug)]
pub struct DedupeOperator {
    config: Config,
    wanted: Wanted,
    keys: KeyFields,
    /// The index of the event time among the extracted values.
    time_at: Option<usize>,
    /// For each key, the time of the record that passed, by the clock that `within` uses.
    passed: Recent<i64>,
    /// A buffer for the key of the current record.
    key: Vec<u8>,
}

mosaik_wasm_sdk::export!(DedupeOperator);

impl FramesOperator for DedupeOperator {
    const OUTPUTS: &'static [&'static str] = &["out", "duplicates"];
    const CONFIG_SCHEMA: &'static str = Config::SCHEMA;
    const STATE_VERSION: u32 = STATE_VERSION;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let config: Config = parse_config(config)?;
        let looks_into = !config.by.0.is_empty() || config.time.is_some();
        all_alike("dedupe", looks_into, inputs, outputs)?;
        let mut wanted = Wanted::default();
        let keys = KeyFields::new(&config.by, &mut wanted);
        let time_at = config.time.as_ref().map(|time| wanted.add(&time.field));
        Ok(Self {
            wanted,
            keys,
            time_at,
            passed: Recent::new(config.bounds()),
            key: Vec::new(),
            config,
        })
    }

    fn process(&mut self, _port: usize, datum: &[u8], out: &mut Outputs) -> Result<()> {
        let now_ms = host::now();
        let time_ms = self.read(datum, now_ms)?;
        let within_ms = self.config.within.map(|within| within.0.0);
        let known = self.passed.touch(&self.key, now_ms);
        let came_before = known.is_some_and(|passed_ms| {
            // A record older than the one that passed arrived late, and is a duplicate.
            within_ms.is_none_or(|within_ms| time_ms < passed_ms.saturating_add(within_ms))
        });
        if came_before {
            host::count("duplicates", 1);
            return out.push(DUPLICATES, datum);
        }
        out.push(0, datum)?;
        self.forget_old(now_ms);
        let gone = self.passed.insert(self.key.as_slice(), time_ms, now_ms);
        count_evicted(gone);
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, _out: &mut Outputs) -> Result<()> {
        self.forget_old(now_ms);
        Ok(())
    }

    fn snapshot(&self) -> Result<State> {
        let mut entries = self.passed.save(self.config.shape())?;
        if self.is_by_whole() {
            entries = entries.into_iter().map(without_key).collect();
        }
        Ok(State {
            version: STATE_VERSION,
            entries,
        })
    }

    fn restore(&mut self, saved: State) -> Result<()> {
        let State {
            version,
            mut entries,
        } = saved;
        ensure!(
            version == STATE_VERSION,
            "the saved state has version {version}, but this dedupe reads version {STATE_VERSION}"
        );
        if self.is_by_whole() {
            entries = entries.into_iter().map(with_key).collect::<Result<_>>()?;
        }
        let (passed, gone) = Recent::restore(self.config.bounds(), self.config.shape(), entries)?;
        count_evicted(gone);
        self.passed = passed;
        Ok(())
    }
}

impl DedupeOperator {
    fn is_by_whole(&self) -> bool {
        self.config.by.0.is_empty()
    }

    /// Writes the record's key to the buffer and returns its time.
    fn read(&mut self, datum: &[u8], now_ms: u64) -> Result<i64> {
        let mut time_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        if self.is_by_whole() {
            self.key.clear();
            self.key.extend_from_slice(&hash_128(datum));
            if self.time_at.is_none() {
                return Ok(time_ms);
            }
        }
        let found = self.wanted.find::<FIELDS_MAX>(datum)?;
        if !self.is_by_whole() {
            self.keys.read(&self.wanted, &found, &mut self.key)?;
        }
        if let (Some(time), Some(at)) = (&self.config.time, self.time_at) {
            time_ms = time.read(self.wanted.required(&found, at)?)?;
        }
        Ok(time_ms)
    }

    /// Forgets keys that are older than `within` by the host's clock. Keys are ordered by last use, which is at or
    /// after their passing, so none stays longer than `within` after its last use.
    fn forget_old(&mut self, now_ms: u64) {
        let (Some(within), None) = (self.config.within, &self.config.time) else {
            return;
        };
        let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
        self.passed
            .forget_while(|passed_ms| passed_ms.saturating_add(within.0.0) <= now_ms);
    }
}

fn count_evicted(gone: usize) {
    if gone > 0 {
        host::count_as(CounterClass::Incomplete, "evicted", gone as u64);
    }
}

/// A whole record has no key by which instances could divide the state: its hash is moved in front of the value.
fn without_key(entry: Entry) -> Entry {
    let mut value = entry.key.unwrap_or_default();
    value.extend(entry.value);
    Entry { key: None, value }
}

fn with_key(mut entry: Entry) -> Result<Entry> {
    ensure!(
        entry.key.is_none(),
        "the saved state was made with another configuration"
    );
    let (hash, value) = entry
        .value
        .split_at_checked(HASH_LEN)
        .ok_or_else(|| Error::new("failed to read the saved state: it is too short"))?;
    entry = Entry {
        key: Some(hash.to_vec()),
        value: value.to_vec(),
    };
    Ok(entry)
}
