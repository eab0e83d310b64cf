//! The state shared by the tasks of discovery. Locks are never held across an await.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::{Notify, Semaphore, broadcast, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    catalog::Catalog,
    config::Config,
    event::Event,
    eviction::Known,
    exchanges::Exchanges,
    gossip::Gossip,
    jobs::Jobs,
    lives::{Life, Lives},
    names::Names,
    problems::{Problem, Problems},
    store::{MAX_PEERS, Store},
    wire::{self, About, Purpose},
};
use crate::{
    EndpointAddr, NetworkId, PeerId, SecretKey,
    net::Endpoint,
    peer::{PeerEntry, SignedPeerEntry},
    primitives::random_id,
};

/// The maximum number of syncs answered at a time; others wait. Each holds the request and its answer.
const INCOMING_MAX: usize = 256;
/// The maximum number of snapshots of more than a few entries merged at a time; others wait. In the worst case each
/// holds the largest frame.
const LARGE_INCOMING_MAX: usize = 8;

/// The state shared by the tasks of discovery.
pub(super) struct Shared {
    pub(super) network: NetworkId,
    pub(super) config: Config,
    pub(super) max_frame_len: usize,
    /// Notified when the local entry has changed in a way that must be announced.
    pub(super) local_changed: Notify,
    pub(super) jobs: Jobs,
    pub(super) exchanges: Exchanges,
    /// `None` until the network is bound.
    pub(super) gossip: OnceLock<Arc<Gossip>>,
    pub(super) incoming: Semaphore,
    pub(super) large_incoming: Semaphore,
    pub(super) key: SecretKey,
    /// Distinguishes this process from others with the same key.
    pub(super) process: [u8; 16],
    store: Mutex<Store>,
    catalog: watch::Sender<Catalog>,
    events: broadcast::Sender<Event>,
    /// `None` until the network is bound, and after it has ended.
    pub(super) endpoint: watch::Sender<Option<Endpoint>>,
    /// Configured addresses, for peers that are not in the catalog. At most [`MAX_PEERS`].
    hints: Mutex<BTreeMap<PeerId, BTreeSet<SocketAddr>>>,
    /// Addresses seen on the local network. Kept apart from configured ones, since any host can announce them. Few.
    lan: Mutex<BTreeMap<PeerId, BTreeSet<SocketAddr>>>,
    /// Peers of this implementation, which process departure messages. At most [`MAX_PEERS`].
    ours: Mutex<HashSet<PeerId>>,
    /// The name of this node.
    name: Mutex<Option<Arc<str>>>,
    names: Mutex<Names>,
    /// Runs of peers, as shown in syncs, and by the process id that their consumers send.
    lives: Mutex<Lives<PeerId, Life>>,
    processes: Mutex<Lives<PeerId, [u8; 16]>>,
    problems: Mutex<Problems>,
    /// True if this node answers multicast DNS queries.
    pub(super) mdns: AtomicBool,
    /// Stops the tasks of discovery.
    pub(super) cancel: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        network: NetworkId,
        key: SecretKey,
        config: Config,
        max_frame_len: usize,
    ) -> Self {
        let mut local = PeerEntry::new(network, EndpointAddr::from(key.public()));
        local.set_generation(config.generation);
        local.tags.clone_from(&config.tags);
        let local = local
            .sign(&key)
            .expect("the local entry is of the node's own key");
        let store = Store::new(local, config.purge_after, config.max_time_drift);
        let shared = Self {
            network,
            max_frame_len,
            local_changed: Notify::new(),
            jobs: Jobs::new(),
            exchanges: Exchanges::default(),
            gossip: OnceLock::new(),
            incoming: Semaphore::new(INCOMING_MAX),
            large_incoming: Semaphore::new(LARGE_INCOMING_MAX),
            key,
            process: random_id(),
            catalog: watch::Sender::new(store.catalog()),
            store: Mutex::new(store),
            events: broadcast::Sender::new(config.events_backlog.max(1)),
            endpoint: watch::Sender::new(None),
            hints: Mutex::default(),
            lan: Mutex::default(),
            ours: Mutex::default(),
            name: Mutex::new(config.name.as_deref().map(Arc::from)),
            names: Mutex::default(),
            lives: Mutex::default(),
            processes: Mutex::default(),
            problems: Mutex::default(),
            mdns: AtomicBool::new(false),
            cancel: CancellationToken::new(),
            config,
        };
        for addr in &shared.config.bootstrap {
            shared.hint(addr);
            shared.store().eviction().name(addr.id);
        }
        shared
    }

    /// Returns true if the peer has proven its key on a connection, or is in use.
    pub(super) fn is_met(&self, peer: &PeerId) -> bool {
        let mut store = self.store();
        store.how(peer) == Some(Known::Direct) || store.eviction().is_held(peer)
    }

    /// Returns a receiver for events from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Returns the peers of this implementation.
    pub(super) fn ours(&self) -> Vec<PeerId> {
        lock(&self.ours).iter().copied().collect()
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub(super) fn catalog(&self) -> Catalog {
        self.catalog.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Catalog> {
        self.catalog.subscribe()
    }

    pub(super) fn endpoint(&self) -> Option<Endpoint> {
        self.endpoint.borrow().clone()
    }

    /// Runs a task until it or the network ends.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        tokio::spawn(async move { cancel.run_until_cancelled(task).await });
    }

    /// Publishes the state of `store`. Called with the lock held, to keep the order.
    pub(super) fn publish(&self, store: &Store) {
        self.catalog.send_replace(store.catalog());
    }

    /// Sending fails only if there is no receiver.
    pub(super) fn emit(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Changes the local entry, and announces it if that changed something or `renew` is set.
    pub(super) fn update_local(&self, renew: bool, change: impl FnOnce(&mut PeerEntry)) -> bool {
        let changed = {
            let mut store = self.store();
            let changed = store.update_local(&self.key, renew, change);
            if changed {
                self.publish(&store);
            }
            changed
        };
        if changed && !renew {
            self.local_changed.notify_one();
        }
        changed
    }

    /// Renews the local entry without announcing it.
    pub(super) fn update_local_quietly(&self) {
        self.update_local(true, |_| ());
    }

    /// Combines the given addresses of a peer with all known ones. Returns `None` if there are none.
    pub(super) fn known_address(&self, mut addr: EndpointAddr) -> Option<EndpointAddr> {
        if let Some(entry) = self.catalog.borrow().get(&addr.id) {
            addr.addrs.extend(&entry.address().addrs);
        }
        if let Some(hints) = lock(&self.hints).get(&addr.id) {
            addr.addrs.extend(hints);
        }
        if let Some(heard) = lock(&self.lan).get(&addr.id) {
            addr.addrs.extend(heard);
        }
        (!addr.addrs.is_empty()).then_some(addr)
    }

    pub(super) fn set_lan(&self, heard: BTreeMap<PeerId, BTreeSet<SocketAddr>>) {
        *lock(&self.lan) = heard;
    }

    pub(super) fn hint(&self, addr: &EndpointAddr) {
        let mut hints = lock(&self.hints);
        if hints.len() < MAX_PEERS || hints.contains_key(&addr.id) {
            // The last ones replace earlier ones: a peer that moves would accumulate addresses.
            hints.insert(addr.id, addr.addrs.clone());
        }
    }

    pub(super) fn remember_ours(&self, peer: PeerId) {
        let mut ours = lock(&self.ours);
        if ours.len() < MAX_PEERS {
            ours.insert(peer);
        }
    }

    /// Builds a frame for a peer, with this node's name.
    pub(super) fn frame<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a SignedPeerEntry>,
        purpose: Purpose,
        to: &PeerId,
    ) -> Vec<u8> {
        let name = lock(&self.name).clone();
        let about = About {
            name: name.as_deref(),
            process: Some(self.process),
            is_key_shared: self.has_problem(&Problem::KeyShared(*to)),
        };
        wire::encode(entries, purpose, about, self.max_frame_len)
    }

    /// Returns true if the name has changed.
    pub(super) fn set_own_name(&self, name: Option<Arc<str>>) -> bool {
        let mut own = lock(&self.name);
        let changed = *own != name;
        *own = name;
        changed
    }

    pub(super) fn set_name(&self, peer: PeerId, name: Option<Arc<str>>) {
        lock(&self.names).set(peer, name);
    }

    pub(super) fn name_of(&self, peer: &PeerId) -> Option<Arc<str>> {
        lock(&self.names).get(peer)
    }

    /// Returns the current run of this node.
    pub(super) fn life(&self) -> Life {
        Life {
            started_ms: self.catalog.borrow().local().version.started_ms,
            process: Some(self.process),
        }
    }

    /// Notes that a peer showed this run on a connection opened at this time.
    pub(super) fn met_life(&self, peer: PeerId, life: Life, at: Instant) {
        if lock(&self.lives).meet(peer, life, at) {
            self.report(Problem::KeyShared(peer));
        }
    }

    /// Notes that a consumer of this process of a peer has connected.
    pub(super) fn met_process(&self, peer: PeerId, process: [u8; 16]) {
        if lock(&self.processes).meet(peer, process, Instant::now()) {
            self.report(Problem::KeyShared(peer));
        }
    }

    /// Remembers a problem, and logs a warning unless that was done recently.
    pub(super) fn report(&self, problem: Problem) {
        if !lock(&self.problems).note(problem, Instant::now()) {
            return;
        }
        if let Some(name) = problem.peer().and_then(|peer| self.name_of(&peer)) {
            tracing::warn!(%name, "{problem}");
        } else {
            tracing::warn!("{problem}");
        }
    }

    /// Returns true if nodes on the local network, of any network, can discover this one.
    pub(super) fn is_heard_locally(&self) -> bool {
        self.mdns.load(Ordering::Relaxed)
    }

    pub(super) fn reached(&self, peer: &PeerId) {
        lock(&self.problems).reached(peer);
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        lock(&self.problems).current(Instant::now())
    }

    fn has_problem(&self, problem: &Problem) -> bool {
        self.problems().contains(problem)
    }

    /// Drops all state about a peer except for its entry.
    pub(super) fn forget(&self, peer: &PeerId) {
        lock(&self.ours).remove(peer);
        self.set_name(*peer, None);
        lock(&self.lives).forget(peer);
        lock(&self.processes).forget(peer);
    }
}
