//! What an operator can reach outside its sandbox: the log, the clock, counters.
//!
//! Natively each has a stand-in that [`testing`](crate::testing) sets and reads.

/// How grave a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever debugs the operator.
    Debug,
    /// What is worth knowing.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

/// Writes a line to the host's log, under the operator's name. See also [`log!`](crate::log).
pub fn log(level: Level, message: &str) {
    imp::log(level, message);
}

/// The host's clock, in ms since 1970.
pub fn now() -> u64 {
    imp::now()
}

/// What a counter says of an operator's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterClass {
    /// Nothing.
    Normal,
    /// Records are missing from results by the operator's configuration, like late or evicted ones. `up --strict` fails
    /// on these.
    Incomplete,
    /// Records or results are lost. `up` then exits with 5.
    Lost,
}

/// Adds to one of the operator's counters, of class [`Normal`](CounterClass::Normal).
pub fn count(name: &str, delta: u64) {
    count_as(CounterClass::Normal, name, delta);
}

/// Adds to one of the operator's counters. The first class that a name is counted under stays.
pub fn count_as(class: CounterClass, name: &str, delta: u64) {
    imp::count_as(class, name, delta);
}

/// Writes a formatted line to the host's log: `log!(warn, "no price for {symbol}")`; without a level at `info`.
#[macro_export]
macro_rules! log {
    (trace, $($message:tt)+) => { $crate::host::log($crate::host::Level::Trace, &::std::format!($($message)+)) };
    (debug, $($message:tt)+) => { $crate::host::log($crate::host::Level::Debug, &::std::format!($($message)+)) };
    (info, $($message:tt)+) => { $crate::host::log($crate::host::Level::Info, &::std::format!($($message)+)) };
    (warn, $($message:tt)+) => { $crate::host::log($crate::host::Level::Warn, &::std::format!($($message)+)) };
    (error, $($message:tt)+) => { $crate::host::log($crate::host::Level::Error, &::std::format!($($message)+)) };
    ($($message:tt)+) => { $crate::log!(info, $($message)+) };
}

#[cfg(target_arch = "wasm32")]
use crate::guest::host as imp;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod imp {
    //! The stand-ins, one set a thread.

    use super::{CounterClass, Level};
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeMap, VecDeque};
    use std::time::{SystemTime, UNIX_EPOCH};

    /// Lines of the log that are kept; older ones go.
    const LOG_LINES_MAX: usize = 1000;

    thread_local! {
        pub(crate) static LOGGED: RefCell<VecDeque<(Level, String)>> = const { RefCell::new(VecDeque::new()) };
        pub(crate) static COUNTED: RefCell<BTreeMap<String, (CounterClass, u64)>> = const { RefCell::new(BTreeMap::new()) };
        /// Lines logged so far, also those that are gone.
        pub(crate) static LINES: Cell<u64> = const { Cell::new(0) };
        pub(crate) static NOW: Cell<Option<u64>> = const { Cell::new(None) };
        pub(crate) static LOG_TO_STDERR: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn log(level: Level, message: &str) {
        if LOG_TO_STDERR.get() {
            #[expect(clippy::print_stderr, reason = "a test has asked for it")]
            {
                eprintln!("{level:?}: {message}");
            }
        }
        LINES.set(LINES.get() + 1);
        LOGGED.with_borrow_mut(|lines| {
            if lines.len() == LOG_LINES_MAX {
                lines.pop_front();
            }
            lines.push_back((level, message.to_owned()));
        });
    }

    pub(crate) fn now() -> u64 {
        NOW.get().unwrap_or_else(|| {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    pub(crate) fn count_as(class: CounterClass, name: &str, delta: u64) {
        COUNTED.with_borrow_mut(|counters| {
            let (_, total) = counters.entry(name.to_owned()).or_insert((class, 0));
            *total = total.saturating_add(delta);
        });
    }
}
