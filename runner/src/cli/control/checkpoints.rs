//! Formats the checkpoints of a running node.

use std::fmt::Write as _;

use super::figures::{bytes, reasons, span};
use crate::topology::report::CheckpointStatus;

/// Formats the last checkpoint: `checkpoint 12, 0.4s ago, 1.2 MB of state, took 3.4 ms`.
pub(in crate::cli) fn last_checkpoint(status: &CheckpointStatus) -> String {
    let Some(age) = status.age_ms else {
        return "no checkpoint yet".to_owned();
    };
    let took = status.took_ms;
    let took = took.map_or_else(String::new, |ms| format!(", took {ms:.1} ms"));
    format!(
        "checkpoint {}, {} ago, {} of state{took}",
        status.number,
        span(age),
        bytes(status.state_bytes)
    )
}

/// Formats the last checkpoint, the next one, and those that were given up, line by line.
pub(super) fn checkpoints(status: &CheckpointStatus) -> String {
    let next = match status.running_ms {
        Some(ms) => format!("the next one began {} ago", span(ms)),
        None => format!("the next one in {}", span(status.next_ms)),
    };
    let mut text = format!("{}; {next}\n", last_checkpoint(status));
    if !status.given_up.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, "checkpoints given up: {}", reasons(&status.given_up));
        if let Some(reason) = &status.reason {
            let _ = write!(text, "; the last one: {reason}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn checkpoints_are_shown_with_their_age_and_what_was_given_up() {
        let mut status = CheckpointStatus {
            number: 0,
            age_ms: None,
            state_bytes: 0,
            took_ms: None,
            every_ms: 1000,
            next_ms: 600,
            running_ms: None,
            given_up: BTreeMap::new(),
            reason: None,
        };
        assert_eq!(
            checkpoints(&status),
            "no checkpoint yet; the next one in 0.6s\n"
        );
        status = CheckpointStatus {
            number: 12,
            age_ms: Some(61_000),
            state_bytes: 1_200_000,
            took_ms: Some(3.44),
            running_ms: Some(2500),
            given_up: BTreeMap::from([("slow".to_owned(), 3), ("changed".to_owned(), 1)]),
            reason: Some("no barrier has passed consumer out".to_owned()),
            ..status
        };
        assert_eq!(
            checkpoints(&status),
            "checkpoint 12, 1m 1s ago, 1.2 MB of state, took 3.4 ms; the next one began 2.5s ago\n\
             checkpoints given up: 1 changed, 3 slow; the last one: no barrier has passed consumer out\n"
        );
        status.took_ms = None;
        assert_eq!(
            last_checkpoint(&status),
            "checkpoint 12, 1m 1s ago, 1.2 MB of state"
        );
    }
}
