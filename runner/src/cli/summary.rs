//! The summary at the end of `up`.

use super::{Exit, OutputArgs, print_stderr};
use crate::topology::Summary;

/// Prints the summary to stderr: as a table, or as events of a JSON log.
pub(super) fn show(summary: &Summary, output: OutputArgs, exit: Exit) {
    if !output.log_is_json() {
        print_stderr(&summary.to_string());
        if exit == Exit::Lost {
            print_stderr(
                "exit code 5: docs/guarantees.md defines lost records; `--allow-loss` exits with 0 instead",
            );
        }
        return;
    }
    for stage in &summary.stages {
        let inputs = stage.counts.inputs;
        let counters: Vec<_> = stage
            .counters
            .iter()
            .map(|(name, counter)| format!("{name}={} {}", counter.total, counter.class.name()))
            .collect();
        tracing::info!(
            stage = %stage.stage,
            datums_in = stage.counts.datums_in,
            datums_out = stage.counts.datums_out,
            bytes_in = stage.counts.bytes_in,
            bytes_out = stage.counts.bytes_out,
            restarts = stage.counts.restarts,
            answered = inputs.answered,
            absorbed = inputs.absorbed,
            filtered = inputs.filtered,
            taken = inputs.taken,
            rejected = inputs.rejected,
            failed = inputs.failed,
            forgotten = inputs.forgotten,
            invalid = inputs.invalid,
            undelivered = inputs.undelivered,
            dead_letters = stage.counts.dead_letters,
            lost = stage.lost(),
            counters = counters.join(", "),
            dropped = %stage.counts,
            held_for = ?stage.held_for,
            "summary"
        );
    }
    for (stream, totals) in &summary.streams {
        tracing::info!(stream = stream.as_str(), sent_remote = totals.sent_remote, redelivered = totals.redelivered, unconfirmed = totals.unconfirmed, dropped = ?totals.dropped, "summary");
    }
    let uptime_ms = u64::try_from(summary.uptime.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        generations = summary.generation,
        uptime_ms,
        dropped = summary.dropped(),
        lost = summary.lost(),
        incomplete = summary.incomplete(),
        "done"
    );
}
