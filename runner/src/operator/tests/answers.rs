//! Tests of operators whose answers are malformed or too large.

use super::guest::Guest;
use super::*;

#[track_caller]
fn malformed(guest: &Guest<'_>) -> String {
    match process_fails(guest, limits()) {
        CallError::Malformed {
            call: "process",
            what,
        } => what,
        other => panic!("not malformed but {other:?}"),
    }
}

#[test]
fn frames_that_are_cut_short_are_malformed() {
    let process = "(call $answer (i32.const 0) (local.get $ptr) (i32.const 5) (i32.const 0))";
    let what = malformed(&Guest {
        process,
        ..Guest::default()
    });
    assert_eq!(what, "on output port 0, the frame at byte 0 is incomplete");
}

#[test]
fn an_output_port_out_of_range_is_malformed() {
    let process = "(call $answer (i32.const 1) (local.get $ptr) (local.get $len) (i32.const 0))";
    assert_eq!(
        malformed(&Guest {
            process,
            ..Guest::default()
        }),
        "output port 1 of 1"
    );
}

#[test]
fn a_huge_length_is_malformed() {
    let process =
        "(call $answer (i32.const 0) (local.get $ptr) (i32.const 0x7fffffff) (i32.const 0))";
    let what = malformed(&Guest {
        process,
        ..Guest::default()
    });
    assert!(what.contains("out of bounds of memory"), "{what}");
    // The largest number of outputs that a length can express.
    let process = "(drop (call $nothing)) (i64.store (i32.const 324) (i64.const 0xffffffff_00000000)) (i32.const 320)";
    let what = malformed(&Guest {
        process,
        ..Guest::default()
    });
    assert!(what.contains("out of bounds of memory"), "{what}");
}

#[test]
fn an_answer_outside_of_memory_is_malformed() {
    let what = malformed(&Guest {
        process: "(i32.const 0x7ffffff0)",
        ..Guest::default()
    });
    assert!(what.contains("out of bounds"), "{what}");
    let misaligned = malformed(&Guest {
        process: "(i32.const 321)",
        ..Guest::default()
    });
    assert!(misaligned.contains("align"), "{misaligned}");
}

#[test]
fn invalid_utf8_is_malformed() {
    let fields = r#"(data (i32.const 512) "\ff\fe")"#;
    let process = "(call $refuse (i32.const 512) (i32.const 2))";
    let what = malformed(&Guest {
        process,
        fields,
        ..Guest::default()
    });
    assert!(what.contains("utf-8"), "{what}");
}

/// A thousand outputs, each of the same 100 kB: little memory in the guest, a hundred times as much
/// in the host.
#[test]
fn a_flood_of_outputs_is_malformed() {
    let process = "(local $i i32)
        (loop $next
            (i32.store (i32.add (i32.const 2052) (i32.mul (local.get $i) (i32.const 12))) (i32.const 512))
            (i32.store (i32.add (i32.const 2056) (i32.mul (local.get $i) (i32.const 12))) (i32.const 100000))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 1000))))
        (drop (call $nothing)) (i64.store (i32.const 324) (i64.const 0x3e8_00000800)) (i32.const 320)";
    let what = malformed(&Guest {
        process,
        ..Guest::default()
    });
    assert_eq!(
        what,
        format!("more than the {} bytes allowed", limits().output_bytes_max)
    );
}

#[test]
fn a_flood_of_state_is_malformed() {
    let engine = engine();
    let tight = Limits {
        state_bytes_max: 49,
        ..limits()
    };
    let mut instance = load(&engine, &Guest::default())
        .instantiate(setup(tight))
        .unwrap();
    let what = "more than the 49 bytes allowed".into();
    assert_eq!(
        instance.snapshot(),
        Err(CallError::Malformed {
            call: "snapshot",
            what
        })
    );
}

#[test]
fn a_flood_of_log_lines_is_truncated_and_counted() {
    let tick = "(local $i i32)
        (loop $next
            (call $log (i32.const 2) (i32.const 32) (i32.const 60000))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 50))))
        (call $nothing)";
    let recorder = Arc::new(Recorder::default());
    let tight = Limits {
        log_lines_max: 10,
        log_line_bytes_max: 3,
        ..limits()
    };
    let component = load(
        &engine(),
        &Guest {
            tick,
            ..Guest::default()
        },
    );
    let events = Arc::clone(&recorder) as Arc<dyn Events>;
    let mut instance = component
        .instantiate(Setup {
            events,
            ..setup(tight)
        })
        .unwrap();
    for call in 1..3 {
        instance.tick().unwrap();
        let seen = recorder.seen();
        assert_eq!(seen.len(), 11 * call);
        assert!(seen[..10].iter().all(|line| line == "Info out"), "{seen:?}");
        assert_eq!(seen[10], "Warn 40 more log lines of this call were dropped");
    }
}

#[test]
fn a_huge_reason_is_truncated() {
    let tick = "(call $refuse (i32.const 1024) (i32.const 60000))";
    let component = load(
        &engine(),
        &Guest {
            tick,
            ..Guest::default()
        },
    );
    let mut instance = component.instantiate(setup(limits())).unwrap();
    let Err(CallError::Refused(reason)) = instance.tick() else {
        panic!("not refused")
    };
    assert_eq!(reason.len(), limits().reason_bytes_max);
}

#[test]
fn a_log_line_outside_of_memory_ends_the_call() {
    let process = "(call $log (i32.const 2) (i32.const 0) (i32.const 0x7fffffff)) (call $nothing)";
    let what = malformed(&Guest {
        process,
        ..Guest::default()
    });
    assert!(what.contains("out of bounds"), "{what}");
    let process = "(call $log (i32.const 9) (i32.const 0) (i32.const 0)) (call $nothing)";
    let what = malformed(&Guest {
        process,
        ..Guest::default()
    });
    assert!(
        what.contains("discriminant") || what.contains('9'),
        "{what}"
    );
}

#[test]
fn a_flood_of_counters_is_truncated() {
    // The name is one byte longer with each call.
    let tick = "(local $i i32)
        (loop $next
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (call $count (i32.const 1024) (local.get $i) (i64.const 1))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 1000))))
        (call $nothing)";
    let recorder = Arc::new(Recorder::default());
    let component = load(
        &engine(),
        &Guest {
            tick,
            ..Guest::default()
        },
    );
    let events = Arc::clone(&recorder) as Arc<dyn Events>;
    let processed = component
        .instantiate(Setup {
            events,
            ..setup(limits())
        })
        .unwrap()
        .tick()
        .unwrap();
    assert_eq!(processed.counted.len(), 64);
    assert!(processed.counted.iter().all(|counted| counted.delta == 1));
    let seen = recorder.seen();
    assert_eq!(
        seen.iter()
            .filter(|line| line.contains("is ignored"))
            .count(),
        1
    );
    assert_eq!(seen.len(), 1);
}
