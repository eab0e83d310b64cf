//! The built-in operator `window`: aggregates of JSON datums over windows of event time, by key.
//!
//! What it does and how it is configured is in its README; this file puts the parts together.

mod aggregate;
mod civil;
mod config;
mod every;
mod fields;
mod time;
mod windows;

#[cfg(test)]
mod tests;

use aggregate::{Aggregate, Seen, VALUES_MAX, Value};
use config::Config;
use fields::Wanted;
use mosaik_wasm_sdk::{
    Binding, Entry, Error, FramesOperator, Outputs, Result, State, bail, ensure, host,
};
use serde::{Deserialize, Serialize};
use windows::{Bounds, Closed, Key, Place, Windows};

/// The version of the saved state.
const STATE_VERSION: u32 = 1;

/// The output port for what comes too late.
const LATE: usize = 1;

/// Bytes of a key.
const KEY_LEN_MAX: usize = 1024;

/// The operator.
#[derive(Debug)]
pub struct WindowOperator {
    config: Config,
    wanted: Wanted,
    /// The place of the event time among the wanted values.
    time_at: usize,
    /// The places of the key's fields.
    by_at: Vec<usize>,
    /// The places of the aggregates' fields.
    values_at: Vec<Option<usize>>,
    /// The names of the aggregates as they stand in an output: `,"average":`.
    labels: Vec<Vec<u8>>,
    windows: Windows,
    /// The host's clock as it was last seen.
    clock_ms: u64,
    /// Holds the key of the datum at hand.
    key: Vec<u8>,
}

mosaik_wasm_sdk::export!(WindowOperator);

/// What is saved beside the keys.
#[derive(Serialize, Deserialize)]
struct Common {
    shape: String,
    newest: i64,
    next_number: u64,
}

impl FramesOperator for WindowOperator {
    const OUTPUTS: &'static [&'static str] = &["out", "late"];
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
    const STATE_VERSION: u32 = STATE_VERSION;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let config = Config::parse(config)?;
        for binding in inputs.iter().chain(outputs) {
            let Binding { port, encoding, .. } = binding;
            ensure!(
                encoding == "json",
                "the stream on port `{port}` is {encoding}; window takes and gives json"
            );
        }
        let mut wanted = Wanted::default();
        let time_at = wanted.add(&config.time.field);
        let by_at = config.by.0.iter().map(|field| wanted.add(field)).collect();
        let aggregates = &config.aggregate.0;
        let values_at = aggregates
            .iter()
            .map(|aggregate| aggregate.field.as_ref().map(|field| wanted.add(field)))
            .collect();
        let labels = aggregates.iter().map(|aggregate| {
            Ok(format!(",{}:", serde_json::to_string(&aggregate.name)?).into_bytes())
        });
        let bounds = Bounds {
            keys: config.max_keys,
            windows: config.max_windows,
        };
        Ok(Self {
            wanted,
            time_at,
            by_at,
            values_at,
            labels: labels.collect::<Result<_>>()?,
            windows: Windows::new(config.watermark, config.lateness.0, bounds),
            clock_ms: host::now(),
            key: Vec::new(),
            config,
        })
    }

    fn process(&mut self, _port: usize, datum: &[u8], out: &mut Outputs) -> Result<()> {
        let found = self.wanted.find::<VALUES_MAX>(datum)?;
        let time_ms = self.time_of(&found)?;
        self.key.clear();
        for (field, at) in self.config.by.0.iter().zip(&self.by_at) {
            if !self.key.is_empty() {
                self.key.push(b',');
            }
            fields::write_member(
                field.name(),
                self.wanted.required(&found, *at)?,
                &mut self.key,
            )?;
        }
        ensure!(
            self.key.len() <= KEY_LEN_MAX,
            "the key has {} bytes, more than {KEY_LEN_MAX}",
            self.key.len()
        );
        let aggregates = &self.config.aggregate.0;
        let mut values = [Value::Null; VALUES_MAX];
        for ((value, aggregate), at) in values.iter_mut().zip(aggregates).zip(&self.values_at) {
            *value = match at {
                Some(at) => aggregate.value(self.wanted.required(&found, *at)?)?,
                None => Value::Any(""),
            };
        }

        let (start, end) = self.config.every.window(time_ms);
        let slot = match self.windows.place(&self.key, end) {
            Place::Open(slot) => slot,
            Place::Late => return late(datum, out),
        };
        let nothing = || {
            aggregates
                .iter()
                .map(|aggregate| Seen::nothing(aggregate.kind))
                .collect()
        };
        let see = |seen: &mut [Seen]| {
            for ((seen, aggregate), value) in seen.iter_mut().zip(aggregates).zip(values) {
                seen.see(aggregate.kind, value, time_ms);
            }
        };
        self.windows.add(
            slot,
            &self.key,
            (start, end),
            (time_ms, self.clock_ms),
            nothing,
            see,
        )?;
        self.write_closed(out)
    }

    fn drain(&mut self, out: &mut Outputs) -> Result<()> {
        self.write_closed(out)
    }

    fn tick(&mut self, now_ms: u64, out: &mut Outputs) -> Result<()> {
        self.clock_ms = now_ms;
        if let Some(idle) = self.config.idle {
            let idle_ms = u64::try_from(idle.0).unwrap_or_default();
            if let Some(heard_ms) = now_ms.checked_sub(idle_ms) {
                self.windows.close_idle(heard_ms);
            }
        }
        self.write_closed(out)
    }

    fn finish(&mut self, _port: usize, _last: bool, out: &mut Outputs) -> Result<()> {
        self.windows.close_all();
        self.write_closed(out)
    }

    fn snapshot(&self) -> Result<State> {
        let Windows {
            newest,
            next_number,
            ..
        } = self.windows;
        let common = Common {
            shape: self.config.shape(),
            newest,
            next_number,
        };
        let mut entries = vec![Entry {
            key: None,
            value: save(&common)?,
        }];
        for key in self.windows.keys() {
            entries.push(Entry {
                key: Some(key.text.to_vec()),
                value: save(key)?,
            });
        }
        Ok(State {
            version: STATE_VERSION,
            entries,
        })
    }

    fn restore(&mut self, saved: State) -> Result<()> {
        let version = saved.version;
        ensure!(
            version == STATE_VERSION,
            "the saved state is of version {version}, and this window reads {STATE_VERSION}"
        );
        let bounds = Bounds {
            keys: self.config.max_keys,
            windows: self.config.max_windows,
        };
        let mut windows = Windows::new(self.config.watermark, self.config.lateness.0, bounds);
        for Entry { key, value } in saved.entries {
            match key {
                None => {
                    let common: Common = load(&value)?;
                    if common.shape != self.config.shape() {
                        bail!(
                            "the saved windows were made with another `every`, `by` or `aggregate`"
                        );
                    }
                    windows.newest = windows.newest.max(common.newest);
                    windows.next_number = windows.next_number.max(common.next_number);
                }
                Some(text) => {
                    let key: Key = load(&value)?;
                    windows.insert(Key {
                        text: text.into(),
                        ..key
                    })?;
                }
            }
        }
        self.windows = windows;
        Ok(())
    }
}

