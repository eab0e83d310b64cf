//! The settings shared by all streams of a network, and the reach of a stream.

use serde::{Deserialize, Serialize};

use super::backoff::ExponentialBackoff;

/// The reach of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All nodes of the network. The default.
    #[default]
    Network,
    /// This node only: the stream is neither announced nor served to other nodes.
    Node,
}

/// The settings shared by all streams of a network.
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
    /// The default backoff of consumers.
    pub backoff: ExponentialBackoff,
}

/// Builds a [`Config`].
#[derive(Debug, Clone, Default)]
pub struct ConfigBuilder(Config);

/// An invalid configuration. Currently none exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {}

impl Config {
    /// Returns a builder with the default settings.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }
}

impl ConfigBuilder {
    /// Sets the default backoff of consumers.
    pub fn with_backoff(mut self, backoff: ExponentialBackoff) -> Self {
        self.0.backoff = backoff;
        self
    }

    /// Returns the configuration.
    ///
    /// # Errors
    /// Currently none.
    pub fn build(self) -> Result<Config, ConfigError> {
        Ok(self.0)
    }
}

impl From<ConfigBuilder> for Config {
    fn from(builder: ConfigBuilder) -> Self {
        builder.0
    }
}
