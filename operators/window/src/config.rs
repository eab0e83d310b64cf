//! [`Config`]: what the manifest says of a window operator.

use crate::aggregate::{Aggregates, VALUES_MAX};
use crate::every::{Every, Span};
use crate::fields::Field;
use crate::time::Unit;
use mosaik_wasm_sdk::{Result, bail, ensure, parse_config};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The configuration.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The length of windows.
    pub(crate) every: Every,
    /// The fields whose values have windows of their own.
    #[serde(default)]
    pub(crate) by: By,
    /// The field with the event time.
    pub(crate) time: Time,
    /// What is made of a window's datums.
    pub(crate) aggregate: Aggregates,
    /// How long a window stays open for datums that come late.
    #[serde(default)]
    pub(crate) lateness: Span,
    /// Whose newest time closes windows.
    #[serde(default)]
    pub(crate) watermark: Watermark,
    /// After how much of the host's time without a datum a key's windows are closed anyway; never if not given.
    #[serde(default)]
    pub(crate) idle: Option<Span>,
    /// Keys that are held.
    #[serde(default = "max_keys")]
    pub(crate) max_keys: usize,
    /// Windows that are open.
    #[serde(default = "max_windows")]
    pub(crate) max_windows: usize,
}

fn max_keys() -> usize {
    100_000
}

fn max_windows() -> usize {
    100_000
}

/// Whose newest time closes windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Watermark {
    /// The key's own: for streams in which one key comes after the other, or keys run apart.
    #[default]
    Key,
    /// That of all keys: for streams in order of time.
    All,
}

impl Config {
    /// Reads and checks a configuration.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let config: Self = parse_config(text)?;
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

    /// What must be the same for saved windows to make sense.
    pub(crate) fn shape(&self) -> String {
        format!("{:?} {:?} {:?}", self.every, self.by, self.aggregate)
    }
}

/// `by: symbol` or `by: [symbol, exchange]`
#[derive(Debug, Clone, Default)]
pub(crate) struct By(pub(crate) Vec<Field>);

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByVisitor;

        impl<'de> Visitor<'de> for ByVisitor {
            type Value = By;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field or a list of fields")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<By, E> {
                Ok(By(vec![Field::parse(text)?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<By, A::Error> {
                Ok(By(Vec::deserialize(SeqAccessDeserializer::new(seq))?))
            }
        }

        deserializer.deserialize_any(ByVisitor)
    }
}

/// `time: date` or `time: {field: at, unit: ms}`
#[derive(Debug, Clone)]
pub(crate) struct Time {
    pub(crate) field: Field,
    pub(crate) unit: Option<Unit>,
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct WithUnit {
            field: Field,
            unit: Option<Unit>,
        }

        struct TimeVisitor;

        impl<'de> Visitor<'de> for TimeVisitor {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field, or a field and a unit like {field: at, unit: ms}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                Ok(Time {
                    field: Field::parse(text)?,
                    unit: None,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Time, A::Error> {
                let WithUnit { field, unit } =
                    WithUnit::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Time { field, unit })
            }
        }

        deserializer.deserialize_any(TimeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_and_where() {
        for (config, expected) in [
            ("{}", "config: missing field `every`"),
            (
                r#"{"every":"fortnight","time":"t","aggregate":{}}"#,
                "config.every: `fortnight` is neither year, quarter",
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
