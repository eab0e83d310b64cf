//! What every operator can reach: `log`, `now` and `count`, each bounded. What more it may be granted is in `wasi`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wasmtime::component::{Linker, WasmStr};
use wasmtime::{StoreContextMut, Trap};

use super::bindings::types;
use super::limits::{Limiter, Limits};
use super::log::Log;
use super::wasi::Wasi;

/// The interface that every operator may import.
pub(super) const HOST: &str = "mosaik:operator/host@1.0.0";
/// The types that go with it: no function, so nothing to reach.
pub(super) const TYPES: &str = "mosaik:operator/types@1.0.0";

/// How much a log line of an operator matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For following single datums.
    Trace,
    /// For whoever writes the operator.
    Debug,
    /// For whoever runs it.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed; a panic's message comes this way.
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

/// Where an operator's log lines and counters go. Called from within guest calls, so it must not block.
///
/// What it is given is within the instance's [`Limits`].
pub trait Events: Send + Sync {
    /// A log line, cut to [`Limits::log_line_bytes_max`], at most [`Limits::log_lines_max`] a call and one that says
    /// how many more there were.
    fn log(&self, level: Level, message: &str);
    /// Adds to a counter, one of at most [`Limits::counters_max`].
    fn count(&self, name: &str, delta: u64);
}

/// For those who don't listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl Events for NoEvents {
    fn log(&self, _: Level, _: &str) {}
    fn count(&self, _: &str, _: u64) {}
}

/// What a store carries.
pub(super) struct HostState {
    pub(super) limiter: Limiter,
    pub(super) log: Log,
    /// What a component that was granted more reaches besides.
    pub(super) wasi: Option<Box<Wasi>>,
    limits: Limits,
    events: Arc<dyn Events>,
    /// When the call at hand has had its time.
    deadline: Option<Instant>,
    counters: HashSet<Box<str>>,
    counter_refused: bool,
}

impl HostState {
    pub(super) fn new(limits: Limits, events: Arc<dyn Events>, log: Log) -> Self {
        Self {
            limiter: Limiter::new(limits.memory_bytes_max),
            log,
            wasi: None,
            limits,
            events,
            deadline: None,
            counters: HashSet::new(),
            counter_refused: false,
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limiter.set_max(limits.memory_bytes_max);
        self.limits = limits;
    }

    /// Starts the clock of a call.
    pub(super) fn begin_call(&mut self, time: Duration) {
        self.deadline = Instant::now().checked_add(time);
    }

    /// Guests look at the clock where they loop or enter a function of their own. One that does neither, but calls the
    /// host a million times in a row, is stopped here.
    fn in_time(&self) -> wasmtime::Result<()> {
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => Err(Trap::Interrupt.into()),
            _ => Ok(()),
        }
    }

    fn count(&mut self, name: &str, delta: u64) {
        if !self.counters.contains(name) {
            let Limits {
                counters_max,
                counter_name_bytes_max,
                ..
            } = self.limits;
            if name.is_empty()
                || name.len() > counter_name_bytes_max
                || self.counters.len() >= counters_max
            {
                if !std::mem::replace(&mut self.counter_refused, true) {
                    let name = cut(name, counter_name_bytes_max);
                    self.events.log(
                        Level::Warn,
                        &format!(
                            "the counter `{name}` is ignored: an operator has at most {counters_max}, with names of 1 to \
                             {counter_name_bytes_max} bytes"
                        ),
                    );
                }
                return;
            }
            self.counters.insert(name.into());
        }
        self.events.count(name, delta);
    }
}

/// Links what an operator may reach.
pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.instance(TYPES)?;
    let mut host = linker.instance(HOST)?;
    // Strings are looked at in the guest's memory, so that the host never holds more of one than it keeps.
    host.func_wrap(
        "log",
        |store: StoreContextMut<'_, HostState>, (level, message): (types::Level, WasmStr)| {
            let state = store.data();
            state.in_time()?;
            if state.log.has_room() {
                state.log.line(level.into(), &message.to_str(&store)?);
            }
            Ok(())
        },
    )?;
    host.func_wrap("now", |store: StoreContextMut<'_, HostState>, (): ()| {
        store.data().in_time()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok((u64::try_from(now.as_millis()).unwrap_or(u64::MAX),))
    })?;
    host.func_wrap(
        "count",
        |mut store: StoreContextMut<'_, HostState>, (name, delta): (WasmStr, u64)| {
            store.data().in_time()?;
            // One byte more than a name may have, so that one that is too long is still seen to be.
            let name_bytes_max = store.data().limits.counter_name_bytes_max.saturating_add(4);
            let name = cut(&name.to_str(&store)?, name_bytes_max).to_owned();
            store.data_mut().count(&name, delta);
            Ok(())
        },
    )?;
    Ok(())
}

/// The front of `text`, at most `max` bytes and whole characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::tests::Recorder;

    #[test]
    fn counters_past_the_bound_are_ignored_and_told_once() {
        let seen = Arc::new(Recorder::default());
        let limits = Limits {
            counters_max: 2,
            counter_name_bytes_max: 3,
            ..Limits::default()
        };
        let events = Arc::clone(&seen) as Arc<dyn Events>;
        let log = Log::new(limits, Arc::clone(&events), Vec::new());
        let mut state = HostState::new(limits, events, log);
        for name in ["a", "long", "b", "c", "a", ""] {
            state.count(name, 1);
        }
        let seen = seen.seen();
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert_eq!((&*seen[0], &*seen[2], &*seen[3]), ("a +1", "b +1", "a +1"));
        assert!(
            seen[1].starts_with("Warn the counter `lon` is ignored"),
            "{seen:?}"
        );
    }

    #[test]
    fn cutting_keeps_characters_whole() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé", 100), "aé");
    }
}
