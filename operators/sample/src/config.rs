//! [`Config`]: what the manifest says of a sample operator.

use crate::rate::{COUNT_MAX, Rate};
use mosaik_operator_common::key::By;
use mosaik_operator_common::recent::Bounds;
use mosaik_operator_common::shape::shape;
use mosaik_operator_common::size::Size;
use mosaik_wasm_sdk::{Error, Result, bail, ensure, parse_config};

/// The most fields of a key.
pub(crate) const KEY_FIELDS_MAX: usize = 16;

/// The configuration.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// One in so many.
    every: Option<u64>,
    /// At most so many in a time, by the host's clock.
    rate: Option<Rate>,
    /// How many may pass at once.
    burst: Option<u64>,
    /// This part of all keys.
    fraction: Option<f64>,
    /// Lets operators choose other keys than each other.
    seed: Option<String>,
    /// The fields whose values are sampled each by itself.
    #[serde(default)]
    pub(crate) by: By,
    /// Keys that are held.
    max_keys: Option<usize>,
    /// Bytes that they take.
    max_bytes: Option<Size>,
}

/// What passes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Method {
    /// By what came before.
    Turn(Turn),
    /// What has a hash below the threshold.
    Fraction {
        /// 2^64 lets everything pass.
        threshold: u128,
        seed: String,
    },
}

impl Config {
    /// Reads and checks a configuration.
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
            _ => bail!("config: one of `every`, `rate` and `fraction` says what passes"),
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

    /// A hash of what must be the same for a saved state to make sense.
    pub(crate) fn shape(&self) -> u64 {
        shape(&(self.every, self.rate, &self.by))
    }
}

/// What passes by what came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The first of so many.
    Every(u64),
    /// What there is a token for, of so many at most.
    Rate(Rate, u64),
}

/// How many of the 2^64 hashes are that part of all.
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
                "config: one of `every`, `rate` and `fraction` says what passes",
            ),
            (r#"{"every":2,"rate":"1/s"}"#, "config: one of `every`"),
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
