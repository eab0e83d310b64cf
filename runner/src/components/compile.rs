//! Compiles components within a time limit.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use super::error::ComponentError;
use crate::{
    code::Code,
    graph::OperatorLimits,
    machine::Shortage,
    operator::{Component, Engine, Interfaces, LoadLimits, process_cpu_time},
};

/// Time limit for the compilation of a component with a `limits.binary` of at most 10 MiB: 60 s,
/// about 20 times the compile time of the largest operator here. The limit is longer while the
/// process gets less CPU time. Each additional MiB adds 10 s, up to [`COMPILE_TIME_CAP`], because
/// larger components contain the runtime of their language.
pub const COMPILE_TIME_MAX: Duration = Duration::from_mins(1);

/// Maximum time limit for the compilation of any component: 5 minutes.
pub const COMPILE_TIME_CAP: Duration = Duration::from_mins(5);

const COMPILE_TIME_PER_MIB_MORE: Duration = Duration::from_secs(10);

/// Compiles a component on a separate thread and waits at most `time_max`. A compiler cannot be
/// stopped: after a timeout it continues, on a binary of limited size, and its result is discarded.
pub(super) fn compile(
    engine: &Engine,
    code: Code,
    limits: LoadLimits,
    interfaces: Interfaces,
    time_max: Duration,
) -> Result<Component, ComponentError> {
    let (answer, answered) = mpsc::sync_channel(1);
    let engine = engine.clone();
    let compiling = thread::Builder::new()
        .name("compile".into())
        .spawn(move || {
            // After the time limit, there is no receiver.
            let _ = answer.send(engine.load_code(&code, limits, interfaces));
        });
    compiling.map_err(|_| ComponentError::Shortage(Shortage::of_threads()))?;
    match wait_for(&answered, time_max) {
        Ok(loaded) => Ok(loaded?),
        Err(RecvTimeoutError::Timeout) => Err(ComponentError::Slow(time_max)),
        Err(RecvTimeoutError::Disconnected) => Err(ComponentError::Crashed),
    }
}

/// Times out after `time_max` of both wall and process CPU time, at the latest after 10 times
/// `time_max` of wall time: on a busy machine a compiler waits more than it works.
fn wait_for<T>(answered: &mpsc::Receiver<T>, time_max: Duration) -> Result<T, RecvTimeoutError> {
    const BUSY_FACTOR: u32 = 10;
    let (began, cpu_began) = (Instant::now(), process_cpu_time());
    let mut wait = time_max;
    loop {
        let waited = answered.recv_timeout(wait);
        let used = process_cpu_time().saturating_sub(cpu_began);
        let is_over = used >= time_max || began.elapsed() >= time_max.saturating_mul(BUSY_FACTOR);
        match waited {
            Err(RecvTimeoutError::Timeout) if !is_over => {
                wait = time_max
                    .saturating_sub(used)
                    .max(Duration::from_millis(100));
            }
            waited => return waited,
        }
    }
}

/// Returns the time limit for the compilation of a component with these limits.
pub(super) fn compile_time_max(limits: &OperatorLimits) -> Duration {
    let more = limits
        .binary
        .saturating_sub(OperatorLimits::default().binary);
    let mib_more = u32::try_from(more.div_ceil(1 << 20)).unwrap_or(u32::MAX);
    COMPILE_TIME_MAX
        .saturating_add(COMPILE_TIME_PER_MIB_MORE.saturating_mul(mib_more))
        .min(COMPILE_TIME_CAP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{components::BUILTINS, operator::EngineConfig};

    #[test]
    fn a_component_has_to_be_compiled_in_time() {
        let engine = Engine::new(EngineConfig::default()).unwrap();
        let (_, window) = BUILTINS.iter().find(|(name, _)| *name == "window").unwrap();
        let within = |limit| {
            compile(
                &engine,
                Code::new(*window),
                LoadLimits::default(),
                Interfaces::default(),
                limit,
            )
        };
        let late = within(Duration::ZERO).unwrap_err();
        assert_eq!(late.to_string(), "it takes longer than 0ns to compile");
        assert_eq!(within(COMPILE_TIME_MAX).unwrap().len(), window.len());
    }

    #[test]
    fn a_component_that_may_be_larger_has_more_time_to_be_compiled() {
        let of = |binary| {
            compile_time_max(&OperatorLimits {
                binary,
                ..OperatorLimits::default()
            })
        };
        assert_eq!(of(1), COMPILE_TIME_MAX);
        assert_eq!(of(10 << 20), COMPILE_TIME_MAX);
        assert_eq!(of((10 << 20) + 1), Duration::from_secs(70));
        assert_eq!(of(256 << 20), COMPILE_TIME_CAP);
    }
}
