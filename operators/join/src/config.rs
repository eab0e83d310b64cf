//! [`Config`]: the configuration of a join operator.

use mosaik_operator_common::key::{By, same_number};
use mosaik_operator_common::shape::shape;
use mosaik_operator_common::size::Size;
use mosaik_operator_common::span::Span;
use mosaik_operator_common::time::TimeField;
use mosaik_wasm_sdk::{Mistakes, OperatorConfig};

/// The names of the sides, which are those of the input ports.
pub(crate) const SIDES: [&str; 2] = ["left", "right"];

/// The maximum number of fields in a key.
const KEY_FIELDS_MAX: usize = 8;

/// The configuration.
#[derive(Debug, Clone, OperatorConfig)]
#[config(check = check)]
pub(crate) struct Config {
    /// Fields that must be equal on both sides.
    pub(crate) by: Keys,
    /// Maximum time between two matching records.
    pub(crate) within: Span,
    /// Fields with the event time.
    #[config(unset = "the host's clock on arrival")]
    pub(crate) time: Option<Times>,
    /// Sides whose unmatched records are written.
    #[config(name = "type", default = "inner")]
    pub(crate) kind: Kind,
    /// Maximum time by which a record may be behind the newest of its side.
    #[config(default = "0s", requires(time))]
    pub(crate) lateness: Span,
    /// Maximum time that a record is held, by the host's clock.
    #[config(unset = "no limit", requires(time))]
    pub(crate) idle: Option<Span>,
    /// Maximum time by which an event time may be ahead of the host's clock.
    #[config(default = "1d", requires(time))]
    pub(crate) max_ahead: Span,
    /// Output of both records under the names of the sides, or of one object with the fields of both.
    #[config(default = "pair")]
    pub(crate) output: Output,
    /// Prefixes of the sides' field names in `merged`.
    #[config(unset = "`{left: \"\", right: right_}`")]
    prefix: Option<Prefix>,
    /// Maximum number of records held of each side.
    #[config(default = 20_000, min = 1, was = "max_datums")]
    pub(crate) max_records: usize,
    /// Maximum size of the records held of each side.
    #[config(default = "4MiB", min = 1)]
    pub(crate) max_bytes: Size,
}

/// The fields of the key.
#[derive(Debug, Clone, OperatorConfig)]
#[config(shorthand(left, right))]
pub(crate) struct Keys {
    #[config(min = 1, max = KEY_FIELDS_MAX)]
    left: By,
    #[config(min = 1, max = KEY_FIELDS_MAX)]
    right: By,
}

impl Keys {
    /// Returns the fields of each side.
    pub(crate) fn sides(&self) -> [&By; 2] {
        [&self.left, &self.right]
    }
}

/// The fields of the event time.
#[derive(Debug, Clone, OperatorConfig)]
#[config(shorthand(left, right))]
pub(crate) struct Times {
    left: TimeField,
    right: TimeField,
}

impl Times {
    /// Returns the field of each side.
    pub(crate) fn sides(&self) -> [&TimeField; 2] {
        [&self.left, &self.right]
    }
}

/// The handling of records without a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, OperatorConfig)]
pub(crate) enum Kind {
    /// They are dropped.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, OperatorConfig)]
pub(crate) enum Output {
    /// Both records, each under the name of its side.
    Pair,
    /// One object with the fields of both records.
    Merged,
}

/// The prefixes of the sides' field names.
#[derive(Debug, Clone, OperatorConfig)]
struct Prefix {
    #[config(default = "")]
    left: String,
    #[config(default = "")]
    right: String,
}

fn check(config: &Config, mistakes: &mut Mistakes) {
    let [left, right] = config.by.sides();
    same_number([("left", left), ("right", right)], mistakes);
    if config.prefix.is_some() && config.output != Output::Merged {
        mistakes.add_at("prefix", "requires `output: merged`");
    }
    let [left, right] = config.prefixes();
    if left == right && config.output == Output::Merged {
        mistakes.add_at(
            "prefix",
            "must differ between the sides, because equal names would clash",
        );
    }
}

impl Config {
    /// Returns the prefix of each side's field names.
    pub(crate) fn prefixes(&self) -> [&str; 2] {
        match &self.prefix {
            None => ["", "right_"],
            Some(Prefix { left, right }) => [left, right],
        }
    }

    /// A hash of the settings that must not change for saved records to be valid.
    pub(crate) fn shape(&self) -> u64 {
        shape(&(&self.by, &self.time))
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
                "config: missing key `by`\nconfig: missing key `within`",
            ),
            (r#"{"by":"k"}"#, "config: missing key `within`"),
            (
                r#"{"by":"k","within":"5"}"#,
                "config.within: `5` is not a duration",
            ),
            (
                r#"{"by":{"left":"k"},"within":"5s"}"#,
                "config.by: missing key `right`",
            ),
            (
                r#"{"by":{"left":"k","right":7},"within":"5s"}"#,
                "config.by.right: must be a field or a list of fields, found a number",
            ),
            (
                r#"{"by":{"left":"k","right":"k","both":"k"},"within":"5s"}"#,
                "config.by.both: unknown key `both`, expected `left`, `right`",
            ),
            (
                r#"{"by":{"left":["a","b"],"right":"k"},"within":"5s"}"#,
                "config.by: `left` has 2 and `right` has 1 fields",
            ),
            (
                r#"{"by":[],"within":"5s"}"#,
                "config.by: must have 1 to 8 items",
            ),
            (
                r#"{"by":"k","within":"5s","time":{"left":"t","right":{"field":"t","unit":"h"}}}"#,
                "config.time.right.unit: unknown value `h`",
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
                "config.type: unknown value `full`",
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
                r#"{"by":"k","within":"5s","max_records":0}"#,
                "config.max_records: must be at least 1",
            ),
            (
                r#"{"by":"k","within":"5s","max_datums":9}"#,
                "config.max_datums: unknown key `max_datums`, renamed to `max_records`",
            ),
            (
                r#"{"by":"k","within":"5s","max_bytes":"0MiB"}"#,
                "config.max_bytes: must be at least 1",
            ),
            (
                r#"{"by":"k","within":"5s","max_bytes":"4MB"}"#,
                "config.max_bytes: must be a size like 64KiB",
            ),
            (
                r#"{"by":"k","within":"5s","on":"k"}"#,
                "config.on: unknown key `on`",
            ),
        ] {
            let error = parse_config::<Config>(config).unwrap_err().into_reason();
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
            assert_eq!(
                parse_config::<Config>(&text).unwrap().max_bytes,
                Size(64 << 20)
            );
        }
    }

    #[test]
    fn sides_may_differ() {
        let text = r#"{"by":{"left":["a","b.c"],"right":["x","y"]},"within":"5s","time":{"left":"t","right":{"field":"at","unit":"ms"}}}"#;
        let config = parse_config::<Config>(text).unwrap();
        let names = |side: usize| {
            let fields = config.by.sides()[side].0.iter();
            fields.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(0), names(1)),
            (vec!["a".into(), "b.c".into()], vec!["x".into(), "y".into()])
        );
        let times = config.time.unwrap();
        let [left, right] = times.sides();
        assert_eq!(left.field.to_string(), "t");
        assert_eq!(
            (right.field.to_string(), right.unit.is_some()),
            ("at".into(), true)
        );
    }
}