impl WindowOperator {
    fn time_of(&self, found: &[Option<&serde_json::value::RawValue>]) -> Result<i64> {
        let raw = self.wanted.required(found, self.time_at)?;
        let time = match fields::text(raw) {
            Some(text) => time::parse(&text),
            None if raw.get() == "null" => Err(time::NoTime::Format),
            None => time::from_number(raw.get(), self.config.time.unit),
        };
        time.map_err(|error| {
            Error::new(format_args!(
                "`{}`: {} {error}",
                self.config.time.field,
                aggregate::short(raw.get())
            ))
        })
    }

    fn write_closed(&mut self, out: &mut Outputs) -> Result<()> {
        while !out.is_full() {
            let Some(closed) = self.windows.next_closed() else {
                return Ok(());
            };
            out.write(0, |to| {
                write_window(&closed, &self.config.aggregate.0, &self.labels, to);
                Ok(())
            })?;
        }
        if self.windows.has_closed() {
            out.call_drain();
        }
        Ok(())
    }
}

fn write_window(closed: &Closed, aggregates: &[Aggregate], labels: &[Vec<u8>], to: &mut Vec<u8>) {
    to.push(b'{');
    to.extend_from_slice(&closed.key);
    if !closed.key.is_empty() {
        to.push(b',');
    }
    to.extend_from_slice(br#""start":""#);
    civil::write_rfc3339(closed.window.start, to);
    to.extend_from_slice(br#"","end":""#);
    civil::write_rfc3339(closed.window.end, to);
    to.push(b'"');
    for ((seen, aggregate), label) in closed.window.seen.iter().zip(aggregates).zip(labels) {
        to.extend_from_slice(label);
        seen.write(aggregate.kind, to);
    }
    to.push(b'}');
}

/// A part of the state, in as many bytes as it takes: all keys' parts are in memory at once.
fn save(part: &impl Serialize) -> Result<Vec<u8>> {
    let mut saved = postcard::to_extend(part, Vec::new())?;
    saved.shrink_to_fit();
    Ok(saved)
}

fn load<'de, T: Deserialize<'de>>(saved: &'de [u8]) -> Result<T> {
    postcard::from_bytes(saved)
        .map_err(|error| Error::new(format_args!("the saved state cannot be read: {error}")))
}

/// A datum whose window is closed goes to the port for such, or is rejected.
fn late(datum: &[u8], out: &mut Outputs) -> Result<()> {
    host::count("late", 1);
    if out.is_bound(LATE) {
        return out.push(LATE, datum);
    }
    Err(Error::new("late: its window is closed"))
}
