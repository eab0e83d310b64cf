//! The services of the host: log, clock, and counters.
//!
//! In native builds, stand-ins replace them, which [`testing`](crate::testing) sets and reads.

/// The severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Individual steps.
    Trace,
    /// Information for debugging the operator.
    Debug,
    /// Notable events.
    Info,
    /// Possible problems.
    Warn,
    /// Errors.
    Error,
}

/// Writes a line to the host's log, under the operator's name. See also [`log!`](crate::log).
pub fn log(level: Level, message: &str) {
    imp::log(level, message);
}

/// Returns the host's clock, in ms since 1970.
pub fn now() -> u64 {
    imp::now()
}

/// The meaning of a counter for the completeness of an operator's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterClass {
    /// No effect on completeness.
    Normal,
    /// Records are missing from the results because of the operator's configuration, for example late or evicted ones.
    /// Makes `up --strict` fail.
    Incomplete,
    /// Records or results are lost. Makes `up` exit with code 5.
    Lost,
}

/// Adds to a counter of the operator, of class [`Normal`](CounterClass::Normal).
pub fn count(name: &str, delta: u64) {
    count_as(CounterClass::Normal, name, delta);
}

/// Adds to a counter of the operator. The class of the first call for a name is used.
pub fn count_as(class: CounterClass, name: &str, delta: u64) {
    imp::count_as(class, name, delta);
}

/// Writes a formatted line to the host's log: `log!(warn, "no price for {symbol}")`. The default level is `info`.
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
pub(crate) mod sandbox;

#[cfg(target_arch = "wasm32")]
use sandbox as imp;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod imp {
    //! The stand-ins, one set per thread.

    use super::{CounterClass, Level};
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeMap, VecDeque};
    use std::time::{SystemTime, UNIX_EPOCH};

    /// The maximum number of kept log lines. The oldest are dropped.
    const LOG_LINES_MAX: usize = 1000;

    thread_local! {
        pub(crate) static LOGGED: RefCell<VecDeque<(Level, String)>> = const { RefCell::new(VecDeque::new()) };
        pub(crate) static COUNTED: RefCell<BTreeMap<String, (CounterClass, u64)>> = const { RefCell::new(BTreeMap::new()) };
        /// The number of lines logged so far, including dropped ones.
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
