//! Tests of the guarantees for well-behaved operators.

use super::guest::Guest;
use super::*;

fn instance(guest: &Guest<'_>, events: Arc<dyn Events>) -> Instance {
    let component = engine()
        .load(&guest.module(), LoadLimits::default())
        .unwrap();
    component
        .instantiate(Setup {
            events,
            ..setup(limits())
        })
        .unwrap()
}

#[test]
fn a_batch_is_processed() {
    let mut echo = instance(&Guest::default(), Arc::new(NoEvents));
    let processed = echo.process(0, &batch()).unwrap();
    assert_eq!(
        processed,
        Processed {
            outputs: vec![(0, batch())],
            ..Processed::default()
        }
    );
    assert_eq!(
        echo.process(0, &Frames::new()).unwrap(),
        Processed::default()
    );
    for calm in [Instance::resume, Instance::tick, |i: &mut Instance| {
        i.finish(0)
    }] {
        assert_eq!(calm(&mut echo).unwrap(), Processed::default());
    }
    assert!(!echo.is_poisoned());
    assert_eq!(echo.memory_bytes(), 2 * 65536);
    assert_eq!(echo.name(), "suspect");
}

#[test]
fn a_large_batch_is_processed() {
    let mut echo = instance(&Guest::default(), Arc::new(NoEvents));
    let large: Frames = (0..100_u32).map(|i| vec![i as u8; 4000]).collect();
    assert_eq!(echo.process(0, &large).unwrap().outputs, [(0, large)]);
}

#[test]
fn names_and_numbers_of_ports_are_checked() {
    let component = engine()
        .load(&Guest::default().module(), LoadLimits::default())
        .unwrap();
    let mut unknown = setup(limits());
    unknown.outputs[0].port = "exit".into();
    let error = component.instantiate(unknown).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it has no output port `exit`; it has `out`"
    );

    let mut echo = component.instantiate(setup(limits())).unwrap();
    assert_eq!(
        echo.process(1, &batch()),
        Err(CallError::NoSuchPort { port: 1, count: 1 })
    );
    assert_eq!(
        echo.finish(7),
        Err(CallError::NoSuchPort { port: 7, count: 1 })
    );
    assert!(
        echo.process(0, &batch()).is_ok(),
        "the guest was not called, so it is as it was"
    );
}

#[test]
fn open_is_given_configuration_and_bindings() {
    // Refuses with the configuration; with the first binding's stream name; with the outputs' count.
    for (open, expected) in [
        (
            "(call $refuse (local.get $config) (local.get $config_len))",
            r#"{"a":1}"#,
        ),
        (
            "(call $refuse (i32.load offset=8 (local.get $inputs)) (i32.load offset=12 (local.get $inputs)))",
            "ins",
        ),
        (
            "(call $refuse (i32.load offset=16 (local.get $outputs)) (i32.load offset=20 (local.get $outputs)))",
            "bytes",
        ),
        (
            "(call $refuse (i32.const 32) (i32.add (local.get $inputs_len) (local.get $outputs_len)))",
            "ou",
        ),
    ] {
        let component = engine()
            .load(
                &Guest {
                    open,
                    ..Guest::default()
                }
                .module(),
                LoadLimits::default(),
            )
            .unwrap();
        let error = component.instantiate(setup(limits())).unwrap_err();
        assert_eq!(error, OpenError::Call(CallError::Refused(expected.into())));
    }
}

#[test]
fn a_refused_batch_leaves_the_instance_usable() {
    // Refuses empty batches, with the text `out`.
    let process = "(if (result i32) (local.get $len)
        (then (call $answer (i32.const 0) (local.get $ptr) (local.get $len) (i32.const 0)))
        (else (call $refuse (i32.const 32) (i32.const 3))))";
    let mut picky = instance(
        &Guest {
            process,
            ..Guest::default()
        },
        Arc::new(NoEvents),
    );
    let refused = picky.process(0, &Frames::new()).unwrap_err();
    assert_eq!(refused, CallError::Refused("out".into()));
    assert!(!refused.is_fatal());
    assert_eq!(picky.process(0, &batch()).unwrap().outputs, [(0, batch())]);
}

