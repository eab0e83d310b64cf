//! What hostile components leave behind: nothing. Memory, addresses and threads are what they were.

use std::fs;

use super::alone;
use super::cases::CASES;
use super::lab::Lab;
use super::usage;

/// Times that the whole corpus is tried between two looks.
const ROUNDS: usize = 4;
/// How often it is tried: the allocator takes a region of 64 MiB more when it sees fit, and keeps it. What leaks does so
/// every time.
const TRIES: usize = 3;
/// What the process may have grown in that time: the allocator keeps some of what was freed. One round leaks more if any
/// case keeps what it was given.
const RESIDENT_KIB_MAX: u64 = 32 * 1024;
/// The addresses of a quarter of one memory.
const RESERVED_KIB_MAX: u64 = 1024 * 1024;

#[test]
fn memory_is_back_where_it_was() {
    let _turn = alone();
    let lab = Lab::new();
    // Compiled code stays as long as its component does, so that what instances leave behind is told apart.
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
