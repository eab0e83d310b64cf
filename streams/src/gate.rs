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
pub struct Requirements {
    requirements: Vec<Requirement>,
    validators: Vec<Arc<dyn TicketValidator>>,
}

impl Requirements {
    /// None: every peer may pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// What must be true of a peer's entry, asked again whenever it changes. Said several times, all must hold.
    pub fn require(mut self, may: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static) -> Self {
        self.requirements.push(Arc::new(may));
        self
    }

    /// Which tickets a peer must show, and for as long as it stays. Said several times, all must be shown.
    pub fn require_ticket(mut self, validator: impl TicketValidator) -> Self {
        self.validators.push(Arc::new(validator));
        self
    }

    const fn is_empty(&self) -> bool {
        self.requirements.is_empty() && self.validators.is_empty()
    }
}

/// Holds peers to [`Requirements`], which may be replaced by others.
#[derive(Default)]
pub(crate) struct Gate(watch::Sender<Rules>);

/// One edition of the requirements.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    edition: u64,
    all: Arc<Requirements>,
}

/// A peer was let pass, by this version of its entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass {
    edition: u64,
    version: PeerEntryVersion,
    until: Expiration,
}

impl Gate {
    pub(crate) fn new(requirements: Requirements) -> Self {
        Self(watch::Sender::new(Rules {
            edition: 0,
            all: Arc::new(requirements),
        }))
    }

    fn rules(&self) -> Rules {
        self.0.borrow().clone()
    }

    /// From now on, peers are held to these: those that were let pass, too.
    pub(crate) fn replace(&self, requirements: Requirements) {
        self.0.send_modify(|rules| {
            rules.edition += 1;
            rules.all = Arc::new(requirements);
        });
    }

    /// Tells of replacements from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<Rules> {
        self.0.subscribe()
    }

    /// The entry that a peer is judged by: where tickets are asked for, only what it has signed counts.
    pub(crate) fn entry<'a>(&self, catalog: &'a Catalog, peer: &PeerId) -> Option<&'a PeerEntry> {
        if self.0.borrow().all.validators.is_empty() {
            catalog.get(peer)
        } else {
            catalog.get_signed(peer).map(|signed| &**signed)
        }
    }

    /// Whether a peer may pass.
    pub(crate) fn judge(&self, peer: &PeerEntry) -> Option<Pass> {
        let rules = self.rules();
        if rules.are_met(peer) {
            rules.judge_tickets(peer)
        } else {
            None
        }
    }

    /// Whether a peer is what it must be, whatever it shows.
    pub(crate) fn meets(&self, peer: &PeerEntry) -> bool {
        self.rules().are_met(peer)
    }

    /// Whether a peer shows what it must, whatever it is.
    pub(crate) fn judge_tickets(&self, peer: &PeerEntry) -> Option<Pass> {
        self.rules().judge_tickets(peer)
    }

    /// Resolves when a peer that was let pass may not stay: its ticket expires and it has shown no other, its entry
    /// changes to one that would not be let pass, or so do the requirements. Cancel safe.
    ///
    /// While nothing is known of the peer, what it showed last counts until it expires.
    pub(crate) async fn closed(
        &self,
        mut catalog: watch::Receiver<Catalog>,
        peer: &PeerId,
        mut pass: Pass,
    ) {
        let mut rules = self.0.subscribe();
        loop {
            let is_free = rules.borrow_and_update().all.is_empty();
            let (edition, version) = (pass.edition, pass.version);
            let news = async {
                let is_new = |entry: &PeerEntry| entry.update_version() != version;
                let changed =
                    catalog.wait_for(|catalog| self.entry(catalog, peer).is_some_and(is_new));
                if changed.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                // Triggered when other requirements hold than when it was let pass; they live as long as this does.
                _ = rules.wait_for(|rules| rules.edition != edition) => {}
                // Triggered when the peer's entry changes.
                () = news, if !is_free => {}
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

impl Rules {
    fn are_met(&self, peer: &PeerEntry) -> bool {
        let all = || self.all.requirements.iter().all(|may| may(peer));
        guarded(peer, || all().then_some(())).is_some()
    }

    fn judge_tickets(&self, peer: &PeerEntry) -> Option<Pass> {
        let until = guarded(peer, || peer.validate_tickets(&self.all.validators).ok())?;
        let pass = Pass {
            edition: self.edition,
            version: peer.update_version(),
            until: until.unwrap_or(Expiration::Never),
        };
        (!pass.has_expired()).then_some(pass)
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

impl fmt::Debug for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requirements")
            .field("requirements", &self.requirements.len())
            .field("validators", &self.validators.len())
            .finish()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.rules().all).finish()
    }
}

#[cfg(test)]
mod tests;
