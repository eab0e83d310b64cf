//! [`Config`]: the configuration of a join operator.

use mosaik_operator_common::key::By;
use mosaik_operator_common::pair::pair;
use mosaik_operator_common::shape::shape;
use mosaik_operator_common::size::Size;
use mosaik_operator_common::span::Span;
use mosaik_operator_common::time::TimeField;
use mosaik_wasm_sdk::{Result, bail, ensure, parse_config};
use serde::Deserializer;

/// The names of the sides, which are those of the input ports.
pub(crate) const SIDES: [&str; 2] = ["left", "right"];

/// The maximum number of fields in a key.
const KEY_FIELDS_MAX: usize = 8;

/// The configuration.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The fields whose values must be equal on both sides.
    #[serde(deserialize_with = "by_sides")]
    pub(crate) by: [By; 2],
    /// The maximum time between two joined records.
    pub(crate) within: Span,
    /// The fields with the event time; the host's clock at arrival if not set.
    #[serde(default, deserialize_with = "time_by_sides")]
    pub(crate) time: Option<[TimeField; 2]>,
    /// The handling of records without a match.
    #[serde(default, rename = "type")]
    pub(crate) kind: Kind,
    /// The maximum time by which a record may be older than the newest one of its side.
    lateness: Option<Span>,
    /// The time by the host's clock after which a record is no longer held; unlimited if not set.
    pub(crate) idle: Option<Span>,
    /// The maximum time by which an event time may be ahead of the host's clock.
    pub(crate) max_ahead: Option<Span>,
    /// The form of the output.
    #[serde(default)]
    pub(crate) output: Output,
    /// The prefixes of field names in merged outputs.
    prefix: Option<Prefix>,
    /// The maximum number of records held per side.
    #[serde(default = "max_datums")]
    pub(crate) max_datums: usize,
    /// The maximum number of bytes held per side.
    #[serde(default = "max_bytes")]
    pub(crate) max_bytes: Size,
}

fn max_datums() -> usize {
    20_000
}

fn max_bytes() -> Size {
    Size(4 * 1024 * 1024)
}

/// The handling of records without a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// They are dropped.
    #[default]
    Inner,
    /// Those of the left side are output alone.
    Left,
    /// Those of the right side are output alone.
    Right,
    /// All are output alone.
    Outer,
}

impl Kind {
    /// Returns true if an unmatched record of that side is output.
    pub(crate) fn keeps(self, side: usize) -> bool {
        match self {
            Self::Inner => false,
            Self::Left => side == 0,
            Self::Right => side == 1,
            Self::Outer => true,
        }
    }
}

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Output {
    /// Both records, each under the name of its side.
    #[default]
    Pair,
    /// One object with the fields of both records.
    Merged,
}

/// The prefixes of the sides' field names.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    #[serde(default)]
    left: String,
    #[serde(default)]
    right: String,
}

fn by_sides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[By; 2], D::Error> {
    pair(deserializer, SIDES)
}

fn time_by_sides<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<[TimeField; 2]>, D::Error> {
    pair(deserializer, SIDES).map(Some)
}

