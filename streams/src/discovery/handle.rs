//! [`Discovery`]: the public interface to the catalog.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{broadcast, watch};

mod local;

use super::{
    announce,
    bootstrap::{self, AddressSource},
    catalog::Catalog,
    config::Config,
    event::Event,
    eviction::Known,
    gossip::{self, Gossip},
    jobs::Kind,
    lan, ping,
    problems::Problem,
    shared::Shared,
    store::Refusal,
    sync::{self, SyncError},
};
use crate::{
    EndpointAddr, NetworkId, PeerId, SecretKey,
    net::{BindError, Endpoint, Link},
    peer::{PeerEntry, SignedPeerEntry},
    primitives::IntoIterOrSingle,
};

/// The maximum number of attempts to dial a peer that the application requested: about two minutes without an answer.
const DIAL_ATTEMPTS_MAX: u32 = 10;
/// The number of peers that are notified of this node's departure at a time.
const DEPARTURES_AT_A_TIME: usize = 64;

/// The discovery of a node. Clones are handles to the same state.
#[derive(Clone)]
pub struct Discovery(Arc<Shared>);

impl Discovery {
    pub(crate) fn new(
        network: NetworkId,
        key: SecretKey,
        config: Config,
        max_frame_len: usize,
    ) -> Self {
        Self(Arc::new(Shared::new(network, key, config, max_frame_len)))
    }