#[test]
fn single_records_are_rejected_with_their_reason() {
    // Rejects records 2 and 0 with the text `out`.
    let process = "
        (i32.store (i32.const 512) (i32.const 2)) (i64.store (i32.const 516) (i64.const 0x3_0000_0020))
        (i32.store (i32.const 524) (i32.const 0)) (i64.store (i32.const 528) (i64.const 0x3_0000_0020))
        (drop (call $nothing))
        (i64.store (i32.const 332) (i64.const 0x2_0000_0200))
        (i32.const 320)";
    let mut picky = instance(
        &Guest {
            process,
            ..Guest::default()
        },
        Arc::new(NoEvents),
    );
    let rejected = |index| Rejected {
        index,
        reason: "out".into(),
    };
    assert_eq!(
        picky.process(0, &batch()).unwrap().rejected,
        [rejected(0), rejected(2)]
    );
    let beyond = picky.process(0, &Frames::single(b"one")).unwrap_err();
    assert_eq!(
        beyond,
        CallError::Malformed {
            call: "process",
            what: "it rejects record 2 of a batch of 1".into()
        }
    );
    assert_eq!(picky.process(0, &batch()), Err(CallError::Poisoned));
}

#[test]
fn further_answers_are_requested_with_resume() {
    // Sets `more` in every answer, and answers `in` on port 0 for as long as the caller asks.
    let data = r#"(data (i32.const 512) "\00\00\00\02in")"#;
    let again = "(call $answer (i32.const 0) (i32.const 512) (i32.const 6) (i32.const 1))";
    let mut endless = instance(
        &Guest {
            process: again,
            resume: again,
            fields: data,
            ..Guest::default()
        },
        Arc::new(NoEvents),
    );
    let expected = Processed {
        outputs: vec![(0, Frames::single(b"in"))],
        more: true,
        ..Processed::default()
    };
    assert_eq!(endless.process(0, &batch()).unwrap(), expected);
    for _ in 0..1000 {
        assert_eq!(endless.resume().unwrap(), expected);
    }
}

#[test]
fn a_refused_call_does_not_discard_the_batch() {
    let process = "(call $answer (i32.const 0) (local.get $ptr) (local.get $len) (i32.const 1))";
    // Rejects record 2 with the text `out`.
    let resume = "
        (i32.store (i32.const 512) (i32.const 2)) (i64.store (i32.const 516) (i64.const 0x3_0000_0020))
        (drop (call $nothing)) (i64.store (i32.const 332) (i64.const 0x1_0000_0200)) (i32.const 320)";
    let tick = "(call $refuse (i32.const 32) (i32.const 3))";
    let mut busy = instance(
        &Guest {
            process,
            resume,
            tick,
            ..Guest::default()
        },
        Arc::new(NoEvents),
    );
    assert!(busy.process(0, &batch()).unwrap().more);
    assert_eq!(busy.tick(), Err(CallError::Refused("out".into())));
    assert_eq!(
        busy.resume().unwrap().rejected,
        [Rejected {
            index: 2,
            reason: "out".into()
        }]
    );
    let twice = busy.resume().unwrap_err();
    assert_eq!(
        twice,
        CallError::Malformed {
            call: "resume",
            what: "it rejects record 2 twice".into()
        }
    );
}

#[test]
fn state_is_saved_and_given_back() {
    // Keeps the version and the first value of a restored state; refuses a state without a key.
    let restore = "(if (result i32) (i32.load8_u (local.get $ptr))
        (then (i32.store8 (i32.const 320) (i32.const 0)) (i32.const 320))
        (else (call $refuse (i32.load offset=12 (local.get $ptr)) (i32.load offset=16 (local.get $ptr)))))";
    let mut keeper = instance(
        &Guest {
            restore,
            ..Guest::default()
        },
        Arc::new(NoEvents),
    );
    let saved = keeper.snapshot().unwrap();
    let entry = Entry {
        key: None,
        value: "in".into(),
    };
    assert_eq!(
        saved,
        State {
            version: 7,
            entries: vec![entry]
        }
    );
    assert_eq!((saved.len(), saved.is_empty()), (2, false));
    assert_eq!(keeper.restore(&saved), Err(CallError::Refused("in".into())));
    let keyed = Entry {
        key: Some("k".into()),
        value: "in".into(),
    };
    assert_eq!(
        keeper.restore(&State {
            version: 7,
            entries: vec![keyed]
        }),
        Ok(())
    );
}

#[test]
fn log_lines_and_counters_arrive() {
    let tick = r"(call $log (i32.const 3) (i32.const 32) (i32.const 3)) (call $count (i32.const 16) (i32.const 2) (i64.const 5))
        (call $nothing)";
    let recorder = Arc::new(Recorder::default());
    let mut talker = instance(
        &Guest {
            tick,
            ..Guest::default()
        },
        Arc::clone(&recorder) as Arc<dyn Events>,
    );
    let processed = talker.tick().unwrap();
    assert_eq!(recorder.take(), ["Warn out"]);
    let counted = Counted {
        name: "in".into(),
        class: CounterClass::Normal,
        delta: 5,
    };
    assert_eq!(processed.counted, [counted]);
    // The reports of repeated calls are already known.
    talker.repeat(ClockTrace::default());
    assert_eq!(talker.tick().unwrap().counted, []);
    assert!(recorder.take().is_empty());
    talker.begin(ClockTrace::default());
    assert_eq!(talker.tick().unwrap().counted.len(), 1);
}

