//! The implementation in the sandbox.

use super::{CounterClass, Level};
use crate::bindings::mosaik::operator::{host, types};

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => types::Level::Trace,
        Level::Debug => types::Level::Debug,
        Level::Info => types::Level::Info,
        Level::Warn => types::Level::Warn,
        Level::Error => types::Level::Error,
    };
    host::log(level, message);
}

pub(crate) fn now() -> u64 {
    host::now()
}

pub(crate) fn count_as(class: CounterClass, name: &str, delta: u64) {
    let class = match class {
        CounterClass::Normal => types::CounterClass::Normal,
        CounterClass::Incomplete => types::CounterClass::Incomplete,
        CounterClass::Lost => types::CounterClass::Lost,
    };
    host::count_as(class, name, delta);
}

pub(crate) fn outcomes(outcomes: crate::Outcomes) {
    host::outcomes(outcomes.answered, outcomes.absorbed, outcomes.filtered);
}
