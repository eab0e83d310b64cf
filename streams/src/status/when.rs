//! Waiting for a producer or consumer to come online or to go offline.

use std::future::{Future, pending};

use tokio::sync::watch;

use super::{ChannelConditions, board::Channels};

/// Tells when a producer or consumer is online and who is connected to it.
#[derive(Debug, Clone)]
pub struct When {
    channels: watch::Receiver<Channels>,
    online: watch::Receiver<bool>,
}

impl When {
    pub(super) fn new(channels: watch::Receiver<Channels>, online: watch::Receiver<bool>) -> Self {
        Self { channels, online }
    }

    /// Resolves when its conditions for being online are met, at once if they are. Cancel safe.
    pub fn online(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let mut online = self.online.clone();
        async move {
            if online.wait_for(|online| *online).await.is_err() {
                // It is gone, and comes online no more.
                pending::<()>().await;
            }
        }
    }

    /// Resolves when its conditions for being online are not met, at once if they are not, and when it is gone. Cancel
    /// safe.
    pub fn offline(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let mut online = self.online.clone();
        async move {
            // An error means that it is gone.
            let _ = online.wait_for(|online| !online).await;
        }
    }

    /// Whether its conditions for being online are met.
    pub fn is_online(&self) -> bool {
        *self.online.borrow()
    }

    /// Conditions on who is connected: at least one, unless told otherwise.
    pub fn subscribed(&self) -> ChannelConditions {
        ChannelConditions::new(self.channels.clone()).minimum_of(1)
    }

    /// The opposite: met while nobody is connected.
    pub fn unsubscribed(&self) -> ChannelConditions {
        self.subscribed().unmet()
    }
}