#[test]
fn a_repeated_call_sees_the_same_clock() {
    // Sends the time.
    let tick = "(i32.store8 (i32.const 515) (i32.const 8)) (i64.store (i32.const 516) (call $now))
        (call $answer (i32.const 0) (i32.const 512) (i32.const 12) (i32.const 0))";
    let mut clock = instance(
        &Guest {
            tick,
            ..Guest::default()
        },
        Arc::new(NoEvents),
    );
    let first = clock.tick().unwrap().outputs;
    let trace = clock.take_clock();
    std::thread::sleep(Duration::from_millis(5));
    assert_ne!(clock.tick().unwrap().outputs, first);
    clock.repeat(trace.clone());
    assert_eq!(clock.tick().unwrap().outputs, first);
    clock.begin(ClockTrace::default());
    assert_ne!(clock.tick().unwrap().outputs, first);
}

#[test]
fn the_clock_is_the_hosts() {
    // Traps if the time is before 2023.
    let tick =
        "(if (i64.lt_u (call $now) (i64.const 1700000000000)) (then unreachable)) (call $nothing)";
    let mut clock = instance(
        &Guest {
            tick,
            ..Guest::default()
        },
        Arc::new(NoEvents),
    );
    clock.tick().unwrap();
}

#[test]
fn instances_do_not_share_memory() {
    // Counts its calls in memory, and refuses the second.
    let tick = "(i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 1)))
        (if (result i32) (i32.eq (i32.load (i32.const 512)) (i32.const 1))
            (then (call $nothing)) (else (call $refuse (i32.const 32) (i32.const 3))))";
    let component = engine()
        .load(
            &Guest {
                tick,
                ..Guest::default()
            }
            .module(),
            LoadLimits::default(),
        )
        .unwrap();
    let mut first = component.instantiate(setup(limits())).unwrap();
    let mut second = component.clone().instantiate(setup(limits())).unwrap();
    first.tick().unwrap();
    second.tick().unwrap();
    assert!(first.tick().is_err());
}

#[test]
fn instances_move_between_threads() {
    let mut echo = instance(&Guest::default(), Arc::new(NoEvents));
    let echoed = std::thread::spawn(move || echo.process(0, &batch()))
        .join()
        .unwrap();
    assert_eq!(echoed.unwrap().outputs, [(0, batch())]);
}

/// Uses about 50 ms of CPU time, then answers with nothing, and sets `more` if `more` is true.
fn spins(more: bool) -> String {
    format!(
        "(local $turns i32)
        (loop $spin
            (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
            (br_if $spin (i32.lt_u (local.get $turns) (i32.const 100000000))))
        (drop (call $nothing)) (i32.store8 (i32.const 340) (i32.const {})) (i32.const 320)",
        u8::from(more)
    )
}

/// Instantiates a guest whose partial answers exceed the time limit of a single-record batch, but
/// not that of a state call.
fn slow(guest: &Guest<'_>) -> Instance {
    let limits = Limits {
        call_time_max: Duration::from_millis(5),
        open_time_max: Some(Duration::from_mins(1)),
        ..Limits::default()
    };
    let mut slow = instance(guest, Arc::new(NoEvents));
    slow.set_limits(limits);
    slow
}

#[test]
fn each_part_of_a_state_answer_has_the_time_limit_of_a_state() {
    let resume = spins(false);
    let more = "(call $answer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1))";
    let guest = Guest {
        process: more,
        finish: more,
        tick: more,
        resume: &resume,
        ..Guest::default()
    };
    let mut of_state = slow(&guest);
    assert!(of_state.finish(0).unwrap().more);
    assert!(!of_state.resume().unwrap().more);
    assert!(of_state.tick().unwrap().more);
    assert!(!of_state.resume().unwrap().more);
    assert!(of_state.process(0, &batch()).unwrap().more);
    let late = of_state.resume().unwrap_err();
    assert!(matches!(late, CallError::TimedOut { .. }), "{late}");
}

#[test]
fn a_record_can_have_the_time_limit_of_a_batch() {
    let process = spins(false);
    let guest = Guest {
        process: &process,
        ..Guest::default()
    };
    let mut patient = slow(&guest);
    patient.set_records_min(1_000_000);
    patient.process(0, &batch()).unwrap();
    patient.set_records_min(0);
    let late = patient.process(0, &batch()).unwrap_err();
    assert!(matches!(late, CallError::TimedOut { .. }), "{late}");
}
