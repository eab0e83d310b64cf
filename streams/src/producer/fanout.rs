//! [`Fanout`]: the subscribers of a producer.

use std::sync::Arc;

use super::subscriber::Subscriber;
use crate::net::CloseReason;

#[derive(Debug, Default)]
pub(super) struct Fanout {
    pub(super) subscribers: Arc<Vec<Arc<Subscriber>>>,
    /// The number of records handed to the fan-out.
    pub(super) position: u64,
    /// Set when no more subscribers are admitted, with the reason.
    pub(super) over: Option<CloseReason>,
}

/// The way in which a subscriber was removed. Determines how the records that it did not take are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It closed the connection, or was disconnected before everything was sent: counted as `closed`.
    Left,
    /// Like [`Left`](Self::Left), without reporting its position: records sent and not confirmed count as `lost`.
    CutOff,
    /// It did not reconnect: all count as `lost`.
    Vanished,
    /// It reported that it has received everything.
    Complete,
}

impl Subscriber {
    /// The fate of a subscriber that does not reconnect. One whose node stopped in an orderly way expected no more
    /// records.
    pub(super) fn fate_away(&self) -> Fate {
        if self.is_on_leave() {
            Fate::Left
        } else {
            Fate::Vanished
        }
    }
}

impl Fanout {
    pub(super) fn subscribers(&self) -> &[Arc<Subscriber>] {
        &self.subscribers
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    pub(super) const fn over(&self) -> Option<CloseReason> {
        self.over
    }
}
