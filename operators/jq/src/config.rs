//! [`Config`]: the filter, alone or with its bounds.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;

/// The configuration: `.price * 2`, or `{filter: .price * 2, max_outputs: 10}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The filter in the jq language.
    pub(crate) filter: String,
    /// The maximum number of outputs per record.
    pub(crate) max_outputs: usize,
    /// True if text results are output as text instead of JSON.
    pub(crate) raw: bool,
}

const MAX_OUTPUTS: usize = 100_000;

fn max_outputs() -> usize {
    MAX_OUTPUTS
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            filter: String,
            #[serde(default = "max_outputs")]
            max_outputs: usize,
            #[serde(default)]
            raw: bool,
        }

        struct ConfigVisitor;

        impl<'de> Visitor<'de> for ConfigVisitor {
            type Value = Config;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a filter, or {filter: …}")
            }

            fn visit_str<E>(self, filter: &str) -> Result<Config, E> {
                Ok(Config {
                    filter: filter.to_owned(),
                    max_outputs: MAX_OUTPUTS,
                    raw: false,
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Config, A::Error> {
                let Full {
                    filter,
                    max_outputs,
                    raw,
                } = Full::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Config {
                    filter,
                    max_outputs,
                    raw,
                })
            }
        }

        deserializer.deserialize_any(ConfigVisitor)
    }
}
