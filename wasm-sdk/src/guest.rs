//! The WebAssembly side: the bindings of the world, its exports implemented with [`Driver`], and the panic hook.

use crate::{Binding, Driver, Entry, FramesOperator, State};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// The generated bindings of the world.
#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated from wit/operator.wit"
)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "operator",
        pub_export_macro: true,
        generate_unused_types: true,
    });
}

use bindings::mosaik::operator::types;

/// The operator of a crate and its [`Driver`]. Implemented by [`export!`](crate::export).
pub trait Component {
    /// The operator.
    type Operator: FramesOperator;

    /// Calls a function with the driver.
    fn with<R>(call: impl FnOnce(&mut Driver<Self::Operator>) -> R) -> R;
}

impl<C: Component> bindings::Guest for C {
    fn describe() -> types::Description {
        log_panics();
        let what = Driver::<C::Operator>::describe();
        types::Description {
            inputs: what.inputs,
            outputs: what.outputs,
            config_schema: what.config_schema,
            state_version: what.state_version,
        }
    }

    fn open(
        config: String,
        inputs: Vec<types::Binding>,
        outputs: Vec<types::Binding>,
    ) -> Result<(), String> {
        log_panics();
        let owned = |bindings: Vec<types::Binding>| {
            let owned = bindings.into_iter().map(|b| Binding {
                port: b.port,
                stream_name: b.stream_name,
                encoding: b.encoding,
            });
            owned.collect::<Vec<_>>()
        };
        C::with(|driver| driver.open(&config, &owned(inputs), &owned(outputs)))
            .map_err(crate::Error::into_reason)
    }

    fn process(port: u32, batch: Vec<u8>) -> Result<types::Processed, String> {
        answer(C::with(|driver| driver.process(port, batch)))
    }

    fn resume() -> Result<types::Processed, String> {
        answer(C::with(Driver::resume))
    }

    fn tick() -> Result<types::Processed, String> {
        answer(C::with(|driver| driver.tick(host::now())))
    }

    fn finish(port: u32) -> Result<types::Processed, String> {
        answer(C::with(|driver| driver.finish(port)))
    }

    fn snapshot() -> Result<types::State, String> {
        let state = C::with(Driver::snapshot).map_err(crate::Error::into_reason)?;
        let entries = state.entries.into_iter().map(|entry| types::Entry {
            key: entry.key,
            value: entry.value,
        });
        Ok(types::State {
            version: state.version,
            entries: entries.collect(),
        })
    }

    fn restore(saved: types::State) -> Result<(), String> {
        let entries = saved.entries.into_iter().map(|entry| Entry {
            key: entry.key,
            value: entry.value,
        });
        let saved = State {
            version: saved.version,
            entries: entries.collect(),
        };
        C::with(|driver| driver.restore(saved)).map_err(crate::Error::into_reason)
    }
}

fn answer(answer: crate::Result<crate::Answer>) -> Result<types::Processed, String> {
    let answer = answer.map_err(crate::Error::into_reason)?;
    if answer.outcomes != crate::Outcomes::default() {
        host::outcomes(answer.outcomes);
    }
    let outputs = answer.outputs.into_iter().map(|output| types::Output {
        port: output.port,
        frames: output.frames,
    });
    let rejected = answer.rejected.into_iter().map(|rejected| types::Rejected {
        index: rejected.index,
        reason: rejected.reason,
    });
    Ok(types::Processed {
        outputs: outputs.collect(),
        rejected: rejected.collect(),
        more: answer.more,
    })
}

/// The index in its batch of the record being processed, for panic messages.
pub(crate) static DATUM: AtomicU64 = AtomicU64::new(NO_DATUM);

/// Greater than any index.
pub(crate) const NO_DATUM: u64 = u64::MAX;

/// Logs the message, location and current record of a panic to the host before it traps. The host reports the line as
/// the reason for which it lost the batch.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let payload = panic.payload();
            let message = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            let mut line = "panicked".to_owned();
            if let Some(place) = panic.location() {
                line.push_str(&format!(" at {place}"));
            }
            match DATUM.load(Ordering::Relaxed) {
                NO_DATUM => {}
                index => line.push_str(&format!(", processing record {index} of its batch")),
            }
            host::log(crate::host::Level::Error, &format!("{line}: {message}"));
        }));
    });
}

/// The implementation of [`crate::host`] in the sandbox.
pub(crate) mod host {
    use super::bindings::mosaik::operator::{host, types};
    use crate::host::{CounterClass, Level};

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
}
