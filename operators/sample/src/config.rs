//! [`Config`]: the configuration of a sample operator.

use crate::rate::{COUNT_MAX, Rate};
use mosaik_operator_common::key::By;
use mosaik_operator_common::recent::{Bounds, KEY_BYTES_MAX};
use mosaik_operator_common::shape::shape;
use mosaik_operator_common::size::Size;
use mosaik_wasm_sdk::OperatorConfig;

/// The maximum number of fields in a key.
pub(crate) const KEY_FIELDS_MAX: usize = 16;

/// The configuration.
#[derive(Debug, Clone, OperatorConfig)]
#[config(one_of(every, rate, fraction))]
pub(crate) struct Config {
    /// Pass the first record, and every Nth after it.
    #[config(min = 1)]
    every: Option<u64>,
    /// Pass at most this many per time, by the host's clock.
    rate: Option<Rate>,
    /// Pass all records of this fraction of the keys.
    #[config(min = 0, max = 1)]
    fraction: Option<f64>,
    /// Maximum number of records that pass at once, after a pause.
    #[config(unset = "that of the rate", min = 1, max = COUNT_MAX, requires(rate))]
    burst: Option<u64>,
    /// Text that selects other keys.
    #[config(default = "", requires(fraction))]
    seed: String,
    /// Fields whose values are sampled separately.
    #[config(unset = "all records together", max = KEY_FIELDS_MAX)]
    pub(crate) by: By,
    /// Maximum number of keys.
    #[config(default = 100_000, min = 1, requires(by), conflicts(fraction))]
    max_keys: usize,
    /// Maximum size of the keys: each as JSON, plus 100 bytes.
    #[config(default = "16MiB", min = KEY_BYTES_MAX, requires(by), conflicts(fraction))]
    max_bytes: Size,
}

/// The selection of records that pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Method {
    /// Depends on earlier records.
    Turn(Turn),
    /// Passes keys with a hash below the threshold.
    Fraction {
        /// 2^64 passes every record.
        threshold: u128,
        seed: String,
    },
}

impl Config {
    pub(crate) fn method(&self) -> Method {
        match (self.rate, self.fraction) {
            (Some(rate), _) => Method::Turn(Turn::Rate(rate, self.burst.unwrap_or(rate.count))),
            (None, Some(fraction)) => Method::Fraction {
                threshold: threshold(fraction),
                seed: self.seed.clone(),
            },
            // One of the three is set.
            (None, None) => Method::Turn(Turn::Every(self.every.unwrap_or(1))),
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            keys: self.max_keys,
            bytes: self.max_bytes.0,
        }
    }

    /// A hash of the settings that must not change for a saved state to be valid.
    pub(crate) fn shape(&self) -> u64 {
        shape(&(self.every, self.rate, &self.by))
    }
}

/// A selection that depends on earlier records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Passes the first of N records.
    Every(u64),
    /// Passes a record if there is a token. The number is the maximum of tokens.
    Rate(Rate, u64),
}

/// Returns the number of 64-bit hashes that is this fraction of 2^64.
#[expect(
    clippy::cast_sign_loss,
    reason = "the fraction was checked to be from 0 to 1"
)]
fn threshold(fraction: f64) -> u128 {
    const HASHES: f64 = 18_446_744_073_709_551_616.0;
    (fraction * HASHES) as u128
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
            ("", "config: set exactly one of `every`, `rate`, `fraction`"),
            (r#"{"every":2,"rate":"1/s"}"#, "config: set exactly one"),
            (r#"{"every":0}"#, "config.every: must be at least 1"),
            (
                r#"{"every":-1}"#,
                "config.every: must be a whole number of at least 0, found -1",
            ),
            (
                r#"{"rate":"fast"}"#,
                "config.rate: `fast` is not a rate like 100/s",
            ),
            (
                r#"{"rate":"1/s","burst":0}"#,
                "config.burst: must be 1 to 1000000000",
            ),
            (r#"{"fraction":1.5}"#, "config.fraction: must be 0 to 1"),
            (r#"{"fraction":-0.5}"#, "config.fraction: must be 0 to 1"),
            (
                r#"{"fraction":"all"}"#,
                "config.fraction: must be a number, found a text",
            ),
            (r#"{"every":2,"burst":1}"#, "config.burst: requires `rate`"),
            (
                r#"{"every":2,"seed":"x"}"#,
                "config.seed: requires `fraction`",
            ),
            (
                r#"{"every":2,"max_keys":1}"#,
                "config.max_keys: requires `by`",
            ),
            (
                r#"{"fraction":0.5,"by":"k","max_bytes":"1MiB"}"#,
                "config.max_bytes: cannot be combined with `fraction`",
            ),
            (
                r#"{"every":2,"by":"k","max_keys":0}"#,
                "config.max_keys: must be at least 1",
            ),
            (
                r#"{"every":2,"by":"k","max_bytes":7}"#,
                "config.max_bytes: must be at least 1124",
            ),
            (r#"{"every":2,"by":""}"#, "config.by: a field has a name"),
            (r#"{"evry":2}"#, "config.evry: unknown key `evry`"),
        ] {
            let error = parse_config::<Config>(config).unwrap_err().into_reason();
            assert!(
                error.starts_with(expected),
                "{config}\n  gave {error}\n  not  {expected}"
            );
        }
        let fields = vec!["a"; KEY_FIELDS_MAX + 1];
        let config = serde_json::json!({"every": 2, "by": fields}).to_string();
        let error = parse_config::<Config>(&config).unwrap_err();
        assert_eq!(error.reason(), "config.by: must have at most 16 items");
    }

    #[test]
    fn thresholds() {
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(0.5), 1 << 63);
        assert_eq!(threshold(1.0), 1 << 64);
    }
}
