//! What all streams of a network share, and how far a stream reaches.

use serde::{Deserialize, Serialize};

use super::backoff::ExponentialBackoff;

/// How far a stream reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All nodes of the network. The default here.
    #[default]
    Network,
    /// This node alone: never announced, never connected.
    Node,
}

/// What all streams of a network share.
///
/// ```
/// use std::time::Duration;
///
/// use mosaik_streams::streams::{Config, backoff::ExponentialBackoffBuilder};
///
/// let patient = ExponentialBackoffBuilder::default()
///     .with_max_elapsed_time(Some(Duration::from_secs(600)))
///     .build();
/// let config = Config::builder().with_backoff(patient.clone()).build()?;
/// assert_eq!(config.backoff, patient);
/// # Ok::<(), mosaik_streams::streams::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// How consumers space their attempts, unless they say otherwise.
    pub backoff: ExponentialBackoff,
}

/// Makes a [`Config`].
#[derive(Debug, Clone, Default)]
pub struct ConfigBuilder(Config);

/// Why a configuration cannot be; at present it always can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {}

impl Config {
    /// The defaults, to be changed.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }
}

impl ConfigBuilder {
    /// How consumers space their attempts, unless they say otherwise.
    pub fn with_backoff(mut self, backoff: ExponentialBackoff) -> Self {
        self.0.backoff = backoff;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// None at present.
    pub fn build(self) -> Result<Config, ConfigError> {
        Ok(self.0)
    }
}

impl From<ConfigBuilder> for Config {
    fn from(builder: ConfigBuilder) -> Self {
        builder.0
    }
}
