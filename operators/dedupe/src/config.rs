//! [`Config`]: the configuration of a dedupe operator.

use mosaik_operator_common::key::By;
use mosaik_operator_common::recent::{Bounds, KEY_BYTES_MAX};
use mosaik_operator_common::shape::shape;
use mosaik_operator_common::size::Size;
use mosaik_operator_common::span::Wait;
use mosaik_operator_common::time::TimeField;
use mosaik_wasm_sdk::OperatorConfig;

/// The maximum number of fields in a key.
const KEY_FIELDS_MAX: usize = 16;

/// The maximum number of fields extracted from a record: the key's and the time.
pub(crate) const FIELDS_MAX: usize = KEY_FIELDS_MAX + 1;

/// The configuration.
#[derive(Debug, Clone, OperatorConfig)]
pub(crate) struct Config {
    /// Fields that identify a record.
    #[config(unset = "the whole record, byte by byte", max = KEY_FIELDS_MAX)]
    pub(crate) by: By,
    /// Time for which a key is remembered after its record passed.
    #[config(unset = "as long as there is room")]
    pub(crate) within: Option<Wait>,
    /// Field with the event time by which `within` is measured.
    #[config(unset = "the host's clock", requires(within))]
    pub(crate) time: Option<TimeField>,
    /// Maximum number of remembered keys.
    #[config(default = 100_000, min = 1)]
    max_keys: usize,
    /// Maximum size of the remembered keys: each as JSON, plus 100 bytes.
    #[config(default = "16MiB", min = KEY_BYTES_MAX)]
    max_bytes: Size,
}

impl Config {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            keys: self.max_keys,
            bytes: self.max_bytes.0,
        }
    }

    /// A hash of the settings that must not change for saved keys to be valid.
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
                r#"{"by":7}"#,
                "config.by: must be a field or a list of fields, found a number",
            ),
            (r#"{"by":"a..b"}"#, "config.by: a field has a name"),
            (r#"{"by":["a",""]}"#, "config.by[1]: a field has a name"),
            (
                r#"{"within":"soon"}"#,
                "config.within: `soon` is not a duration like 500ms",
            ),
            (
                r#"{"within":"0s"}"#,
                "config.within: must be greater than 0",
            ),
            (r#"{"time":"at"}"#, "config.time: requires `within`"),
            (
                r#"{"within":"1s","time":{"field":"at","unit":"days"}}"#,
                "config.time.unit: unknown value `days`, expected `s`, `ms`, `us`, `ns`",
            ),
            (r#"{"max_keys":0}"#, "config.max_keys: must be at least 1"),
            (
                r#"{"max_keys":-1}"#,
                "config.max_keys: must be a whole number of at least 0, found -1",
            ),
            (
                r#"{"max_bytes":"1MB"}"#,
                "config.max_bytes: must be a size like 64KiB",
            ),
            (
                r#"{"max_bytes":1}"#,
                "config.max_bytes: must be at least 1124",
            ),
            (r#"{"keys":1}"#, "config.keys: unknown key `keys`"),
        ] {
            let error = parse_config::<Config>(config).unwrap_err().into_reason();
            assert!(
                error.starts_with(expected),
                "{config}\n  gave {error}\n  not  {expected}"
            );
        }
        let fields = vec!["a"; KEY_FIELDS_MAX + 1];
        let error =
            parse_config::<Config>(&serde_json::json!({"by": fields}).to_string()).unwrap_err();
        assert_eq!(error.reason(), "config.by: must have at most 16 items");
        parse_config::<Config>("").unwrap();
    }
}
