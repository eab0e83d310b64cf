//! [`Config`]: the configuration of a dedupe operator.

use mosaik_operator_common::key::By;
use mosaik_operator_common::recent::Bounds;
use mosaik_operator_common::shape::shape;
use mosaik_operator_common::size::Size;
use mosaik_operator_common::span::Span;
use mosaik_operator_common::time::TimeField;
use mosaik_wasm_sdk::{Result, ensure, parse_config};

/// The maximum number of fields in a key.
const KEY_FIELDS_MAX: usize = 16;

/// The maximum number of fields extracted from a record: the key's and the time.
pub(crate) const FIELDS_MAX: usize = KEY_FIELDS_MAX + 1;

/// The configuration.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The fields that make records equal; the whole record if there are none.
    #[serde(default)]
    pub(crate) by: By,
    /// The time for which a key is remembered; as long as there is room if not set.
    pub(crate) within: Option<Span>,
    /// The field with the event time, by which `within` is then measured.
    pub(crate) time: Option<TimeField>,
    /// The maximum number of remembered keys.
    #[serde(default = "max_keys")]
    pub(crate) max_keys: usize,
    /// The maximum number of bytes of remembered keys.
    #[serde(default = "max_bytes")]
    pub(crate) max_bytes: Size,
}

fn max_keys() -> usize {
    Bounds::DEFAULT_KEYS
}

fn max_bytes() -> Size {
    Bounds::DEFAULT_BYTES
}

impl Config {
    /// Parses and validates a configuration.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let config: Self = parse_config(text)?;
        config.by.at_most(KEY_FIELDS_MAX)?;
        ensure!(
            config.within != Some(Span(0)),
            "config.within: must be greater than 0; omit it to remember keys as long as there is room"
        );
        ensure!(
            config.time.is_none() || config.within.is_some(),
            "config.time: only used by `within`, which is not set"
        );
        config.bounds()?;
        Ok(config)
    }

    pub(crate) fn bounds(&self) -> Result<Bounds> {
        Bounds::new(self.max_keys, self.max_bytes)
    }

    /// A hash of the settings that must not change for saved keys to be valid.
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
            (
                r#"{"by":7}"#,
                "config.by: invalid type: integer `7`, expected a field or a list of fields",
            ),
            (r#"{"by":"a..b"}"#, "config.by: a field has a name"),
            (r#"{"by":["a",""]}"#, "config.by[1]: a field has a name"),
            (
                r#"{"within":"soon"}"#,
                "config.within: `soon` is not a time like 500ms",
            ),
            (
                r#"{"within":"0s"}"#,
                "config.within: must be greater than 0",
            ),
            (r#"{"time":"at"}"#, "config.time: only used by `within`"),
            (
                r#"{"within":"1s","time":{"field":"at","unit":"days"}}"#,
                "config.time.unit: unknown variant `days`",
            ),
            (r#"{"max_keys":0}"#, "config.max_keys: at least 1"),
            (
                r#"{"max_keys":-1}"#,
                "config.max_keys: invalid value: integer `-1`",
            ),
            (
                r#"{"max_bytes":"1MB"}"#,
                "config.max_bytes: invalid value: string \"1MB\", expected a size like 64KiB",
            ),
            (r#"{"max_bytes":1}"#, "config.max_bytes: at least 1124"),
            (r#"{"keys":1}"#, "config.keys: unknown field `keys`"),
        ] {
            let error = Config::parse(config).unwrap_err().into_reason();
            assert!(
                error.starts_with(expected),
                "{config}\n  gave {error}\n  not  {expected}"
            );
        }
        let fields = vec!["a"; KEY_FIELDS_MAX + 1];
        let error = Config::parse(&serde_json::json!({"by": fields}).to_string()).unwrap_err();
        assert_eq!(error.reason(), "config.by: 17 fields are more than 16");
        Config::parse("").unwrap();
    }
}
