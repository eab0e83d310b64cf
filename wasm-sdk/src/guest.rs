//! The exports of the world, implemented with [`Driver`], and the panic hook.

use crate::bindings::{self, mosaik::operator::types};
use crate::driver::{DATUM, NO_DATUM};
use crate::host::sandbox as host;
use crate::{Binding, Driver, Entry, FramesOperator, State};
use std::sync::Once;
use std::sync::atomic::Ordering;

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
