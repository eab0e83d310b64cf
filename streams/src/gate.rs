//! Who may be at the other end of a stream: judged when a peer comes, and again for as long as it stays.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use crate::{
    PeerId,
    discovery::{Catalog, PeerEntry, PeerEntryVersion},
    tickets::{Expiration, TicketValidator},
};

/// Timers stand still while the machine sleeps, and the clock may be set: expiry is looked at this often at least.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

type Requirement = Arc<dyn Fn(&PeerEntry) -> bool + Send + Sync>;

/// What a peer must be and show. All of it must hold; without any, every peer may pass.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    requirements: Vec<Requirement>,
    validators: Vec<Arc<dyn TicketValidator>>,
}

/// A peer was let pass, by this version of its entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    version: PeerEntryVersion,
    until: Expiration,
}

impl Gate {
    pub(crate) fn require(&mut self, may: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static) {
        self.requirements.push(Arc::new(may));
    }

    pub(crate) fn require_ticket(&mut self, validator: impl TicketValidator) {
        self.validators.push(Arc::new(validator));
    }

    /// The entry that a peer is judged by: where tickets are asked for, only what it has signed counts.
    pub(crate) fn entry<'a>(&self, catalog: &'a Catalog, peer: &PeerId) -> Option<&'a PeerEntry> {
        if self.validators.is_empty() {
            catalog.get(peer)
        } else {
            catalog.get_signed(peer).map(|signed| &**signed)
        }
    }

    /// Whether a peer may pass.
    pub(crate) fn judge(&self, peer: &PeerEntry) -> Option<Pass> {
        if self.meets(peer) {
            self.judge_tickets(peer)
        } else {
            None
        }
    }

    /// Whether a peer is what it must be, whatever it shows.
    pub(crate) fn meets(&self, peer: &PeerEntry) -> bool {
        guarded(peer, || {
            self.requirements.iter().all(|may| may(peer)).then_some(())
        })
        .is_some()
    }

    /// Whether a peer shows what it must, whatever it is.
    pub(crate) fn judge_tickets(&self, peer: &PeerEntry) -> Option<Pass> {
        let until = guarded(peer, || peer.validate_tickets(&self.validators).ok())?;
        let pass = Pass {
            version: peer.update_version(),
            until: until.unwrap_or(Expiration::Never),
        };
        (!pass.has_expired()).then_some(pass)
    }

    /// Resolves when a peer that was let pass may not stay: its ticket expires and it has shown no other, or its entry
    /// changes to one that would not be let pass. Cancel safe.
    ///
    /// While nothing is known of the peer, what it showed last counts until it expires.
    pub(crate) async fn closed(
        &self,
        mut catalog: watch::Receiver<Catalog>,
        peer: &PeerId,
        mut pass: Pass,
    ) {
        if self.requirements.is_empty() && self.validators.is_empty() {
            return std::future::pending().await;
        }
        loop {
            let news = async {
                let is_new = |entry: &PeerEntry| entry.update_version() != pass.version;
                let changed =
                    catalog.wait_for(|catalog| self.entry(catalog, peer).is_some_and(is_new));
                if changed.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                // Triggered when the peer's entry changes.
                () = news => {}
                // Triggered when what it showed expires, or is to be looked at again.
                () = pass.expiring() => if !pass.has_expired() {
                    continue;
                },
            }
            let now = catalog.borrow().clone();
            match self.entry(&now, peer).and_then(|entry| self.judge(entry)) {
                Some(renewed) => pass = renewed,
                None => return,
            }
        }
    }
}

impl Pass {
    fn has_expired(&self) -> bool {
        self.until != Expiration::Never && self.until.remaining().is_none_or(|left| left.is_zero())
    }

    async fn expiring(&self) {
        if self.until == Expiration::Never {
            return std::future::pending().await;
        }
        let left = self.until.remaining().unwrap_or_default();
        sleep(left.min(LOOK_AGAIN)).await;
    }
}

/// The user's code must not end the task that asks it: when it panics, the peer is refused, and the log says why.
fn guarded<T>(peer: &PeerEntry, judge: impl FnOnce() -> Option<T>) -> Option<T> {
    // Nothing of what `judge` borrows is written to, so nothing is left half done.
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|_| {
        tracing::error!(peer = %peer.id(), "a requirement or ticket validator panicked, and the peer is refused");
        None
    })
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("requirements", &self.requirements.len())
            .field("validators", &self.validators.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
