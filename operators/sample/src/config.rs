//! [`Config`]: the configuration of a sample operator.

use crate::rate::{COUNT_MAX, Rate};
use mosaik_operator_common::key::By;
use mosaik_operator_common::recent::Bounds;
use mosaik_operator_common::shape::shape;
use mosaik_operator_common::size::Size;
use mosaik_wasm_sdk::{Error, Result, bail, ensure, parse_config};

/// The maximum number of fields in a key.
pub(crate) const KEY_FIELDS_MAX: usize = 16;

/// The configuration.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Passes one record in N.
    every: Option<u64>,
    /// Passes at most N records in a time, by the host's clock.
    rate: Option<Rate>,
    /// The maximum number of records that pass at once.
    burst: Option<u64>,
    /// Passes this fraction of all keys.
    fraction: Option<f64>,
    /// Makes operators with different seeds choose different keys.
    seed: Option<String>,
    /// The fields whose values are sampled separately.
    #[serde(default)]
    pub(crate) by: By,
    /// The maximum number of keys.
    max_keys: Option<usize>,
    /// The maximum number of bytes of keys.
    max_bytes: Option<Size>,
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
    /// Parses and validates a configuration.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let config: Self = parse_config(text)?;
        config.by.at_most(KEY_FIELDS_MAX)?;
        config.method()?;
        config.bounds()?;
        Ok(config)
    }

    pub(crate) fn method(&self) -> Result<Method> {
        let method = match (self.every, self.rate, self.fraction) {
            (Some(every), None, None) => {
                ensure!(every > 0, "config.every: at least 1");
                Method::Turn(Turn::Every(every))
            }
            (None, Some(rate), None) => {
                let burst = self.burst.unwrap_or(rate.count);
                ensure!(
                    (1..=COUNT_MAX).contains(&burst),
                    "config.burst: from 1 to {COUNT_MAX}"
                );
                Method::Turn(Turn::Rate(rate, burst))
            }
            (None, None, Some(fraction)) => {
                ensure!(
                    (0.0..=1.0).contains(&fraction),
                    "config.fraction: from 0 to 1, not {fraction}"
                );
                Method::Fraction {
                    threshold: threshold(fraction),
                    seed: self.seed.clone().unwrap_or_default(),
                }
            }
            _ => bail!("config: set exactly one of `every`, `rate` and `fraction`"),
        };
        let is_rate = matches!(method, Method::Turn(Turn::Rate(..)));
        let is_fraction = matches!(method, Method::Fraction { .. });
        let holds_keys = !is_fraction && !self.by.0.is_empty();
        let idle = |name: &str, of: &str| Error::new(format_args!("config.{name}: only with {of}"));
        if self.burst.is_some() && !is_rate {
            return Err(idle("burst", "`rate`"));
        }
        if self.seed.is_some() && !is_fraction {
            return Err(idle("seed", "`fraction`"));
        }
        if self.max_keys.is_some() && !holds_keys {
            return Err(idle("max_keys", "`by`, and `every` or `rate`"));
        }
        if self.max_bytes.is_some() && !holds_keys {
            return Err(idle("max_bytes", "`by`, and `every` or `rate`"));
        }
        Ok(method)
    }

    pub(crate) fn bounds(&self) -> Result<Bounds> {
        Bounds::new(
            self.max_keys.unwrap_or(Bounds::DEFAULT_KEYS),
            self.max_bytes.unwrap_or(Bounds::DEFAULT_BYTES),
        )
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

    #[test]
    fn errors_say_what_and_where() {
        for (config, expected) in [
            (
                "",
                "config: set exactly one of `every`, `rate` and `fraction`",
            ),
            (r#"{"every":2,"rate":"1/s"}"#, "config: set exactly one"),
            (r#"{"every":0}"#, "config.every: at least 1"),
            (
                r#"{"every":-1}"#,
                "config.every: invalid value: integer `-1`",
            ),
            (
                r#"{"rate":"fast"}"#,
                "config.rate: `fast` is not a rate like 100/s",
            ),
            (r#"{"rate":"1/s","burst":0}"#, "config.burst: from 1 to"),
            (
                r#"{"fraction":1.5}"#,
                "config.fraction: from 0 to 1, not 1.5",
            ),
            (
                r#"{"fraction":-0.5}"#,
                "config.fraction: from 0 to 1, not -0.5",
            ),
            (
                r#"{"fraction":"all"}"#,
                "config.fraction: invalid type: string \"all\"",
            ),
            (r#"{"every":2,"burst":1}"#, "config.burst: only with `rate`"),
            (
                r#"{"every":2,"seed":"x"}"#,
                "config.seed: only with `fraction`",
            ),
            (
                r#"{"every":2,"max_keys":1}"#,
                "config.max_keys: only with `by`",
            ),
            (
                r#"{"fraction":0.5,"by":"k","max_bytes":"1MiB"}"#,
                "config.max_bytes: only with `by`",
            ),
            (
                r#"{"every":2,"by":"k","max_keys":0}"#,
                "config.max_keys: at least 1",
            ),
            (
                r#"{"every":2,"by":"k","max_bytes":7}"#,
                "config.max_bytes: at least 1124",
            ),
            (r#"{"every":2,"by":""}"#, "config.by: a field has a name"),
            (r#"{"evry":2}"#, "config.evry: unknown field `evry`"),
        ] {
            let error = Config::parse(config).unwrap_err().into_reason();
            assert!(
                error.starts_with(expected),
                "{config}\n  gave {error}\n  not  {expected}"
            );
        }
        let fields = vec!["a"; KEY_FIELDS_MAX + 1];
        let config = serde_json::json!({"every": 2, "by": fields}).to_string();
        let error = Config::parse(&config).unwrap_err();
        assert_eq!(error.reason(), "config.by: 17 fields are more than 16");
    }

    #[test]
    fn thresholds() {
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(0.5), 1 << 63);
        assert_eq!(threshold(1.0), 1 << 64);
    }
}
