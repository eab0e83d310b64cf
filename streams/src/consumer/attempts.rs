//! How a consumer fares with each node that offers its stream: for whoever asks why nothing comes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::{PeerId, network::CloseReason};

/// How a consumer fares with one node that offers its stream and meets its requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The node.
    pub producer: PeerId,
    /// What is being done about it.
    pub phase: Phase,
    /// How the last connection to it, or the last try at one, ended; `None` when none has yet.
    pub last_close: Option<CloseReason>,
}

/// What a consumer does about a node that offers its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It dials, or waits to be admitted.
    Connecting,
    /// It receives what there is.
    Connected,
    /// It tries again at this time, or as soon as the node says something new of itself.
    Retrying {
        /// When.
        at: Instant,
    },
    /// It tries again when the node, or this one, says something new of itself.
    Resting,
}

/// One entry for each node that is being taken care of.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<BTreeMap<PeerId, Attempt>>);

/// An entry, for as long as its node is being taken care of.
pub(super) struct Tracked<'a> {
    attempts: &'a Attempts,
    peer: PeerId,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn list(&self) -> Vec<Attempt> {
        self.lock().values().copied().collect()
    }

    pub(super) fn track(&self, peer: PeerId) -> Tracked<'_> {
        let attempt = Attempt {
            producer: peer,
            phase: Phase::Connecting,
            last_close: None,
        };
        self.lock().insert(peer, attempt);
        Tracked {
            attempts: self,
            peer,
        }
    }

    /// Does nothing for a node that is not being taken care of.
    pub(super) fn set(&self, peer: &PeerId, phase: Phase) {
        if let Some(attempt) = self.lock().get_mut(peer) {
            attempt.phase = phase;
        }
    }
}

impl Tracked<'_> {
    pub(super) fn set(&self, phase: Phase) {
        self.attempts.set(&self.peer, phase);
    }

    /// Whether the last subscription came to receive.
    pub(super) fn was_connected(&self) -> bool {
        let attempts = self.attempts.lock();
        (attempts.get(&self.peer)).is_some_and(|attempt| attempt.phase == Phase::Connected)
    }

    pub(super) fn closed(&self, reason: CloseReason) {
        if let Some(attempt) = self.attempts.lock().get_mut(&self.peer) {
            attempt.last_close = Some(reason);
        }
    }
}

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        self.attempts.lock().remove(&self.peer);
    }
}
