//! [`Config`]: the configuration of a window operator.

use crate::aggregate::{Aggregates, VALUES_MAX};
use crate::every::Every;
use crate::windowing::Windowing;
use mosaik_operator_common::fields::Field;
use mosaik_operator_common::key::By;
use mosaik_operator_common::shape::shape;
use mosaik_operator_common::span::{Span, Wait};
use mosaik_operator_common::time::TimeField;
use mosaik_wasm_sdk::{Mistakes, OperatorConfig, Result};

/// The configuration.
#[derive(Debug, Clone, OperatorConfig)]
#[config(one_of(every, session), check = check)]
pub(crate) struct Config {
    /// Time between the starts of windows, in UTC.
    every: Option<Every>,
    /// Length of a window, at least `every`.
    #[config(unset = "`every`", requires(every))]
    length: Option<Every>,
    /// Time without a record after which a session ends.
    session: Option<Wait>,
    /// Field with the event time.
    #[config(unset = "the host's clock on arrival")]
    pub(crate) time: Option<TimeField>,
    /// Aggregates by their names in the output.
    #[config(min = 1)]
    pub(crate) aggregate: Aggregates,
    /// Fields whose values have separate windows.
    #[config(unset = "one window for all records")]
    pub(crate) by: By,
    /// Time for which a window stays open for late records.
    #[config(default = "0s", requires(time))]
    pub(crate) lateness: Span,
    /// Records whose newest time closes a window: those of its key, or all.
    #[config(default = "key", requires(time))]
    watermark: Watermark,
    /// Close a key's windows after this time without a record, by the host's clock.
    #[config(unset = "never", requires(time))]
    pub(crate) idle: Option<Span>,
    /// Maximum time by which an event time may be ahead of the host's clock.
    #[config(default = "1d", requires(time))]
    pub(crate) max_ahead: Span,
    /// Maximum number of keys.
    #[config(default = 100_000)]
    pub(crate) max_keys: usize,
    /// Maximum number of open windows of all keys.
    #[config(default = 100_000)]
    pub(crate) max_windows: usize,
}

/// The scope of the newest time that closes windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, OperatorConfig)]
pub(crate) enum Watermark {
    /// Per key: for streams that contain one key after the other, or whose keys are not synchronous.
    Key,
    /// Over all keys: for streams in order of time.
    All,
}

fn check(config: &Config, mistakes: &mut Mistakes) {
    if let (Some(every), Some(length)) = (config.every, config.length)
        && let Err(reason) = Windowing::every(every, length)
    {
        mistakes.add_at("length", reason);
    }
    let aggregates = &config.aggregate.0;
    let values = 1 + config.by.0.len() + aggregates.len();
    if values > VALUES_MAX {
        mistakes.add(format_args!(
            "{values} fields and aggregates are more than {VALUES_MAX}"
        ));
    }
    let mut names = vec!["start", "end"];
    let outputs = config
        .by
        .0
        .iter()
        .map(Field::name)
        .chain(aggregates.iter().map(|aggregate| &*aggregate.name));
    for name in outputs {
        if names.contains(&name) {
            mistakes.add(format_args!(
                "two fields of the output would be called `{name}`"
            ));
        }
        names.push(name);
    }
}

impl Config {
    /// Returns the windowing.
    pub(crate) fn windowing(&self) -> Result<Windowing> {
        match (self.every, self.session) {
            (Some(every), _) => Windowing::every(every, self.length.unwrap_or(every)),
            // One of the two is set.
            (None, session) => Ok(Windowing::Session(session.map_or(1, |session| session.0.0))),
        }
    }

    /// Returns the scope of the newest time that closes windows.
    pub(crate) fn watermark(&self) -> Watermark {
        match self.time {
            // The clock is the same for all keys.
            None => Watermark::All,
            Some(_) => self.watermark,
        }
    }

