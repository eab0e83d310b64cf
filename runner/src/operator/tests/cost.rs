//! Rough bounds on the cost of a call: far above the cost in a release build on an idle machine,
//! and far below that of a mistake such as decoding every record or waking a thread for every call.
//! `--nocapture` shows the numbers.

use std::time::Instant;

use super::guest::Guest;
use super::*;

/// Number of calls.
const CALLS: usize = 20_000;
/// Number of parts of them that are timed. The fastest counts: other processes interrupt the others.
const PARTS: usize = 200;

#[test]
fn a_call_costs_little() {
    let component = engine()
        .load(&Guest::default().module(), LoadLimits::default())
        .unwrap();
    let mut echo = component.instantiate(setup(limits())).unwrap();
    for count in [0_usize, 1, 64, 1024] {
        let batch: Frames = (0..count).map(|_| [b'x'; 64]).collect();
        let calls = (CALLS / (1 + count / 8) / PARTS).max(1);
        let parts = (0..PARTS).map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                echo.process(0, &batch).unwrap();
            }
            start.elapsed() / calls as u32
        });
        let call = parts.min().unwrap();
        println!("{count} records of 64 bytes: {call:?} a call");
        // In an unoptimised build, copying dominates: 1 µs per record of this size.
        assert!(
            call < Duration::from_micros(100) + Duration::from_micros(10) * count as u32,
            "{call:?} for {count}"
        );
    }
}

#[test]
fn loading_from_the_cache_is_quick() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        cache_dir: Some(dir.path().to_owned()),
    };
    // A module with many non-trivial functions, about the size of a real operator.
    let body =
        "(local.set 0 (i32.load offset=4 (i32.mul (local.get 0) (i32.const 77))))".repeat(40);
    let functions = format!("(func (param i32) (result i32) {body} (local.get 0))").repeat(3000);
    let module = Guest {
        fields: &functions,
        ..Guest::default()
    }
    .module();
    let start = Instant::now();
    Engine::new(config.clone())
        .unwrap()
        .load(&module, LoadLimits::default())
        .unwrap();
    let cold = start.elapsed();
    let engine = Engine::new(config).unwrap();
    let start = Instant::now();
    engine.load(&module, LoadLimits::default()).unwrap();
    let warm = start.elapsed();
    println!(
        "{} bytes: compiled in {cold:?}, from the cache in {warm:?}",
        module.len()
    );
    assert!(warm < cold / 4, "{warm:?} warm, {cold:?} cold");
}
