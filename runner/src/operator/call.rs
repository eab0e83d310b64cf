//! One call into a guest: its terms, and the classification of its errors.

use std::fmt::Write as _;
use wasmtime::{Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::budget::{Budget, CpuExceeded, Meter};
use super::engine::Inner;
use super::error::CallError;
use super::host::{HostState, cut};
use super::limits::{MemoryExceeded, TableExceeded};
use super::wait;

/// Number of backtrace frames in a message: 8.
const FRAMES_SHOWN: usize = 8;
/// Maximum size of a function's name in a message, in bytes: 120. Mangled names can be very long.
const FUNCTION_NAME_BYTES_MAX: usize = 120;
/// Maximum size of the guest's last error line in a message, in bytes: 1024. Each record of a lost
/// batch may be stored with this message.
const LOGGED_BYTES_MAX: usize = 1024;
/// wasmtime's message for an answer that exceeds its fuel for host calls. The error's type is
/// private.
const FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

/// The terms of one call.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) operator: &'a str,
    pub(super) call: &'static str,
    pub(super) budget: Budget,
    /// Maximum size of the answer in the host, in bytes.
    pub(super) answer_bytes_max: usize,
    pub(super) memory_bytes_max: usize,
}

/// Runs guest code on these terms.
pub(super) fn hold<R>(
    engine: &Inner,
    store: &mut Store<HostState>,
    terms: Terms<'_>,
    call: impl AsyncFnOnce(&mut Store<HostState>) -> wasmtime::Result<R>,
) -> Result<R, CallError> {
    let runtime = store.data().wasi.as_ref().map(|wasi| wasi.runtime.clone());
    store.set_epoch_deadline(Meter::FIRST_LOOK);
    store.set_hostcall_fuel(terms.answer_bytes_max);
    store.data_mut().meter.begin(terms.budget.cpu);
    let in_call = engine.ticker.enter();
    let said = match runtime {
        None => Some(wait::run(call(store))),
        Some(runtime) => wait::run_within(&runtime, terms.budget.wait, call(store)),
    };
    drop(in_call);
    let said = match said {
        Some(said) => said.map_err(|error| classify(&error, terms, store.data())),
        None => Err(CallError::WaitedTooLong {
            call: terms.call,
            limit: terms.budget.wait,
        }),
    };
    store.data().log.end_call();
    said
}

/// Classifies a wasmtime error for the caller.
fn classify(error: &wasmtime::Error, terms: Terms<'_>, state: &HostState) -> CallError {
    let call = terms.call;
    if error.is::<MemoryExceeded>() {
        return CallError::OutOfMemory {
            call,
            limit: terms.memory_bytes_max,
        };
    }
    if error.is::<CpuExceeded>() {
        return CallError::TimedOut {
            call,
            limit: terms.budget.cpu,
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(trap) => CallError::Trapped {
            message: trapped(&trap.to_string(), error, terms, state),
        },
        None if error.is::<TableExceeded>() => CallError::Trapped {
            message: trapped(&error.root_cause().to_string(), error, terms, state),
        },
        None if let Some(I32Exit(status)) = error.downcast_ref() => CallError::Trapped {
            message: trapped(&format!("it exited with {status}"), error, terms, state),
        },
        // The world's own functions fail only on malformed values; those of WASI have bounds of
        // their own.
        None if state.wasi.is_some() && error.is::<WasmBacktrace>() => CallError::Trapped {
            message: trapped(&error.root_cause().to_string(), error, terms, state),
        },
        None => {
            let what = error.root_cause().to_string();
            let what = if what.contains(FUEL_EXHAUSTED) {
                format!("more than the {} bytes allowed", terms.answer_bytes_max)
            } else {
                what
            };
            CallError::Malformed { call, what }
        }
    }
}

fn trapped(trap: &str, error: &wasmtime::Error, terms: Terms<'_>, state: &HostState) -> String {
    let trap = trap.strip_prefix("wasm trap: ").unwrap_or(trap);
    let mut message = match terms.operator {
        "" => format!("trapped in `{}`: {trap}", terms.call),
        operator => format!("operator `{operator}` trapped in `{}`: {trap}", terms.call),
    };
    // The guest's own message comes first: the text and location of a panic are more useful than
    // addresses in its code.
    let logged = state.log.last_error();
    if let Some(last) = &logged {
        let _ = write!(message, "; it logged: {}", cut(last, LOGGED_BYTES_MAX));
    }
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map(WasmBacktrace::frames)
        .unwrap_or_default();
    for (index, frame) in frames.iter().take(FRAMES_SHOWN).enumerate() {
        message.push_str(match (index, &logged) {
            (0, None) => ", at ",
            (0, Some(_)) => "; at ",
            _ => " < ",
        });
        match frame.func_name() {
            Some(name) => message.push_str(cut(name, FUNCTION_NAME_BYTES_MAX)),
            None => {
                let _ = write!(message, "function {}", frame.func_index());
            }
        }
        if let Some(offset) = frame.module_offset() {
            let _ = write!(message, "@{offset:#x}");
        }
    }
    message
}
