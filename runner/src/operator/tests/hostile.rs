//! Tests that each misbehaving operator is stopped with a clear error and affects no other.

use super::guest::Guest;
use super::*;

const FOREVER: &str = "(loop $forever (br $forever)) unreachable";

#[track_caller]
fn trapped(guest: &Guest<'_>) -> String {
    match process_fails(guest, limits()) {
        CallError::Trapped { message } => message,
        other => panic!("not trapped but {other:?}"),
    }
}

#[test]
fn a_trap_shows_its_place_and_the_last_log_line() {
    let fields = r#"(data (i32.const 512) "panicked at src/lib.rs:7: no price")
        (func $deep (call $log (i32.const 4) (i32.const 512) (i32.const 34)) unreachable)"#;
    let message = trapped(&Guest {
        process: "(call $deep) unreachable",
        fields,
        ..Guest::default()
    });
    assert!(
        message.starts_with("operator `suspect` trapped in `process`: wasm `unreachable`"),
        "{message}"
    );
    assert!(message.contains("; at deep@0x"), "{message}");
    assert!(message.contains(" < process@0x"), "{message}");
    assert!(
        message.contains("executed; it logged: panicked at src/lib.rs:7: no price; at"),
        "{message}"
    );
}

#[test]
fn a_trap_does_not_show_the_error_of_an_earlier_call() {
    let tick = "(call $log (i32.const 4) (i32.const 32) (i32.const 3)) (call $nothing)";
    let engine = engine();
    let guest = Guest {
        tick,
        process: "unreachable",
        ..Guest::default()
    };
    let mut instance = load(&engine, &guest).instantiate(setup(limits())).unwrap();
    instance.tick().unwrap();
    let error = instance.process(0, &batch()).unwrap_err().to_string();
    assert!(!error.contains("it logged"), "{error}");
}

#[test]
fn memory_out_of_bounds_and_division_by_zero_are_traps() {
    let outside = trapped(&Guest {
        process: "(i32.load (i32.const 0x7fffffff))",
        ..Guest::default()
    });
    assert!(outside.contains("out of bounds memory access"), "{outside}");
    let division = trapped(&Guest {
        process: "(i32.div_u (i32.const 1) (i32.const 0))",
        ..Guest::default()
    });
    assert!(division.contains("divide by zero"), "{division}");
}

#[test]
fn infinite_recursion_is_a_trap() {
    let message = trapped(&Guest {
        process: "(call $process (i32.const 0) (i32.const 0) (i32.const 0))",
        ..Guest::default()
    });
    assert!(message.contains("call stack exhausted"), "{message}");
}

#[test]
fn an_infinite_loop_is_stopped_in_time() {
    let call_time_max = Duration::from_millis(100);
    let engine = engine();
    let component = load(
        &engine,
        &Guest {
            process: FOREVER,
            ..Guest::default()
        },
    );
    let mut instance = component
        .instantiate(setup(Limits {
            call_time_max,
            ..limits()
        }))
        .unwrap();
    let batch = batch();
    let limit = call_time_max + call_time_max / 1000 * u32::try_from(batch.count()).unwrap();
    let start = thread_cpu_time();
    let error = instance.process(0, &batch).unwrap_err();
    let took = thread_cpu_time().saturating_sub(start);
    assert_eq!(
        error,
        CallError::TimedOut {
            call: "process",
            limit
        }
    );
    assert!(took >= limit && took < 10 * limit, "it took {took:?}");
    assert_engine_works(&engine);
}

#[test]
fn a_loop_in_open_is_stopped_too() {
    let engine = engine();
    let component = load(
        &engine,
        &Guest {
            open: FOREVER,
            ..Guest::default()
        },
    );
    let limit = Duration::from_millis(50);
    let error = component
        .instantiate(setup(Limits {
            open_time_max: Some(limit),
            ..limits()
        }))
        .unwrap_err();
    assert_eq!(
        error,
        OpenError::Call(CallError::TimedOut {
            call: "open",
            limit
        })
    );
    assert_engine_works(&engine);
}

#[test]
fn a_loop_at_the_start_or_in_describe_is_stopped_while_loading() {
    let engine = engine();
    let limits = LoadLimits {
        describe_time_max: Duration::from_millis(50),
        ..LoadLimits::default()
    };
    let start = format!("(func $start {FOREVER}) (start $start)");
    for guest in [
        Guest {
            describe: FOREVER,
            ..Guest::default()
        },
        Guest {
            fields: &start,
            ..Guest::default()
        },
    ] {
        let error = engine.load(&guest.module(), limits).unwrap_err();
        assert!(
            matches!(error, LoadError::Describe(CallError::TimedOut { .. })),
            "{error:?}"
        );
    }
    assert_engine_works(&engine);
}

#[test]
fn a_loop_in_functions_called_by_the_host_is_stopped() {
    // Freeing the answer also runs guest code.
    let fields = "(func (export \"cabi_post_tick\") (param i32) (loop $forever (br $forever)))";
    let engine = engine();
    let mut instance = load(
        &engine,
        &Guest {
            fields,
            ..Guest::default()
        },
    )
    .instantiate(setup(Limits {
        call_time_max: Duration::from_millis(50),
        ..limits()
    }))
    .unwrap();
    let error = instance.tick().unwrap_err();
    assert!(
        matches!(error, CallError::TimedOut { call: "tick", .. }),
        "{error:?}"
    );
}

#[test]
fn unbounded_memory_is_refused() {
    let bomb = "(loop $more (drop (memory.grow (i32.const 16))) (br $more)) unreachable";
    let error = process_fails(
        &Guest {
            process: bomb,
            ..Guest::default()
        },
        limits(),
    );
    assert_eq!(
        error,
        CallError::OutOfMemory {
            call: "process",
            limit: limits().memory_bytes_max
        }
    );
}

#[test]
fn initial_memory_is_limited() {
    let engine = engine();
    let component = load(&engine, &Guest::default());
    let tight = Limits {
        memory_bytes_max: 65536,
        ..limits()
    };
    let error = component.instantiate(setup(tight)).unwrap_err();
    assert_eq!(
        error,
        OpenError::Call(CallError::OutOfMemory {
            call: "open",
            limit: 65536
        })
    );
    assert_engine_works(&engine);
}

#[test]
fn an_oversized_batch_is_not_passed_to_the_guest() {
    let engine = engine();
    let mut echo = load(&engine, &Guest::default())
        .instantiate(setup(limits()))
        .unwrap();
    let max = limits().memory_bytes_max;
    let large = Frames::single(&vec![0; max]);
    assert_eq!(
        echo.process(0, &large),
        Err(CallError::BatchTooLarge { len: max + 4, max })
    );
    assert!(echo.process(0, &batch()).is_ok());
    // A batch that could fit but does not costs the instance.
    let nearly = Frames::single(&vec![0; max - 65536]);
    assert_eq!(
        echo.process(0, &nearly),
        Err(CallError::OutOfMemory {
            call: "process",
            limit: max
        })
    );
    assert_engine_works(&engine);
}

#[test]
fn unbounded_tables_are_refused() {
    let bomb = "(loop $more (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $more)) unreachable";
    let guest = Guest {
        process: bomb,
        fields: "(table $t 1 funcref)",
        ..Guest::default()
    };
    let message = trapped(&guest);
    assert!(
        message.contains("more table elements requested"),
        "{message}"
    );
}
