//! Tests the sandbox with a corpus of hostile components: how each ends, and the cost for others.
//!
//! `docs/sandbox.md` describes the tested properties and how to run the tests. `--nocapture` shows
//! the figures.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "sandbox/cases.rs"]
mod cases;
#[path = "sandbox/containment.rs"]
mod containment;
#[path = "sandbox/corpus.rs"]
mod corpus;
#[path = "support/guest.rs"]
#[expect(
    dead_code,
    reason = "each of the tests that share it uses a part of it"
)]
mod guest;
#[path = "sandbox/lab.rs"]
mod lab;
#[path = "sandbox/memory.rs"]
mod memory;
#[path = "sandbox/siblings.rs"]
mod siblings;
#[path = "support/usage.rs"]
mod usage;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// These tests measure, so only one runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
