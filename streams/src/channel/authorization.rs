//! Authorization of peers for a stream: checked when a peer connects, and as long as it stays connected.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use crate::{
    PeerId,
    discovery::Catalog,
    peer::{Expiration, PeerEntry, PeerEntryVersion, TicketValidator},
};

/// The maximum interval between checks for expiry: timers stop while the machine sleeps, and the clock may be changed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

type Requirement = Arc<dyn Fn(&PeerEntry) -> bool + Send + Sync>;

/// The requirements on a peer. All must be met; without any, every peer is authorized.
#[derive(Clone, Default)]
pub struct Requirements {
    requirements: Vec<Requirement>,
    validators: Vec<Arc<dyn TicketValidator>>,
}

impl Requirements {
    /// Creates requirements that every peer meets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition on a peer's entry, evaluated again whenever the entry changes. Repeated calls add up: all
    /// conditions must hold.
    pub fn require(mut self, may: impl Fn(&PeerEntry) -> bool + Send + Sync + 'static) -> Self {
        self.requirements.push(Arc::new(may));
        self
    }

    /// Requires a peer to present a valid ticket for as long as it stays connected. Repeated calls add up: each
    /// validator must accept one.
    pub fn require_ticket(mut self, validator: impl TicketValidator) -> Self {
        self.validators.push(Arc::new(validator));
        self
    }

    const fn is_empty(&self) -> bool {
        self.requirements.is_empty() && self.validators.is_empty()
    }
}

/// Checks peers against replaceable [`Requirements`].
#[derive(Default)]
pub(crate) struct Authorizer(watch::Sender<Rules>);

/// One edition of the requirements.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    edition: u64,
    all: Arc<Requirements>,
}

/// The authorization of a peer, by one version of its entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    edition: u64,
    version: PeerEntryVersion,
    until: Expiration,
}

impl Authorizer {
    pub(crate) fn new(requirements: Requirements) -> Self {
        Self(watch::Sender::new(Rules {
            edition: 0,
            all: Arc::new(requirements),
        }))
    }

    fn rules(&self) -> Rules {
        self.0.borrow().clone()
    }

    /// Replaces the requirements, also for peers that are already authorized.
    pub(crate) fn replace(&self, requirements: Requirements) {
        self.0.send_modify(|rules| {
            rules.edition += 1;
            rules.all = Arc::new(requirements);
        });
    }

    /// Returns a watch on replacements.
    pub(crate) fn watch(&self) -> watch::Receiver<Rules> {
        self.0.subscribe()
    }

    /// Returns the entry by which a peer is authorized: its signed entry if tickets are required.
    pub(crate) fn entry<'a>(&self, catalog: &'a Catalog, peer: &PeerId) -> Option<&'a PeerEntry> {
        if self.0.borrow().all.validators.is_empty() {
            catalog.get(peer)
        } else {
            catalog.get_signed(peer).map(|signed| &**signed)
        }
    }

    /// Checks all requirements on a peer.
    pub(crate) fn authorize(&self, peer: &PeerEntry) -> Option<Grant> {
        let rules = self.rules();
        if rules.are_met(peer) {
            rules.authorize_tickets(peer)
        } else {
            None
        }
    }

    /// Checks the conditions on a peer, but not its tickets.
    pub(crate) fn meets(&self, peer: &PeerEntry) -> bool {
        self.rules().are_met(peer)
    }

    /// Checks the tickets of a peer, but not the conditions.
    pub(crate) fn authorize_tickets(&self, peer: &PeerEntry) -> Option<Grant> {
        self.rules().authorize_tickets(peer)
    }

    /// Resolves when an authorized peer loses its authorization: its ticket expires without a replacement, or its
    /// changed entry or changed requirements do not authorize it. Cancel safe.
    ///
    /// While the peer is not in the catalog, its last grant counts until it expires.
    pub(crate) async fn closed(
        &self,
        mut catalog: watch::Receiver<Catalog>,
        peer: &PeerId,
        mut grant: Grant,
    ) {
        let mut rules = self.0.subscribe();
        loop {
            let is_free = rules.borrow_and_update().all.is_empty();
            let (edition, version) = (grant.edition, grant.version);
            let news = async {
                let is_new = |entry: &PeerEntry| entry.update_version() != version;
                let changed =
                    catalog.wait_for(|catalog| self.entry(catalog, peer).is_some_and(is_new));
                if changed.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                // Triggered when the requirements are replaced. `self` owns the sender.
                _ = rules.wait_for(|rules| rules.edition != edition) => {}
                // Triggered when the peer's entry changes.
                () = news, if !is_free => {}
                // Triggered when the grant expires or is due for a check.
                () = grant.expiring() => if !grant.has_expired() {
                    continue;
                },
            }
            let now = catalog.borrow().clone();
            match self
                .entry(&now, peer)
                .and_then(|entry| self.authorize(entry))
            {
                Some(renewed) => grant = renewed,
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

    fn authorize_tickets(&self, peer: &PeerEntry) -> Option<Grant> {
        let until = guarded(peer, || peer.validate_tickets(&self.all.validators).ok())?;
        let grant = Grant {
            edition: self.edition,
            version: peer.update_version(),
            until: until.unwrap_or(Expiration::Never),
        };
        (!grant.has_expired()).then_some(grant)
    }
}

impl Grant {
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

/// Runs code of the application. If it panics, the peer is refused and the panic is logged.
fn guarded<T>(peer: &PeerEntry, check: impl FnOnce() -> Option<T>) -> Option<T> {
    // The closure writes to nothing that it borrows, so no inconsistent state is left.
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|_| {
        tracing::error!(peer = %peer.id(), "a requirement or ticket validator panicked; the peer is refused");
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

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authorizer")
            .field(&self.rules().all)
            .finish()
    }
}

#[cfg(test)]
mod tests;
