//! The settings of a consumer that can be compared between two manifests.

use std::time::Duration;

use super::operator_settings::{OnError, on_error};
use crate::declare::{Diagnostic, Fields, Reader, duration, nested, section};

const MIN_PAUSE: Duration = Duration::from_millis(1);
/// Longest pause, and longest time for attempts: 365 days.
const MAX_PAUSE: Duration = Duration::from_hours(365 * 24);

section! {
    /// Pauses between the attempts of a sink to write.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Retry: "retry" + Default check(are_in_order) {
        /// First pause. Each later one is twice as long as the one before.
        pub initial: Duration = duration(MIN_PAUSE, MAX_PAUSE), default(Duration::from_millis(50));
        /// Longest pause.
        pub max: Duration = duration(MIN_PAUSE, MAX_PAUSE), default(Duration::from_secs(5));
        /// Time without any record written after which `on_error` applies to records.
        pub max_elapsed: Option<Duration> = duration(Duration::ZERO, MAX_PAUSE), unset("no end");
    }
}

section! {
    /// The settings of a consumer that can be compared between two manifests.
    #[derive(Debug, Clone, PartialEq)]
    pub struct ConsumerSettings: "consumer_settings" + Default + differences {
        /// Pauses between attempts, for errors that pass.
        pub retry: Retry = nested::<Retry>(), default(Retry::default()), retune;
        /// Policy for records that are not written. `skip` drops and counts them, `stop` fails the consumer,
        /// `{to: stream}` sends them to a stream.
        pub on_error: OnError = on_error(&["skip", "stop"], "unset"),
            empty("`skip` for records that do not fit, and `up` exits with 5; else `stop`"), retune;
    }
}

fn are_in_order(retry: &Retry, cx: &mut Reader<'_>, fields: Fields<'_>) {
    if retry.initial > retry.max {
        cx.note(
            Diagnostic::error("`initial` is longer than `max`")
                .at(fields.span, "the first pause is the shortest"),
        );
    }
}
