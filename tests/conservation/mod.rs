//! Tests that no record is lost or duplicated without a trace. A source with numbered records, a
//! graph and a fault; afterwards, the test checks the outputs, the summary and the exit code. The
//! summary must count each received record of a stage in exactly one outcome, and the outputs must
//! match the test's own computation.
//!
//! Each test runs a few seeds. `MOSAIK_CONSERVATION_SEEDS=200` runs 200 seeds, which is the long
//! form.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod busy;
mod files;
mod graphs;
mod kills;
mod ledger;
mod nodes;
mod partial;
pub(crate) mod random;
mod readers;
mod retries;
mod shared;
mod sinks;

/// Returns the number of seeds per test.
fn seeds() -> u64 {
    std::env::var("MOSAIK_CONSERVATION_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(3)
}
