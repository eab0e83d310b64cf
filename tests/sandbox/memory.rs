//! Tests that hostile components leave nothing behind: memory, address space and threads return to
//! their previous values.

use std::fs;

use super::alone;
use super::cases::CASES;
use super::lab::Lab;
use super::usage;

/// Number of runs of the whole corpus between two measurements: 4.
const ROUNDS: usize = 4;
/// Number of attempts: 3. The allocator occasionally reserves another region of 64 MiB and keeps
/// it; a leak occurs every time.
const TRIES: usize = 3;
/// Maximum growth of the process in that time, in KiB: 32 MiB, because the allocator keeps some
/// freed memory. If any case keeps its memory, one round leaks more.
const RESIDENT_KIB_MAX: u64 = 32 * 1024;
/// A quarter of the address space of one memory, in KiB.
const RESERVED_KIB_MAX: u64 = 1024 * 1024;

#[test]
fn memory_returns_to_its_initial_size() {
    let _turn = alone();
    let lab = Lab::new();
    // The compiled code lives as long as its component. Keep it loaded, to measure only the remains
    // of instances.
    let loaded: Vec<_> = CASES
        .iter()
        .filter_map(|case| Some((case, lab.load(case).ok()?)))
        .collect();
    let round = || {
        for (case, component) in &loaded {
            lab.run_loaded(case, component);
        }
        for case in CASES.iter().filter(|case| lab.load(case).is_err()) {
            lab.run(case);
        }
    };
    round();
    let look = || (usage::resident_kib(), usage::reserved_kib(), threads());
    let mut tries = Vec::new();
    let stays = (0..TRIES).any(|_| {
        let before = look();
        for _ in 0..ROUNDS {
            round();
        }
        let after = look();
        println!(
            "KiB resident, KiB reserved, threads: {before:?} before, {after:?} after {ROUNDS} rounds"
        );
        tries.push((before, after));
        after.0 < before.0 + RESIDENT_KIB_MAX
            && after.1 < before.1 + RESERVED_KIB_MAX
            && after.2 <= before.2
    });
    assert!(stays, "{tries:?}");
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}