impl Config {
    /// Parses and validates a configuration.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let config: Self = parse_config(text)?;
        let [left, right] = &config.by;
        let (count, other) = (left.0.len(), right.0.len());
        ensure!(
            count == other,
            "config.by: {count} fields on the left, and {other} on the right"
        );
        ensure!(
            (1..=KEY_FIELDS_MAX).contains(&count),
            "config.by: a key has 1 to {KEY_FIELDS_MAX} fields, not {count}"
        );
        if config.time.is_none() {
            for (name, given) in [
                ("lateness", config.lateness),
                ("idle", config.idle),
                ("max_ahead", config.max_ahead),
            ] {
                if given.is_some() {
                    bail!(
                        "config.{name}: requires `time`; without it, records are held for `within` and are never late"
                    );
                }
            }
        }
        ensure!(
            config.prefix.is_none() || config.output == Output::Merged,
            "config.prefix: requires `output: merged`"
        );
        let [left, right] = config.prefixes();
        ensure!(
            left != right || config.output == Output::Pair,
            "config.prefix: must differ between the sides, because equal names would clash"
        );
        for (name, most) in [
            ("max_datums", config.max_datums),
            ("max_bytes", config.max_bytes.0),
        ] {
            ensure!(
                most > 0,
                "config.{name}: must be at least 1, so that a record can wait for a match"
            );
        }
        Ok(config)
    }

    /// Returns the prefix of each side's field names.
    pub(crate) fn prefixes(&self) -> [&str; 2] {
        match &self.prefix {
            None => ["", "right_"],
            Some(Prefix { left, right }) => [left, right],
        }
    }

    /// Returns the maximum time by which a record may be older than the newest one of its side, in ms.
    pub(crate) fn lateness_ms(&self) -> i64 {
        self.lateness.unwrap_or_default().0
    }

    /// A hash of the settings that must not change for saved records to be valid.
    pub(crate) fn shape(&self) -> u64 {
        shape(&(&self.by, &self.time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_and_where() {
        for (config, expected) in [
            ("{}", "config: missing field `by`"),
            (r#"{"by":"k"}"#, "config: missing field `within`"),
            (
                r#"{"by":"k","within":"5"}"#,
                "config.within: `5` is not a time",
            ),
            (
                r#"{"by":{"left":"k"},"within":"5s"}"#,
                "config.by: `right` is missing",
            ),
            (
                r#"{"by":{"left":"k","right":7},"within":"5s"}"#,
                "config.by: right: invalid type",
            ),
            (
                r#"{"by":{"left":"k","right":"k","both":"k"},"within":"5s"}"#,
                "config.by: unknown side `both`",
            ),
            (
                r#"{"by":{"left":["a","b"],"right":"k"},"within":"5s"}"#,
                "config.by: 2 fields on the left, and 1 on the right",
            ),
            (
                r#"{"by":[],"within":"5s"}"#,
                "config.by: a key has 1 to 8 fields",
            ),
            (
                r#"{"by":"k","within":"5s","time":{"left":"t","right":{"field":"t","unit":"h"}}}"#,
                "config.time: right: unknown variant `h`",
            ),
            (
                r#"{"by":"k","within":"5s","lateness":"1s"}"#,
                "config.lateness: requires `time`",
            ),
            (
                r#"{"by":"k","within":"5s","idle":"1s"}"#,
                "config.idle: requires `time`",
            ),
            (
                r#"{"by":"k","within":"5s","max_ahead":"1s"}"#,
                "config.max_ahead: requires `time`",
            ),
            (
                r#"{"by":"k","within":"5s","type":"full"}"#,
                "config.type: unknown variant `full`",
            ),
            (
                r#"{"by":"k","within":"5s","prefix":{"left":"l_"}}"#,
                "config.prefix: requires `output: merged`",
            ),
            (
                r#"{"by":"k","within":"5s","output":"merged","prefix":{}}"#,
                "config.prefix: must differ between the sides",
            ),
            (
                r#"{"by":"k","within":"5s","max_datums":0}"#,
                "config.max_datums: must be at least 1",
            ),
            (
                r#"{"by":"k","within":"5s","max_bytes":"0MiB"}"#,
                "config.max_bytes: must be at least 1",
            ),
            (
                r#"{"by":"k","within":"5s","max_bytes":"4MB"}"#,
                "config.max_bytes: invalid value: string \"4MB\", expected a size like 64KiB",
            ),
            (
                r#"{"by":"k","within":"5s","on":"k"}"#,
                "config.on: unknown field `on`",
            ),
        ] {
            let error = Config::parse(config).unwrap_err().into_reason();
            assert!(
                error.starts_with(expected),
                "{config}\n  gave {error}\n  not  {expected}"
            );
        }
    }

    #[test]
    fn bytes_are_a_size() {
        for bytes in [r#""64MiB""#, "67108864"] {
            let text = format!(r#"{{"by":"k","within":"5s","max_bytes":{bytes}}}"#);
            assert_eq!(Config::parse(&text).unwrap().max_bytes, Size(64 << 20));
        }
    }

    #[test]
    fn sides_may_differ() {
        let text = r#"{"by":{"left":["a","b.c"],"right":["x","y"]},"within":"5s","time":{"left":"t","right":{"field":"at","unit":"ms"}}}"#;
        let config = Config::parse(text).unwrap();
        let names = |side: usize| {
            let fields = config.by[side].0.iter();
            fields.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(0), names(1)),
            (vec!["a".into(), "b.c".into()], vec!["x".into(), "y".into()])
        );
        let [left, right] = config.time.unwrap();
        assert_eq!(left.field.to_string(), "t");
        assert_eq!(
            (right.field.to_string(), right.unit.is_some()),
            ("at".into(), true)
        );
    }
}
