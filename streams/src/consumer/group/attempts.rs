//! The connection state of a consumer towards each node that offers its stream, for diagnosing why no records arrive.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::{PeerId, channel::format::Format, net::CloseReason};

/// The state of a consumer's connection to one node that offers its stream and meets its requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The node that offers the stream.
    pub producer: PeerId,
    /// The current step.
    pub phase: Phase,
    /// The close reason of the last connection or connection attempt; `None` before the first one has ended.
    pub last_close: Option<CloseReason>,
    /// The format that the node declares, if it was refused because of it.
    pub mismatch: Option<Format>,
}

/// The current step of a consumer's connection to a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Dialling, or waiting for the producer's answer.
    Connecting,
    /// Connected and receiving.
    Connected,
    /// Waiting to retry. Retries at `at`, or earlier when the node publishes a new version of its entry.
    Retrying {
        /// The time of the next attempt.
        at: Instant,
    },
    /// Not retrying on a timer. Retries when either node publishes a new version of its entry.
    Resting,
}

/// One entry for each node that a receiver runs for, sorted by id. Usually one or a few.
#[derive(Debug, Default)]
pub(in crate::consumer) struct Attempts(Mutex<Vec<Attempt>>);

/// Removes the entry of a node when it is dropped.
pub(in crate::consumer) struct Tracked<'a> {
    attempts: &'a Attempts,
    peer: PeerId,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::consumer) fn list(&self) -> Vec<Attempt> {
        self.lock().clone()
    }

    pub(in crate::consumer) fn track(&self, peer: PeerId) -> Tracked<'_> {
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

    /// Changes the entry of a node, if there is one.
    fn change(&self, peer: &PeerId, change: impl FnOnce(&mut Attempt)) {
        let mut attempts = self.lock();
        if let Ok(at) = place(&attempts, peer) {
            attempts.get_mut(at).map(change);
        }
    }

    /// Notes the format of a node that was refused because of it. Returns false if the same format was noted before.
    pub(in crate::consumer) fn mismatched(&self, peer: &PeerId, theirs: Format) -> bool {
        let mut is_news = false;
        self.change(peer, |attempt| {
            is_news = attempt.mismatch.replace(theirs) != Some(theirs);
        });
        is_news
    }

    /// Does nothing for a node without an entry.
    pub(in crate::consumer) fn set(&self, peer: &PeerId, phase: Phase) {
        self.change(peer, |attempt| {
            attempt.phase = phase;
            if phase == Phase::Connected {
                attempt.mismatch = None;
            }
        });
    }
}

/// Returns the index of a node's entry, or the index at which to insert it.
fn place(attempts: &[Attempt], peer: &PeerId) -> Result<usize, usize> {
    attempts.binary_search_by(|attempt| attempt.producer.cmp(peer))
}

impl Tracked<'_> {
    pub(in crate::consumer) fn set(&self, phase: Phase) {
        self.attempts.set(&self.peer, phase);
    }

    /// Returns true if the last subscription reached [`Phase::Connected`].
    pub(in crate::consumer) fn was_connected(&self) -> bool {
        let mut was = false;
        let look = |attempt: &mut Attempt| was = attempt.phase == Phase::Connected;
        self.attempts.change(&self.peer, look);
        was
    }

    pub(in crate::consumer) fn closed(&self, reason: CloseReason) {
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
