//! Runs hostile components: loads, opens and calls them, and drops them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mosaik_runner::operator::{
    Binding, CallError, Component, Engine, EngineConfig, Events, Grants, Instance, Level, Limits,
    LoadLimits, Setup,
};
use mosaik_streams::Frames;

use super::cases::{At, Case};
use super::corpus::assemble;
use super::usage;

/// Time limit of a call, of `open` and of `describe`: 100 ms.
pub(crate) const LIMIT: Duration = Duration::from_millis(100);

/// An engine, and the log lines of its guests.
pub(crate) struct Lab {
    pub(crate) engine: Engine,
    pub(crate) said: Arc<Said>,
}

/// Counts the log lines of guests, and checks their bounds.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) lines: AtomicU64,
}

impl Events for Said {
    fn log(&self, _: Level, message: &str) {
        assert!(message.len() <= Limits::default().log_line_bytes_max);
        self.lines.fetch_add(1, Ordering::Relaxed);
    }
}

/// The result of a case.
pub(crate) struct Ran {
    /// The error; empty if the case is contained without one.
    pub(crate) error: String,
    /// CPU time of the call under test, which is at most its wall time.
    pub(crate) took: Duration,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            engine: Engine::new(EngineConfig::default()).unwrap(),
            said: Arc::default(),
        }
    }

    /// Loads a component if it can be loaded.
    pub(crate) fn load(&self, case: &Case) -> Result<Component, String> {
        self.load_bytes(case, &assemble(case.text))
    }

    fn load_bytes(&self, case: &Case, bytes: &[u8]) -> Result<Component, String> {
        let limits = LoadLimits {
            memory_bytes_max: (64 << 20).max(case.memory_bytes_max()),
            describe_time_max: LIMIT,
            ..LoadLimits::default()
        };
        self.engine
            .load(bytes, limits)
            .map_err(|error| error.to_string())
    }

    /// Runs a case from the beginning.
    pub(crate) fn run(&self, case: &Case) -> Ran {
        let bytes = assemble(case.text);
        let before = usage::thread_cpu();
        match self.load_bytes(case, &bytes) {
            Err(error) => Ran {
                error,
                took: usage::thread_cpu().saturating_sub(before),
            },
            Ok(component) => self.run_loaded(case, &component),
        }
    }

    /// Opens a loaded component and makes the calls.
    pub(crate) fn run_loaded(&self, case: &Case, component: &Component) -> Ran {
        let before = usage::thread_cpu();
        let opened = component.instantiate(self.setup(case));
        let took = usage::thread_cpu().saturating_sub(before);
        let ran = |error: String| Ran { error, took };
        let mut instance = match opened {
            Err(error) => return ran(error.to_string()),
            Ok(_) if matches!(case.at, At::Load | At::Open) => return ran(String::new()),
            Ok(instance) => instance,
        };
        if case.at == At::Resume
            && let Err(error) = instance.process(0, &batch())
        {
            return ran(error.to_string());
        }
        let before = usage::thread_cpu();
        let answer = call(case.at, &mut instance);
        let took = usage::thread_cpu().saturating_sub(before);
        let error = match answer {
            Ok(()) => String::new(),
            Err(error) => {
                assert_eq!(instance.is_poisoned(), error.is_fatal(), "{}", case.name);
                if error.is_fatal() {
                    assert_eq!(instance.memory_bytes(), 0, "{}", case.name);
                    assert_eq!(instance.tick(), Err(CallError::Poisoned), "{}", case.name);
                }
                error.to_string()
            }
        };
        Ran { error, took }
    }

    pub(crate) fn setup(&self, case: &Case) -> Setup {
        let events = Arc::clone(&self.said) as Arc<dyn Events>;
        setup(events, case.memory_bytes_max(), LIMIT)
    }
}

/// Returns the setup of an instance.
pub(crate) fn setup(events: Arc<dyn Events>, memory_bytes_max: usize, time: Duration) -> Setup {
    let binding = |port: &str| Binding {
        port: port.into(),
        stream: format!("{port}s"),
        encoding: "bytes".into(),
    };
    Setup {
        name: "hostile".into(),
        config: r#"{"a":1}"#.into(),
        secrets: Vec::new(),
        inputs: vec![binding("in")],
        outputs: vec![binding("out")],
        limits: Limits {
            memory_bytes_max,
            call_time_max: time,
            open_time_max: Some(time),
            ..Limits::default()
        },
        events,
        grants: Grants::default(),
    }
}

/// Returns a small batch.
pub(crate) fn batch() -> Frames {
    [b"one".as_slice(), b"", b"three"].into_iter().collect()
}

fn call(at: At, instance: &mut Instance) -> Result<(), CallError> {
    match at {
        At::Load | At::Open => unreachable!("those are no calls"),
        At::Process => instance.process(0, &batch()).map(drop),
        At::Resume => instance.resume().map(drop),
        At::Tick => instance.tick().map(drop),
        At::Finish => instance.finish(0).map(drop),
        At::Snapshot => instance.snapshot().map(drop),
        At::Restore => {
            let state = mosaik_runner::operator::State::default();
            instance.restore(&state)
        }
    }
}
