//! Conservation, checked from outside the program: sources whose records carry ids, a graph, a fault, and afterwards the
//! outputs, the summary and the exit code. Every record that a stage took in is in exactly one place of its summary, and
//! the outputs are those of a computation of the test's own.
//!
//! Each test runs a few seeds. `MOSAIK_CONSERVATION_SEEDS=200` runs so many, which is the long form.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod busy;
mod files;
mod graphs;
mod ledger;
mod nodes;
mod partial;
mod random;
mod readers;
mod retries;
mod shared;

/// How many seeds a test runs.
fn seeds() -> u64 {
    std::env::var("MOSAIK_CONSERVATION_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(3)
}
