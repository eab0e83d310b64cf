//! The settings of discovery.

use std::{collections::BTreeSet, time::Duration};

use crate::{EndpointAddr, Tag, peer::Generation, primitives::IntoIterOrSingle};

/// The reason that settings of discovery are invalid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A duration is zero.
    #[error("{0} must be more than zero")]
    Zero(&'static str),
    /// A jitter is outside of 0 to 1.
    #[error("the announce jitter must be between 0 and 1, not {0}")]
    Jitter(f64),
    /// Entries would be purged before they are announced again.
    #[error("purge_after must be longer than the longest announce interval, {0:?}")]
    PurgedBeforeAnnounced(Duration),
}

/// The settings of discovery. See [`ConfigBuilder`] for their meanings.
#[derive(Debug, Clone)]
pub struct Config {
    pub(super) bootstrap: Vec<EndpointAddr>,
    pub(super) tags: BTreeSet<Tag>,
    pub(super) purge_after: Duration,
    pub(super) announce_interval: Duration,
    pub(super) announce_jitter: f64,
    pub(super) max_time_drift: Duration,
    pub(super) events_backlog: usize,
    pub(super) generation: Generation,
    pub(super) name: Option<String>,
}

impl Config {
    /// Returns a builder with the default settings.
    ///
    /// ```
    /// use mosaik_streams::discovery::Config;
    ///
    /// let config = Config::builder().with_tags(["desk", "eu"]).with_tags("trusted").build()?;
    /// # Ok::<(), mosaik_streams::discovery::ConfigError>(())
    /// ```
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            tags: BTreeSet::new(),
            purge_after: Duration::from_mins(5),
            announce_interval: Duration::from_secs(45),
            announce_jitter: 0.5,
            max_time_drift: Duration::from_secs(50),
            events_backlog: 1024,
            generation: Generation::default(),
            name: None,
        }
    }
}

/// Builds the settings of discovery.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ConfigBuilder(Config);

impl ConfigBuilder {
    /// Adds peers to contact. They are dialled until they answer, and again whenever they are no longer known. Default:
    /// none.
    pub fn with_bootstrap<Way>(mut self, peers: impl IntoIterOrSingle<EndpointAddr, Way>) -> Self {
        self.0.bootstrap.extend(peers.iterator());
        self
    }

    /// Adds tags to the local entry. Default: none.
    pub fn with_tags<Way>(mut self, tags: impl IntoIterOrSingle<Tag, Way>) -> Self {
        self.0.tags.extend(tags.iterator());
        self
    }

    /// Sets the time after which an entry that was not renewed is removed. Default 300 s.
    pub const fn with_purge_after(mut self, purge_after: Duration) -> Self {
        self.0.purge_after = purge_after;
        self
    }

    /// Sets the interval at which the local entry is renewed and announced. Default 45 s.
    pub const fn with_announce_interval(mut self, interval: Duration) -> Self {
        self.0.announce_interval = interval;
        self
    }

    /// Sets the fraction by which the announce interval varies, 0 to 1. Default 0.5: from 22.5 s to 67.5 s.
    pub const fn with_announce_jitter(mut self, jitter: f64) -> Self {
        self.0.announce_jitter = jitter;
        self
    }

    /// Sets how far in the future an entry may be dated, to allow for clock differences. Default 50 s.
    pub const fn with_max_time_drift(mut self, drift: Duration) -> Self {
        self.0.max_time_drift = drift;
        self
    }

    /// Sets the number of events buffered for a slow receiver, which then loses the oldest. Default 1024, minimum 1.
    pub const fn with_events_backlog(mut self, events: usize) -> Self {
        self.0.events_backlog = events;
        self
    }

    /// Sets the name that peers show next to the peer id. Names longer than [`MAX_NAME_LEN`](super::MAX_NAME_LEN) bytes
    /// are truncated. Default: none.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.0.name = Some(name.into());
        self
    }

    /// Sets the generation of Mosaik that the network uses. Default: 0.3. Entries of every generation are read; the
    /// local entry is written in this one, and only entries of this one are forwarded.
    pub const fn with_generation(mut self, generation: Generation) -> Self {
        self.0.generation = generation;
        self
    }

    /// Does nothing, since a node contacts configured peers only. Exists for source compatibility with Mosaik, where it
    /// disables the lookup in a public directory.
    pub const fn no_auto_bootstrap(self) -> Self {
        self
    }

    /// Validates the settings.
    ///
    /// # Errors
    /// Fails on the first invalid setting.
    pub fn build(self) -> Result<Config, ConfigError> {
        let Config {
            purge_after,
            announce_interval,
            announce_jitter,
            ..
        } = self.0;
        if purge_after.is_zero() {
            return Err(ConfigError::Zero("purge_after"));
        }
        if announce_interval.is_zero() {
            return Err(ConfigError::Zero("the announce interval"));
        }
        if !(0.0..=1.0).contains(&announce_jitter) {
            return Err(ConfigError::Jitter(announce_jitter));
        }
        let longest = announce_interval.mul_f64(1.0 + announce_jitter);
        if purge_after <= longest {
            return Err(ConfigError::PurgedBeforeAnnounced(longest));
        }
        Ok(self.0)
    }
}

impl From<Config> for ConfigBuilder {
    fn from(config: Config) -> Self {
        Self(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_add_up_and_nonsense_is_refused() {
        let config = Config::builder()
            .with_tags("a")
            .with_tags(["b", "c"])
            .build()
            .unwrap();
        assert_eq!(config.tags.len(), 3);
        let refused = Config::builder().with_announce_jitter(f64::NAN).build();
        assert!(matches!(refused, Err(ConfigError::Jitter(_))));
        let refused = Config::builder()
            .with_announce_interval(Duration::ZERO)
            .build();
        assert_eq!(
            refused.unwrap_err(),
            ConfigError::Zero("the announce interval")
        );
        let refused = Config::builder()
            .with_purge_after(Duration::from_mins(1))
            .build();
        assert!(matches!(
            refused,
            Err(ConfigError::PurgedBeforeAnnounced(_))
        ));
    }
}
