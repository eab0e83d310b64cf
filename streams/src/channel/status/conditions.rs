//! [`ChannelConditions`]: conditions on the connected channels, as a value to compare and a future to await.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::watch;

use super::channel::{ChannelInfo, Channels};
use crate::{Tag, peer::PeerEntry, primitives::IntoIterOrSingle};

type Predicate = Arc<dyn Fn(&PeerEntry) -> bool + Send + Sync>;
type Changed = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Conditions on the connected channels of a producer or consumer: at least a number of them, with these tags and
/// predicates. Channels with a silent peer do not count.
///
/// As a future it resolves when the conditions are met, at once if they already are. Polled again, it resolves the next
/// time they become met. A clone starts over. `conditions == true` compares the current state.
pub struct ChannelConditions {
    channels: watch::Receiver<Channels>,
    minimum: usize,
    predicates: Vec<Predicate>,
    unmet: bool,
    reported: bool,
    changed: Option<Changed>,
}

impl ChannelConditions {
    /// Conditions that are always met.
    pub(super) fn new(channels: watch::Receiver<Channels>) -> Self {
        Self {
            channels,
            minimum: 0,
            predicates: Vec::new(),
            unmet: false,
            reported: false,
            changed: None,
        }
    }

    /// Sets the minimum number of channels. A channel that several consumers share counts once for each. Default: 1.
    pub fn minimum_of(mut self, minimum: usize) -> Self {
        self.minimum = minimum;
        self
    }

    /// Counts only peers that have this tag, or all of these tags.
    pub fn with_tags<Way>(self, tags: impl IntoIterOrSingle<Tag, Way>) -> Self {
        let tags: Vec<Tag> = tags.iterator().collect();
        self.with_predicate(move |peer| tags.iter().all(|tag| peer.tags().contains(tag)))
    }

    /// Counts only peers for which the predicate is true as well.
    pub fn with_predicate(
        mut self,
        predicate: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.predicates.push(Arc::new(predicate));
        self
    }

    /// Negates the conditions.
    pub fn unmet(mut self) -> Self {
        self.unmet = !self.unmet;
        self
    }

    /// Returns the minimum number of channels.
    pub const fn minimum(&self) -> usize {
        self.minimum
    }

    /// Returns the number of channels that count now. A channel that several consumers share counts once for each.
    pub fn count(&self) -> usize {
        self.count_to(usize::MAX)
    }

    fn count_to(&self, most: usize) -> usize {
        let counts = |channel: &&ChannelInfo| {
            channel.is_connected()
                && !channel.is_silent()
                && self
                    .predicates
                    .iter()
                    .all(|predicate| predicate(channel.peer()))
        };
        let channels = self.channels.borrow();
        let mut count = 0;
        for channel in channels.iter().filter(counts) {
            count += channel.consumers();
            if count >= most {
                break;
            }
        }
        count
    }

    /// Returns true if the conditions are met now.
    pub fn is_condition_met(&self) -> bool {
        (self.count_to(self.minimum) >= self.minimum) != self.unmet
    }
}

impl Future for ChannelConditions {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut watched = self.channels.clone();
            let changed = self.changed.get_or_insert_with(|| {
                watched.mark_unchanged();
                Box::pin(async move {
                    if watched.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                })
            });
            // Registered before the check, so that a change in between wakes the task.
            let moved = changed.as_mut().poll(cx).is_ready();
            let met = self.is_condition_met();
            let newly = met && !self.reported;
            self.reported = met;
            if moved {
                self.changed = None;
            }
            if newly {
                return Poll::Ready(());
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }
}

impl Clone for ChannelConditions {
    fn clone(&self) -> Self {
        Self {
            channels: self.channels.clone(),
            minimum: self.minimum,
            predicates: self.predicates.clone(),
            unmet: self.unmet,
            reported: false,
            changed: None,
        }
    }
}

impl PartialEq<bool> for ChannelConditions {
    fn eq(&self, met: &bool) -> bool {
        self.is_condition_met() == *met
    }
}

impl PartialEq<ChannelConditions> for bool {
    fn eq(&self, conditions: &ChannelConditions) -> bool {
        conditions == self
    }
}

impl fmt::Debug for ChannelConditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelConditions")
            .field("minimum", &self.minimum)
            .field("predicates", &self.predicates.len())
            .field("unmet", &self.unmet)
            .field("met", &self.is_condition_met())
            .finish_non_exhaustive()
    }
}
