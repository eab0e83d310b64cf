//! [`When`]: waits for a producer or consumer to come online or go offline.

use std::future::{Future, pending};

use tokio::sync::watch;

use super::{channel::Channels, conditions::ChannelConditions};

/// Futures that wait for the online conditions and the channels of a producer or consumer.
#[derive(Debug, Clone)]
pub struct When {
    channels: watch::Receiver<Channels>,
    online: watch::Receiver<bool>,
}

impl When {
    pub(super) fn new(channels: watch::Receiver<Channels>, online: watch::Receiver<bool>) -> Self {
        Self { channels, online }
    }

    /// Resolves when the online conditions are met, at once if they already are. Cancel safe.
    pub fn online(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let mut online = self.online.clone();
        async move {
            if online.wait_for(|online| *online).await.is_err() {
                // It was dropped and cannot come online.
                pending::<()>().await;
            }
        }
    }

    /// Resolves when the online conditions are not met, at once if they already are not, or when the producer or
    /// consumer is dropped. Cancel safe.
    pub fn offline(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let mut online = self.online.clone();
        async move {
            // An error means that it was dropped.
            let _ = online.wait_for(|online| !online).await;
        }
    }

    /// Returns true if the online conditions are met.
    pub fn is_online(&self) -> bool {
        *self.online.borrow()
    }

    /// Returns conditions on the connected channels, by default at least one.
    pub fn subscribed(&self) -> ChannelConditions {
        ChannelConditions::new(self.channels.clone()).minimum_of(1)
    }

    /// Returns the opposite conditions: met while nothing is connected.
    pub fn unsubscribed(&self) -> ChannelConditions {
        self.subscribed().unmet()
    }
}
