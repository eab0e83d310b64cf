//! [`Config`]: the configuration of a window operator.

use crate::aggregate::{Aggregates, VALUES_MAX};
use crate::every::Every;
use crate::windowing::Windowing;
use mosaik_operator_common::fields::Field;
use mosaik_operator_common::key::By;
use mosaik_operator_common::shape::shape;
use mosaik_operator_common::span::Span;
use mosaik_operator_common::time::TimeField;
use mosaik_wasm_sdk::{Result, bail, ensure, parse_config};

/// The configuration.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The distance between the starts of windows.
    every: Option<Every>,
    /// The length of windows; up to the start of the next one if not set.
    length: Option<Every>,
    /// The time without a record after which a session window ends.
    session: Option<Span>,
    /// The fields whose values have separate windows.
    #[serde(default)]
    pub(crate) by: By,
    /// The field with the event time; the host's clock at arrival if not set.
    pub(crate) time: Option<TimeField>,
    /// The aggregates.
    pub(crate) aggregate: Aggregates,
    /// The time for which a window stays open for late records.
    pub(crate) lateness: Option<Span>,
    /// The scope of the newest time that closes windows.
    pub(crate) watermark: Option<Watermark>,
    /// The time without a record, by the host's clock, after which a key's windows are closed; unlimited if not set.
    pub(crate) idle: Option<Span>,
    /// The maximum time by which an event time may be ahead of the host's clock.
    pub(crate) max_ahead: Option<Span>,
    /// The maximum number of keys.
    #[serde(default = "max_keys")]
    pub(crate) max_keys: usize,
    /// The maximum number of open windows.
    #[serde(default = "max_windows")]
    pub(crate) max_windows: usize,
}

fn max_keys() -> usize {
    100_000
}

fn max_windows() -> usize {
    100_000
}

/// The scope of the newest time that closes windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Watermark {
    /// Per key: for streams that contain one key after the other, or whose keys are not synchronous.
    #[default]
    Key,
    /// Over all keys: for streams in order of time.
    All,
}

impl Config {
    /// Parses and validates a configuration.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let config: Self = parse_config(text)?;
        config.windowing()?;
        if config.time.is_none() {
            let given = [
                ("lateness", config.lateness.is_some()),
                ("watermark", config.watermark.is_some()),
                ("idle", config.idle.is_some()),
                ("max_ahead", config.max_ahead.is_some()),
            ];
            if let Some((name, _)) = given.iter().find(|(_, given)| *given) {
                bail!(
                    "config.{name}: requires `time`; without it, windows close by the host's clock and no record is late"
                );
            }
        }
        let aggregates = &config.aggregate.0;
        ensure!(
            !aggregates.is_empty(),
            "config.aggregate: name at least one, like {{n: count}}"
        );
        let values = 1 + config.by.0.len() + aggregates.len();
        ensure!(
            values <= VALUES_MAX,
            "config: {values} fields and aggregates are more than {VALUES_MAX}"
        );
        let mut names = vec!["start", "end"];
        let outputs = config
            .by
            .0
            .iter()
            .map(Field::name)
            .chain(aggregates.iter().map(|aggregate| &*aggregate.name));
        for name in outputs {
            if names.contains(&name) {
                bail!("config: two fields of the output would be called `{name}`");
            }
            names.push(name);
        }
        Ok(config)
    }

    /// Returns the windowing.
    pub(crate) fn windowing(&self) -> Result<Windowing> {
        match (self.every, self.length, self.session) {
            (Some(every), length, None) => Windowing::every(every, length),
            (None, None, Some(gap)) => Windowing::session(gap),
            (None, _, None) => bail!("config: missing field `every` or `session`"),
            (Some(_), _, Some(_)) => bail!("config.session: cannot be combined with `every`"),
            (None, Some(_), Some(_)) => {
                bail!(
                    "config.length: cannot be combined with `session`, whose windows extend with their records"
                )
            }
        }
    }

    /// Returns the scope of the newest time that closes windows.
    pub(crate) fn watermark(&self) -> Watermark {
        match self.time {
            // The clock is the same for all keys.
            None => Watermark::All,
            Some(_) => self.watermark.unwrap_or_default(),
        }
    }

    /// Returns the time for which a window stays open for late records, in ms.
    pub(crate) fn lateness_ms(&self) -> i64 {
        self.lateness.unwrap_or_default().0
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

    #[test]
    fn errors_say_what_and_where() {
        for (config, expected) in [
            ("{}", "config: missing field `aggregate`"),
            (
                r#"{"aggregate":{"n":"count"}}"#,
                "config: missing field `every` or `session`",
            ),
            (
                r#"{"every":"fortnight","time":"t","aggregate":{}}"#,
                "config.every: `fortnight` is neither year, quarter",
            ),
            (
                r#"{"every":"day","session":"1h","aggregate":{"n":"count"}}"#,
                "config.session: cannot be combined with `every`",
            ),
            (
                r#"{"session":"1h","length":"1h","aggregate":{"n":"count"}}"#,
                "config.length: cannot be combined with `session`",
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
                "config.aggregate: name at least one",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"a":{"mean":"p"}}}"#,
                "config.aggregate.a: unknown variant `mean`, expected one of",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"a":{"avg":"p","max":"p"}}}"#,
                "config.aggregate.a: one aggregate has one field",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"a":"avg"}}"#,
                "config.aggregate.a: `avg` needs a field: {avg: price}",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"a":"total"}}"#,
                "config.aggregate.a: unknown variant `total`",
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
                "config.time.unit: unknown variant `days`",
            ),
            (
                r#"{"every":"day","time":"t","by":5,"aggregate":{"n":"count"}}"#,
                "config.by: invalid type: integer `5`, expected a field or a list of fields",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"n":"count"},"late":"1s"}"#,
                "config.late: unknown field `late`",
            ),
            (
                r#"{"every":"day","time":"t","aggregate":{"n":"count"},"watermark":"global"}"#,
                "config.watermark: unknown variant `global`, expected `key` or `all`",
            ),
        ] {
            let error = Config::parse(config).unwrap_err().into_reason();
            assert!(
                error.starts_with(expected),
                "{config}\n  gave {error}\n  not  {expected}"
            );
        }
    }
}
