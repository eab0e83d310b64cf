//! How a consumer fares with each node that offers its stream: for whoever asks why nothing comes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::{PeerId, network::CloseReason, streams::Format};

/// How a consumer fares with one node that offers its stream and meets its requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The node.
    pub producer: PeerId,
    /// What is being done about it.
    pub phase: Phase,
    /// How the last connection to it, or the last try at one, ended; `None` when none has yet.
    pub last_close: Option<CloseReason>,
    /// What the node declares its records to be, if it was refused for that.
    pub mismatch: Option<Format>,
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

/// One entry for each node that is being taken care of, in their order. Mostly it is one, or a few.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Vec<Attempt>>);

/// An entry, for as long as its node is being taken care of.
pub(super) struct Tracked<'a> {
    attempts: &'a Attempts,
    peer: PeerId,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn list(&self) -> Vec<Attempt> {
        self.lock().clone()
    }

    pub(super) fn track(&self, peer: PeerId) -> Tracked<'_> {
        let attempt = Attempt {
            producer: peer,
            phase: Phase::Connecting,
            last_close: None,
            mismatch: None,
        };
        let mut attempts = self.lock();
        let at = place(&attempts, &peer).unwrap_or_else(|at| at);
        attempts.insert(at, attempt);
        drop(attempts);
        Tracked {
            attempts: self,
            peer,
        }
    }

    /// Changes the entry of a node, if it is being taken care of.
    fn change(&self, peer: &PeerId, change: impl FnOnce(&mut Attempt)) {
        let mut attempts = self.lock();
        if let Ok(at) = place(&attempts, peer) {
            attempts.get_mut(at).map(change);
        }
    }

    /// A node declares its records to be this, which the consumer does not take. True when that is news.
    pub(super) fn mismatched(&self, peer: &PeerId, theirs: Format) -> bool {
        let mut is_news = false;
        self.change(peer, |attempt| {
            is_news = attempt.mismatch.replace(theirs) != Some(theirs);
        });
        is_news
    }

    /// Does nothing for a node that is not being taken care of.
    pub(super) fn set(&self, peer: &PeerId, phase: Phase) {
        self.change(peer, |attempt| {
            attempt.phase = phase;
            if phase == Phase::Connected {
                attempt.mismatch = None;
            }
        });
    }
}

/// Where the entry of a node is, or would be.
fn place(attempts: &[Attempt], peer: &PeerId) -> Result<usize, usize> {
    attempts.binary_search_by(|attempt| attempt.producer.cmp(peer))
}

impl Tracked<'_> {
    pub(super) fn set(&self, phase: Phase) {
        self.attempts.set(&self.peer, phase);
    }

    /// Whether the last subscription came to receive.
    pub(super) fn was_connected(&self) -> bool {
        let mut was = false;
        let look = |attempt: &mut Attempt| was = attempt.phase == Phase::Connected;
        self.attempts.change(&self.peer, look);
        was
    }

    pub(super) fn closed(&self, reason: CloseReason) {
        let set = |attempt: &mut Attempt| attempt.last_close = Some(reason);
        self.attempts.change(&self.peer, set);
    }
}

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        self.attempts
            .lock()
            .retain(|attempt| attempt.producer != self.peer);
    }
}
