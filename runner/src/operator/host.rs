//! The host functions of every operator: `log`, `now`, `count`, `count-as` and `outcomes`, each
//! bounded. Further grants are implemented in `wasi`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use super::bindings::types;
use super::budget::Meter;
use super::limits::{Limiter, Limits};
use super::log::Log;
use super::reports::{Clock, CounterClass, Outcomes, Reports};
use super::wasi::Wasi;

/// The interface that every operator may import. The linker also provides it to operators that
/// import version 1.0.
pub(super) const HOST: &str = "mosaik:operator/host@1.1.0";
/// The types of this interface. They contain no functions and give access to nothing.
const TYPES: &str = "mosaik:operator/types@1.1.0";
/// Version 1.0 of both.
const OF_1_0: [&str; 2] = ["mosaik:operator/host@1.0.0", "mosaik:operator/types@1.0.0"];

/// Returns true if an import is part of the operator interface, which every operator may import.
pub(super) fn is_operator_interface(import: &str) -> bool {
    import == HOST || import == TYPES || is_of_1_0(import)
}

/// Returns true if an import belongs to version 1.0 of the operator interface.
pub(super) fn is_of_1_0(import: &str) -> bool {
    OF_1_0.contains(&import)
}

/// The severity of an operator's log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details of single records.
    Trace,
    /// Information for the operator's developers.
    Debug,
    /// Information for the users who run it.
    Info,
    /// An unusual event.
    Warn,
    /// A failure; the message of a panic has this level.
    Error,
}

impl From<types::Level> for Level {
    fn from(level: types::Level) -> Self {
        match level {
            types::Level::Trace => Self::Trace,
            types::Level::Debug => Self::Debug,
            types::Level::Info => Self::Info,
            types::Level::Warn => Self::Warn,
            types::Level::Error => Self::Error,
        }
    }
}

/// The receiver of an operator's log lines. It is called during guest calls and must not block.
///
/// Its input is within the instance's [`Limits`].
pub trait Events: Send + Sync {
    /// Receives a log line, cut to [`Limits::log_line_bytes_max`]. Each call logs at most
    /// [`Limits::log_lines_max`] lines, and one more with the number of dropped lines.
    fn log(&self, level: Level, message: &str);
}

/// Discards all log lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl Events for NoEvents {
    fn log(&self, _: Level, _: &str) {}
}

/// The state of a store.
pub(super) struct HostState {
    pub(super) limiter: Limiter,
    pub(super) log: Log,
    /// Measures the call in flight.
    pub(super) meter: Meter,
    /// The WASI state of a component with grants.
    pub(super) wasi: Option<Box<Wasi>>,
    limits: Limits,
    events: Arc<dyn Events>,
    pub(super) reports: Reports,
    pub(super) clock: Clock,
    /// True while calls are repeated, whose logs and reports are already known.
    pub(super) muted: bool,
}

impl HostState {
    pub(super) fn new(limits: Limits, events: Arc<dyn Events>, log: Log) -> Self {
        Self {
            limiter: Limiter::new(limits.memory_bytes_max),
            log,
            meter: Meter::idle(),
            wasi: None,
            limits,
            events,
            reports: Reports::default(),
            clock: Clock::default(),
            muted: false,
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limiter.set_max(limits.memory_bytes_max);
        self.limits = limits;
    }

    /// Guests check the epoch in loops and on function entry. This check stops a guest that does
    /// neither but calls the host a million times in a row.
    fn in_time(&mut self) -> wasmtime::Result<()> {
        self.meter.look_from_host().map_err(wasmtime::Error::new)
    }

    fn count(&mut self, class: CounterClass, name: &str, delta: u64) {
        if !self.muted && !self.reports.count(class, name, delta, &self.limits) {
            let ignored = Reports::ignored(name, &self.limits);
            self.events.log(Level::Warn, &ignored);
        }
    }
}

/// Links the host functions of every operator.
pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.instance(TYPES)?;
    let mut host = linker.instance(HOST)?;
    // Strings are inspected in the guest's memory, so that the host never holds more of a string
    // than it keeps.
    host.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, HostState>, (level, message): (types::Level, WasmStr)| {
            store.data_mut().in_time()?;
            let state = store.data();
            if !state.muted && state.log.has_room() {
                state.log.line(level.into(), &message.to_str(&store)?);
            }
            Ok(())
        },
    )?;
    host.func_wrap(
        "now",
        |mut store: StoreContextMut<'_, HostState>, (): ()| {
            store.data_mut().in_time()?;
            Ok((store.data_mut().clock.read(now_ms),))
        },
    )?;
    host.func_wrap(
        "count",
        |store: StoreContextMut<'_, HostState>, (name, delta): (WasmStr, u64)| {
            count(store, CounterClass::Normal, &name, delta)
        },
    )?;
    host.func_wrap(
        "count-as",
        |store: StoreContextMut<'_, HostState>,
         (class, name, delta): (types::CounterClass, WasmStr, u64)| {
            count(store, class.into(), &name, delta)
        },
    )?;
    host.func_wrap(
        "outcomes",
        |mut store: StoreContextMut<'_, HostState>,
         (answered, absorbed, filtered): (u64, u64, u64)| {
            let state = store.data_mut();
            state.in_time()?;
            state.reports.outcomes += Outcomes {
                answered,
                absorbed,
                filtered,
            };
            Ok(())
        },
    )?;
    Ok(())
}

fn count(
    mut store: StoreContextMut<'_, HostState>,
    class: CounterClass,
    name: &WasmStr,
    delta: u64,
) -> wasmtime::Result<()> {
    store.data_mut().in_time()?;
    // A few bytes more than the longest valid name, so that a longer name is still recognized as
    // too long.
    let name_bytes_max = store.data().limits.counter_name_bytes_max.saturating_add(4);
    let name = cut(&name.to_str(&store)?, name_bytes_max).to_owned();
    let name = store.data().log.masked(name);
    store.data_mut().count(class, &name, delta);
    Ok(())
}

/// Returns the time since 1970 in milliseconds.
fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a prefix of `text` of at most `max` bytes, cut at a character boundary.
pub(super) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé", 100), "aé");
    }
}
