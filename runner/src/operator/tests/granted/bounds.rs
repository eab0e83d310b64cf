//! Tests that the limits of an operator hold with WASI linked, and that its printed output is
//! bounded like its log lines.

use super::probes::*;
use super::*;

#[test]
fn sleeping_ends_at_the_time_limit() {
    let probe = sleeps();
    ends_in_time(&probe.guest(), wasi(), &[255]);
    let mut instance = granted(&probe.guest(), wasi(), setup(limits()));
    let start = Instant::now();
    assert_eq!(asked(&mut instance, &[&[0]]), [Vec::<Vec<u8>>::new()]);
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_loop_ends_at_the_time_limit_with_wasi_linked_too() {
    let probe = Probe {
        process: "(loop $l (br $l)) unreachable".into(),
        ..sleeps()
    };
    ends_in_time(&probe.guest(), wasi(), b"");
}

#[test]
fn memory_is_bounded_with_wasi_linked_too() {
    let probe = Probe {
        process: "(loop $l (drop (memory.grow (i32.const 16))) (br $l)) unreachable".into(),
        ..sleeps()
    };
    let mut instance = granted(&probe.guest(), wasi(), setup(limits()));
    let error = instance.process(0, &batch()).unwrap_err();
    assert!(matches!(error, CallError::OutOfMemory { .. }), "{error:?}");
}

#[test]
fn host_resources_of_a_guest_are_bounded() {
    let probe = holds_timers();
    let mut instance = granted(&probe.guest(), wasi(), setup(limits()));
    let error = instance.process(0, &batch()).unwrap_err();
    assert!(matches!(error, CallError::Trapped { .. }), "{error:?}");
    assert!(error.to_string().contains("resource table"), "{error}");
}

#[test]
fn printed_text_is_logged_and_a_trap_shows_the_last_line() {
    let probe = prints_then_traps();
    let recorder = Arc::new(Recorder::default());
    let setup = Setup {
        events: Arc::clone(&recorder) as Arc<dyn Events>,
        ..setup(limits())
    };
    let mut instance = granted(&probe.guest(), wasi(), setup);
    let error = instance.process(0, &batch()).unwrap_err().to_string();
    assert!(error.contains("; it logged: bad price; at "), "{error}");
    assert_eq!(recorder.seen(), ["Info to the log", "Warn bad price"]);
}

#[test]
fn an_exit_ends_the_instance_and_not_the_node() {
    let probe = exits();
    let mut instance = granted(&probe.guest(), wasi(), setup(limits()));
    let error = instance.process(0, &batch()).unwrap_err();
    assert!(matches!(error, CallError::Trapped { .. }), "{error:?}");
    assert!(error.to_string().contains("it exited with 1"), "{error}");
}
