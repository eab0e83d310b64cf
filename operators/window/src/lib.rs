//! The built-in operator `window`: aggregates JSON records over windows of time, by key.
//!
//! Its behaviour and configuration are described in its README; this file combines the parts.

mod aggregate;
mod config;
mod every;
mod number;
mod sum;
mod wide;
mod windowing;
mod windows;

#[cfg(test)]
mod tests;

use aggregate::{Aggregate, Seen, VALUES_MAX, Value};
use config::{Config, Watermark};
use mosaik_operator_common::civil::write_rfc3339;
use mosaik_operator_common::clock::{Ahead, clock_time, late};
use mosaik_operator_common::encodings::only_json;
use mosaik_operator_common::fields::Wanted;
use mosaik_operator_common::key::{ALL_KEYS, KeyFields};
use mosaik_operator_common::saved::{load, save};
use mosaik_wasm_sdk::host::{self, CounterClass};
use mosaik_wasm_sdk::{
    Binding, Entry, FramesOperator, OperatorConfig, Outcome, Outputs, Result, State, bail, ensure,
    parse_config,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use windowing::Windowing;
use windows::{Arrival, Bounds, Closed, Key, Windows};

/// The version of the saved state.
const STATE_VERSION: u32 = 4;

/// The output port for late records.
const LATE: usize = 1;

/// The operator.
#[derive(Debug)]
pub struct WindowOperator {
    config: Config,
    windowing: Windowing,
    wanted: Wanted,
    /// The index of the event time among the extracted values; `None` if the clock is used.
    time_at: Option<usize>,
    keys: KeyFields,
    /// The indices of the aggregates' fields.
    values_at: Vec<Option<usize>>,
    /// The names of the aggregates as written in an output: `,"average":`.
    labels: Vec<Vec<u8>>,
    windows: Windows,
    /// True if the time of arrival matters.
    needs_clock: bool,
    ahead: Ahead,
    /// A buffer for the key of the current record.
    key: Vec<u8>,
    /// A buffer for the windows of the current record.
    spans: Vec<(i64, i64)>,
}

mosaik_wasm_sdk::export!(WindowOperator);

/// A part of the saved state. Each contains the shape, so that it can be restored alone.
#[derive(Serialize, Deserialize)]
enum Saved<'a> {
    /// A key and its windows.
    Key { shape: u64, key: Cow<'a, Key> },
    /// The newest time over all keys, by which the windows of every key are closed.
    Newest { shape: u64, time_ms: i64 },
}

impl FramesOperator for WindowOperator {
    const OUTPUTS: &'static [&'static str] = &["out", "late"];
    const CONFIG_SCHEMA: &'static str = Config::SCHEMA;
    const STATE_VERSION: u32 = STATE_VERSION;

    fn open(config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<Self> {
        let config: Config = parse_config(config)?;
        only_json("window", inputs, outputs)?;
        let mut wanted = Wanted::default();
        let time_at = config.time.as_ref().map(|time| wanted.add(&time.field));
        let keys = KeyFields::new(&config.by, &mut wanted);
        let aggregates = &config.aggregate.0;
        let values_at = aggregates
            .iter()
            .map(|aggregate| aggregate.field.as_ref().map(|field| wanted.add(field)))
            .collect();
        let labels = aggregates.iter().map(|aggregate| {
            Ok(format!(",{}:", serde_json::to_string(&aggregate.name)?).into_bytes())
        });
        Ok(Self {
            windowing: config.windowing()?,
            wanted,
            time_at,
            keys,
            values_at,
            labels: labels.collect::<Result<_>>()?,
            windows: empty(&config),
            ahead: Ahead::new(config.max_ahead),
            needs_clock: config.time.is_none() || config.idle.is_some(),
            key: Vec::new(),
            spans: Vec::new(),
            config,
        })
    }

    fn process(&mut self, _port: usize, datum: &[u8], out: &mut Outputs) -> Result<()> {
        let found = self.wanted.find::<VALUES_MAX>(datum)?;
        let clock_ms = if self.needs_clock { host::now() } else { 0 };
        let time_ms = self.time_of(&found, clock_ms)?;
        if self.time_at.is_some() {
            self.ahead.check(time_ms)?;
        }
        self.keys.read(&self.wanted, &found, &mut self.key)?;
        let aggregates = &self.config.aggregate.0;
        let mut values = [Value::Null; VALUES_MAX];
        for ((value, aggregate), at) in values.iter_mut().zip(aggregates).zip(&self.values_at) {
            *value = match at {
                Some(at) => aggregate.value(self.wanted.required(&found, *at)?)?,
                None => Value::Any(""),
            };
        }

        let arrival = self.windows.arrival(&self.key, time_ms, clock_ms);
        self.windowing.holding(time_ms, &mut self.spans);
        if !reaches_open(&self.windows, self.windowing, arrival, &mut self.spans) {
            return late(datum, LATE, "late: its window is closed", out);
        }
        let nothing = || {
            let seen = aggregates
                .iter()
                .map(|aggregate| Seen::nothing(aggregate.kind));
            seen.collect()
        };
        let see = |seen: &mut [Seen]| {
            for ((seen, aggregate), value) in seen.iter_mut().zip(aggregates).zip(values) {
                seen.see(aggregate.kind, value, time_ms);
            }
        };
        match (self.windowing, &self.spans[..]) {
            (Windowing::Session(_), [span, ..]) => {
                let merge = |seen: &mut [Seen], other: Vec<Seen>| {
                    for ((seen, aggregate), other) in seen.iter_mut().zip(aggregates).zip(other) {
                        seen.merge(aggregate.kind, other);
                    }
                };
                self.windows
                    .add_to_session(arrival, *span, nothing, see, merge)?;
            }
            (_, spans) => self.windows.add(arrival, spans, nothing, see)?,
        }
        out.outcome(Outcome::Absorbed);
        self.write_closed(out)
    }

    fn drain(&mut self, out: &mut Outputs) -> Result<()> {
        self.write_closed(out)
    }

    fn tick(&mut self, now_ms: u64, out: &mut Outputs) -> Result<()> {
        if self.config.time.is_none() {
            self.windows.advance(clock_time(now_ms));
        }
        if let Some(idle) = self.config.idle
            && let Some(heard_ms) = now_ms.checked_sub(idle.as_clock_ms())
        {
            self.windows.close_idle(heard_ms);
        }
        self.write_closed(out)
    }

    fn finish(&mut self, _port: usize, _last: bool, out: &mut Outputs) -> Result<()> {
        self.windows.close_all();
        self.write_closed(out)
    }

    fn snapshot(&self) -> Result<State> {
        let shape = self.config.shape();
        let keys = self.windows.keys();
        let mut entries = Vec::new();
        let time_ms = self.windows.newest;
        if self.config.watermark() == Watermark::All && time_ms > i64::MIN {
            entries.push(Entry {
                key: Some(ALL_KEYS.to_vec()),
                value: save(&Saved::Newest { shape, time_ms })?,
            });
        }
        for key in keys {
            let is_keyed = !self.keys.names().is_empty();
            entries.push(Entry {
                key: is_keyed.then(|| key.text.to_vec()),
                value: save(&Saved::Key {
                    shape,
                    key: Cow::Borrowed(key),
                })?,
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
            "the saved state has version {version}, but this window reads version {STATE_VERSION}"
        );
        let own = self.config.shape();
        let mut windows = empty(&self.config);
        for Entry { key: text, value } in saved.entries {
            match load(&value)? {
                Saved::Key { shape, .. } | Saved::Newest { shape, .. } if shape != own => bail!(
                    "the saved windows were made with another `every`, `length`, `session`, `by`, `time` or `aggregate`"
                ),
                Saved::Newest { time_ms, .. } => windows.newest = windows.newest.max(time_ms),
                Saved::Key { key, .. } => {
                    windows.insert(Key {
                        text: text.unwrap_or_default().into(),
                        ..key.into_owned()
                    })?;
                }
            }
        }
        self.windows = windows;
        Ok(())
    }
}

/// Creates an empty set of windows within the bounds of the configuration.
fn empty(config: &Config) -> Windows {
    let bounds = Bounds {
        keys: config.max_keys,
        windows: config.max_windows,
    };
    Windows::new(config.watermark(), config.lateness.0, bounds)
}

/// Removes closed windows from those of a record. Returns true if any is left.
fn reaches_open(
    windows: &Windows,
    windowing: Windowing,
    arrival: Arrival<'_>,
    spans: &mut Vec<(i64, i64)>,
) -> bool {
    if let (Windowing::Session(_), [span, ..]) = (windowing, &spans[..]) {
        return !arrival.is_late_for(windows.session(arrival, *span).1);
    }
    let all = spans.len();
    spans.retain(|(_, end)| !arrival.is_late_for(*end));
    if !spans.is_empty() && spans.len() < all {
        host::count_as(CounterClass::Incomplete, "late_in_part", 1);
    }
    !spans.is_empty()
}

impl WindowOperator {
    fn time_of(&self, found: &[Option<&RawValue>], clock_ms: u64) -> Result<i64> {
        match (&self.config.time, self.time_at) {
            (Some(time), Some(at)) => time.read(self.wanted.required(found, at)?),
            // A clock that is set back does not make records late.
            _ => Ok(clock_time(clock_ms).max(self.windows.newest)),
        }
    }

    fn write_closed(&mut self, out: &mut Outputs) -> Result<()> {
        while !out.is_full() {
            let Some(closed) = self.windows.next_closed() else {
                return Ok(());
            };
            out.write(0, |to| {
                write_window(
                    &closed,
                    &self.keys,
                    &self.config.aggregate.0,
                    &self.labels,
                    to,
                )
            })?;
        }
        if self.windows.has_closed() {
            out.call_drain();
        }
        Ok(())
    }
}

fn write_window(
    closed: &Closed,
    keys: &KeyFields,
    aggregates: &[Aggregate],
    labels: &[Vec<u8>],
    to: &mut Vec<u8>,
) -> Result<()> {
    to.push(b'{');
    keys.write_members(&closed.key, to)?;
    if !closed.key.is_empty() {
        to.push(b',');
    }
    to.extend_from_slice(br#""start":""#);
    write_rfc3339(closed.window.start, to);
    to.extend_from_slice(br#"","end":""#);
    write_rfc3339(closed.window.end, to);
    to.push(b'"');
    for ((seen, aggregate), label) in closed.window.seen.iter().zip(aggregates).zip(labels) {
        to.extend_from_slice(label);
        seen.write(aggregate.kind, to);
    }
    to.push(b'}');
    Ok(())
}