    /// Starts discovery over an endpoint that others reach at `advertised`; also on the local network if `mdns` is set.
    pub(crate) fn start(
        &self,
        endpoint: &Endpoint,
        advertised: BTreeSet<SocketAddr>,
        mdns: bool,
    ) -> Result<(), BindError> {
        let shared = &self.0;
        let handler = |serve: fn(Arc<Shared>, Link) -> BoxFuture<'static, ()>| {
            let shared = shared.clone();
            Arc::new(move |link| serve(shared.clone(), link))
        };
        endpoint.register(
            sync::ALPN,
            handler(|shared, link| Box::pin(sync::serve(shared, link))),
        )?;
        endpoint.register(
            ping::ALPN,
            handler(|shared, link| Box::pin(ping::serve(shared, link))),
        )?;
        let (gossip, requests) = Gossip::new();
        let gossip = Arc::new(gossip);
        let served = gossip.clone();
        endpoint.register_conn(
            gossip::ALPN,
            Arc::new(move |conn| {
                let served = served.clone();
                Box::pin(async move { served.serve(conn).await })
            }),
        )?;
        let id = shared.key.public();
        shared.update_local(false, |entry| {
            entry.set_addrs(EndpointAddr {
                id,
                addrs: advertised,
            });
        });
        shared.endpoint.send_replace(Some(endpoint.clone()));
        shared.spawn(gossip::run(shared.clone(), gossip.clone(), requests));
        // Set once: a network is bound once.
        let _ = shared.gossip.set(gossip);
        shared.spawn(announce::run(shared.clone()));
        shared.spawn(announce::purge(shared.clone()));
        shared.mdns.store(mdns, Ordering::Relaxed);
        if mdns {
            shared.spawn(lan::run(shared.clone()));
        }
        for addr in &shared.config.bootstrap {
            if addr.id == id {
                shared.spawn(bootstrap::watch_for_another_me(
                    shared.clone(),
                    addr.clone(),
                ));
            } else {
                shared.spawn(bootstrap::keep(shared.clone(), addr.clone()));
            }
        }
        Ok(())
    }

    /// Finishes exchanges in progress, and announces that this node departs: by gossip, and directly to some peers of
    /// this implementation. The caller limits the time.
    pub(crate) async fn depart(&self) {
        let shared = &self.0;
        shared.exchanges.settle().await;
        let announced = async {
            if let Some(gossip) = shared.gossip.get() {
                gossip.depart().await;
            }
        };
        let is_announced = shared
            .gossip
            .get()
            .is_some_and(|gossip| gossip.neighbours() > 0);
        tokio::join!(announced, self.depart_directly(is_announced));
    }

    async fn depart_directly(&self, is_announced: bool) {
        let shared = &self.0;
        let addrs = announce::some_of(shared.ours(), is_announced)
            .into_iter()
            .filter_map(|peer| shared.known_address(peer.into()));
        let said = futures::stream::iter(addrs).map(|addr| async move {
            // Peers that are not reached notice at the purge time.
            let _ = sync::depart(shared, &addr).await;
        });
        said.buffer_unordered(DEPARTURES_AT_A_TIME)
            .for_each(|()| async {})
            .await;
    }

    /// Stops all tasks and releases the endpoint.
    pub(crate) fn stop(&self) {
        self.0.cancel.cancel();
        self.0.endpoint.send_replace(None);
    }

    /// Returns this node's own entry.
    pub fn me(&self) -> SignedPeerEntry {
        self.0.catalog().local().clone()
    }

    /// Returns a snapshot of the catalog. Cheap.
    pub fn catalog(&self) -> Catalog {
        self.0.catalog()
    }

    /// Returns a watch on the catalog. Several changes may be observed as one.
    pub fn catalog_watch(&self) -> watch::Receiver<Catalog> {
        self.0.watch()
    }

    /// Returns a receiver for events from now on. A receiver that falls behind by the configured backlog loses the
    /// oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    /// Returns the number of peers displaced since the start because the catalog was full.
    pub fn displaced(&self) -> u64 {
        self.0.store().displaced()
    }

    /// Returns the number of entries refused for this reason since the start.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.0.store().refused(refusal)
    }

    /// Returns the configuration mistakes observed within the last two minutes.
    pub fn problems(&self) -> Vec<Problem> {
        self.0.problems()
    }

    /// Sets the name of this node, and announces it to all peers at once.
    pub fn set_name(&self, name: Option<&str>) {
        if self.0.set_own_name(name.map(Arc::from)) {
            self.renew();
        }
    }

    /// Returns the name of a peer: at most [`MAX_NAME_LEN`](super::MAX_NAME_LEN) bytes, with control characters
    /// escaped. `None` if it has none or none was received yet; plain Mosaik sends none.
    pub fn name_of(&self, peer: &PeerId) -> Option<Arc<str>> {
        self.0.name_of(peer)
    }

    /// Formats a peer's id, followed by its name in parentheses if known.
    pub fn describe(&self, peer: &PeerId) -> String {
        match self.name_of(peer) {
            Some(name) => format!("{peer} ({name})"),
            None => peer.to_string(),
        }
    }

    /// Returns the id of this process, which distinguishes it from others with the same key.
    pub(crate) fn process(&self) -> [u8; 16] {
        self.0.process
    }

    /// Notes that a consumer of this process of a peer has connected.
    pub(crate) fn met_process(&self, peer: PeerId, process: [u8; 16]) {
        self.0.met_process(peer, process);
    }

    /// Returns the number of nodes to which this one gossips directly: up to five. Without any, changes are sent to all
    /// peers by sync.
    pub fn gossip_neighbours(&self) -> usize {
        self.0.gossip.get().map_or(0, |gossip| gossip.neighbours())
    }

    /// Starts contacting peers and returns at once. Each is tried ten times with backoff. For a peer without addresses,
    /// those from the catalog, a bootstrap entry or the local network are used.
    ///
    /// Cancel safe. Before the network is bound, dialling waits in the background until it is.
    #[expect(
        clippy::unused_async,
        reason = "it is awaited in programs written for Mosaik"
    )]
    pub async fn dial<Way>(&self, peers: impl IntoIterOrSingle<EndpointAddr, Way>) {
        for addr in peers.iterator() {
            if addr.id == self.0.key.public() {
                continue;
            }
            if !addr.addrs.is_empty() {
                self.0.hint(&addr);
            }
            let shared = self.0.clone();
            self.0.spawn(async move {
                let mut endpoint = shared.endpoint.subscribe();
                if endpoint.wait_for(Option::is_some).await.is_ok() {
                    bootstrap::meet(&shared, &addr, DIAL_ATTEMPTS_MAX, AddressSource::Configured)
                        .await;
                }
            });
        }
    }

    /// Exchanges catalogs with peers, once each, and waits for completion: at most 40 s, usually a few round trips.
    ///
    /// Cancel safe: received entries stay.
    ///
    /// # Errors
    /// The first error, after all peers were tried.
    pub async fn sync_with<Way>(
        &self,
        peers: impl IntoIterOrSingle<EndpointAddr, Way>,
    ) -> Result<(), SyncError> {
        let shared = &self.0;
        let addrs: Vec<EndpointAddr> = peers.iterator().collect();
        let mut syncs: FuturesUnordered<_> = addrs
            .into_iter()
            .map(|addr| async move {
                let addr = shared.known_address(addr.clone()).unwrap_or(addr);
                sync::with(shared, &addr, Kind::Full).await
            })
            .collect();
        let mut first = Ok(());
        while let Some(result) = syncs.next().await {
            first = first.and(result);
        }
        first
    }

    /// Requests a peer's current entry and merges it. Peers answer nodes that they know.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// Fails if the peer does not answer, or does not know this node.
    pub async fn ping(&self, peer: impl Into<EndpointAddr>) -> Result<SignedPeerEntry, SyncError> {
        let addr = peer.into();
        let addr = self.0.known_address(addr.clone()).unwrap_or(addr);
        let entry = ping::ask(&self.0, &addr).await?;
        self.feed(entry.clone());
        Ok(entry)
    }

    /// Merges an entry obtained in another way. Returns false if it is refused, which is counted.
    pub fn feed(&self, entry: SignedPeerEntry) -> bool {
        let merged = self.0.merge_verified(vec![(entry, Known::Direct)]);
        sync::greet(&self.0, &merged);
        !merged.is_empty()
    }

    /// Inserts an entry on behalf of the application, until the peer's signed entry is received. It is not sent to
    /// others. Returns false if it is refused, which is counted; for example if the signed entry is already known.
    pub fn insert(&self, entry: impl Into<PeerEntry>) -> bool {
        let entry = entry.into();
        let is_known = self.0.catalog().get(entry.id()).is_some();
        {
            let mut store = self.0.store();
            if store.insert_unsigned(entry.clone()).is_err() {
                return false;
            }
            self.0.publish(&store);
        }
        self.0.emit(if is_known {
            Event::PeerUpdated(entry)
        } else {
            Event::PeerDiscovered(entry)
        });
        true
    }

    /// Removes a peer until its entry is received again. Returns false if it is not known.
    pub fn remove(&self, peer: impl Into<PeerId>) -> bool {
        let peer = peer.into();
        {
            let mut store = self.0.store();
            if !store.remove(&peer) {
                return false;
            }
            self.0.publish(&store);
        }
        self.0.forget(&peer);
        self.0.emit(Event::PeerDeparted(peer));
        true
    }

    /// Removes all inserted entries. Returns false if there were none.
    pub fn clear_unsigned(&self) -> bool {
        let removed = {
            let mut store = self.0.store();
            let removed = store.clear_unsigned();
            self.0.publish(&store);
            removed
        };
        for peer in &removed {
            self.0.emit(Event::PeerDeparted(*peer));
        }
        !removed.is_empty()
    }

    /// Keeps a peer in the catalog, even if it is full, until the returned value is dropped.
    pub(crate) fn hold(&self, peer: PeerId) -> Hold {
        self.0.store().eviction().hold(peer);
        Hold(self.0.clone(), peer)
    }

    /// Exchanges entries, with backoff, with a peer whose link broke. Its restart is then noticed before its next
    /// renewal.
    pub(crate) fn suspect(&self, peer: PeerId) {
        if peer != self.0.key.public() {
            sync::request(&self.0, peer, Kind::Push);
        }
    }
}

/// Keeps a peer in the catalog until it is dropped.
pub(crate) struct Hold(Arc<Shared>, PeerId);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.store().eviction().release(&self.1);
    }
}

impl std::fmt::Debug for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery")
            .field("catalog", &self.catalog())
            .finish_non_exhaustive()
    }
}