    /// A hash of the settings that must not change for saved windows to be valid.
    pub(crate) fn shape(&self) -> u64 {
        let windows = (self.every, self.length, self.session);
        shape(&(windows, &self.by, &self.aggregate, self.time.is_none()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaik_wasm_sdk::parse_config;
    use mosaik_wasm_sdk::testing::documented;

    #[test]
    fn the_reference_is_generated() {
        documented::<Config>(env!("CARGO_MANIFEST_DIR"));
    }

    #[test]
    fn errors_say_what_and_where() {
        for (config, expected) in [
            (
                "{}",
                "config: missing key `aggregate`\nconfig: set exactly one of `every`, `session`",
            ),
            (
                r#"{"aggregate":{"n":"count"}}"#,
                "config: set exactly one of `every`, `session`",
            ),
            (
                r#"{"every":"fortnight","time":"t","aggregate":{}}"#,
                "config.every: `fortnight` is neither year, quarter",
            ),
            (
                r#"{"every":"day","session":"1h","aggregate":{"n":"count"}}"#,
                "config: set exactly one of `every`, `session`",
            ),
            (
                r#"{"session":"1h","length":"1h","aggregate":{"n":"count"}}"#,
                "config.length: requires `every`",
            ),
            (
                r#"{"session":"0s","aggregate":{"n":"count"}}"#,
                "config.session: must be greater",
            ),
            (
                r#"{"every":"1h","length":"30m","aggregate":{"n":"count"}}"#,
                "config.length: shorter than",
            ),
            (
                r#"{"every":"1h","length":"year","aggregate":{"n":"count"}}"#,
                "config.length: windows of months",
            ),
            (
                r#"{"every":"1s","length":"1h","aggregate":{"n":"count"}}"#,
                "config.length: each record would be in 3600 windows, more than 400",
            ),
            (
                r#"{"every":"day","lateness":"1s","aggregate":{"n":"count"}}"#,
                "config.lateness: requires `time`",
            ),
            (
                r#"{"every":"day","watermark":"all","aggregate":{"n":"count"}}"#,
                "config.watermark: requires `time`",
            ),
            (
                r#"{"every":"day","idle":"1s","aggregate":{"n":"count"}}"#,
                "config.idle: requires `time`",
            ),
            (
                r#"{"every":"day","max_ahead":"1h","aggregate":{"n":"count"}}"#,
                "config.max_ahead: requires `time`",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{}}"#,
                "config.aggregate: must have at least 1 item",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"a":{"mean":"p"}}}"#,
                "config.aggregate.a.mean: unknown key `mean`, expected `count`",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"a":{"avg":"p","max":"p"}}}"#,
                "config.aggregate.a: set exactly one of `count`",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"a":"avg"}}"#,
                "config.aggregate.a: must be `count`, or an aggregate of a field like {avg: price}, found \"avg\"",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"a":"total"}}"#,
                "config.aggregate.a: must be `count`, or an aggregate",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"end":"count"}}"#,
                "config: two fields of the output would be called `end`",
            ),
            (
                r#"{"every":"day","time":"","aggregate":{"n":"count"}}"#,
                "config.time: a field has a name",
            ),
            (
                r#"{"every":"day","time":{"field":"t","unit":"days"},"aggregate":{"n":"count"}}"#,
                "config.time.unit: unknown value `days`",
            ),
            (
                r#"{"every":"day","time":"t","by":5,"aggregate":{"n":"count"}}"#,
                "config.by: must be a field or a list of fields, found a number",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"n":"count"},"late":"1s"}"#,
                "config.late: unknown key `late`",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"n":"count"},"watermark":"global"}"#,
                "config.watermark: unknown value `global`, expected `key`, `all`",
            ),
        ] {
            let error = parse_config::<Config>(config).unwrap_err().into_reason();
            assert!(
                error.starts_with(expected),
                "{config}\n  gave {error}\n  not  {expected}"
            );
        }
    }
}
