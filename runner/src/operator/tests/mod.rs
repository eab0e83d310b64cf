//! Tests with hand-written operators, both well-behaved and hostile, which can do things that no
//! compiler would emit.

mod answers;
mod behaviour;
mod cache;
mod cost;
mod granted;
#[path = "../../../../tests/support/guest.rs"]
#[expect(
    dead_code,
    reason = "each of the tests that share it uses a part of it"
)]
mod guest;
mod hostile;
mod loading;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mosaik_streams::Frames;

use super::*;

/// Records the log lines and counts of an operator.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<String>>);

impl Events for Recorder {
    fn log(&self, level: Level, message: &str) {
        self.0.lock().unwrap().push(format!("{level:?} {message}"));
    }
}

impl Recorder {
    pub(super) fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn engine() -> Engine {
    Engine::new(EngineConfig::default()).unwrap()
}

/// Little memory, so that the limit is reached quickly, and much time, so that the load of the
/// machine has no effect.
fn limits() -> Limits {
    Limits {
        memory_bytes_max: 16 * 1024 * 1024,
        call_time_max: Duration::from_secs(5),
        ..Limits::default()
    }
}

fn setup(limits: Limits) -> Setup {
    let binding = |port: &str| Binding {
        port: port.into(),
        stream: format!("{port}s"),
        encoding: "bytes".into(),
    };
    Setup {
        name: "suspect".into(),
        config: r#"{"a":1}"#.into(),
        secrets: Vec::new(),
        inputs: vec![binding("in")],
        outputs: vec![binding("out")],
        limits,
        grants: Grants::default(),
        events: Arc::new(NoEvents),
    }
}

fn batch() -> Frames {
    [b"one".as_slice(), b"", b"three"].into_iter().collect()
}

/// Asserts that the engine still runs a well-behaved operator.
#[track_caller]
fn assert_engine_works(engine: &Engine) {
    let component = engine
        .load(&guest::Guest::default().module(), LoadLimits::default())
        .unwrap();
    let mut instance = component.instantiate(setup(limits())).unwrap();
    let processed = instance.process(0, &batch()).unwrap();
    assert_eq!(
        processed,
        Processed {
            outputs: vec![(0, batch())],
            ..Processed::default()
        }
    );
}

fn load(engine: &Engine, guest: &guest::Guest<'_>) -> Component {
    engine.load(&guest.module(), LoadLimits::default()).unwrap()
}

/// Returns the error of `process`. Asserts that the instance is lost and that its engine still
/// works.
#[track_caller]
fn process_fails(guest: &guest::Guest<'_>, limits: Limits) -> CallError {
    let engine = engine();
    let mut instance = load(&engine, guest).instantiate(setup(limits)).unwrap();
    let error = instance.process(0, &batch()).unwrap_err();
    assert!(error.is_fatal());
    assert!(instance.is_poisoned());
    assert_eq!(instance.memory_bytes(), 0);
    assert_eq!(instance.process(0, &batch()), Err(CallError::Poisoned));
    assert_eq!(instance.snapshot(), Err(CallError::Poisoned));
    assert_engine_works(&engine);
    error
}
