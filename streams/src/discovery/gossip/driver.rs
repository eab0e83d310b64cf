//! The task that runs the gossip of a node: keeps the node connected, announces its changes, and merges those of
//! others.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use mosaik_gossip::{ACTIVE_MAX, Addresses, Node, Output, Random};
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout},
};

use super::{
    super::{jobs, shared::Shared},
    ALPN,
    announcement::{self, Departure},
    connections::{Connections, Event},
    handle::{Gossip, Request},
    intake,
};
use crate::{EndpointAddr, PeerId, peer::now_ms};

/// The number of peers that a node without neighbours asks at a time.
const JOIN_AT_A_TIME: usize = 3;
/// The interval between join attempts of a node without neighbours: initial, and maximum. Then the maximum for a node
/// with fewer neighbours than it may have.
const JOIN_FIRST: Duration = Duration::from_millis(500);
const JOIN_MAX: Duration = Duration::from_secs(15);
const INVITE_MAX: Duration = Duration::from_mins(1);
/// The interval at which connections are checked.
const SWEEP: Duration = Duration::from_secs(1);
/// The time for which a departing node waits until its neighbours have received earlier messages.
const FORMER_TIMEOUT: Duration = Duration::from_millis(150);
/// The time for which a departing node waits until its neighbours have received its departure.
const DEPARTURE_TIMEOUT: Duration = Duration::from_millis(700);

/// Runs until the node departs or shuts down.
pub(in crate::discovery) async fn run(
    shared: Arc<Shared>,
    gossip: Arc<Gossip>,
    mut requests: mpsc::Receiver<Request>,
) {
    let mut driver = Driver::new(shared.clone(), gossip.clone());
    let mut catalog = shared.watch();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let timeout_at = driver.node.next_timeout();
        tokio::select! {
            // Triggered by the rest of discovery.
            Some(request) = requests.recv() => match request {
                Request::Incoming(conn) => drop(driver.connections.add(conn)),
                Request::Join(peer) => driver.join(peer),
                Request::Depart(done) => {
                    driver.depart().await;
                    // An error means that the caller no longer waits.
                    let _ = done.send(());
                    return;
                }
            },
            // Triggered when the local entry is to be announced.
            () = gossip.announce.notified() => driver.announce(),
            // Triggered when a peer sends a message or is lost.
            event = driver.connections.next() => driver.on_event(event),
            // Triggered by a timeout of the protocol.
            () = sleep_until(timeout_at.into()) => {
                let outputs = driver.node.on_timeout(Instant::now());
                driver.perform(outputs);
            }
            // Triggered when the catalog changes: there may be peers to join.
            Ok(()) = catalog.changed() => driver.look_around(),
            // Triggered every second.
            _ = sweep.tick() => {
                let node = &driver.node;
                driver.connections.sweep(|peer| node.is_wanted(peer));
                driver.look_around();
            }
        }
    }
}

struct Driver {
    shared: Arc<Shared>,
    gossip: Arc<Gossip>,
    node: Node<PeerId>,
    connections: Connections,
    random: Random,
    /// The time of the next join attempt, and the pause after it.
    join_at: Instant,
    join_pause: Duration,
}

impl Driver {
    fn new(shared: Arc<Shared>, gossip: Arc<Gossip>) -> Self {
        let mut seed = [0; 8];
        // Without random bytes all nodes make the same choices. No secret depends on them.
        let _ = getrandom::fill(&mut seed);
        let seed = u64::from_le_bytes(seed);
        let node = Node::new(shared.key.public(), seed, Instant::now());
        Self {
            connections: Connections::new(shared.clone(), ALPN),
            random: Random::seeded(!seed),
            join_at: Instant::now(),
            join_pause: JOIN_FIRST,
            shared,
            gossip,
            node,
        }
    }

    fn on_event(&mut self, event: Event) {
        let now = Instant::now();
        let outputs = match event {
            Event::Message(from, message) => {
                let shared = &self.shared;
                let decide = |content: &Bytes| intake::decide(shared, &from, content);
                self.node.on_message(from, message, now, decide)
            }
            Event::Lost(peer) => self.node.on_disconnected(peer, now),
        };
        self.perform(outputs);
    }

    /// Performs actions of the protocol, and those that result from them.
    fn perform(&mut self, mut outputs: Vec<Output<PeerId>>) {
        while !outputs.is_empty() {
            let mut next = Vec::new();
            for output in outputs {
                match output {
                    Output::Send(to, message) => {
                        let hints = EndpointAddr {
                            id: to,
                            addrs: self.hints(&to),
                        };
                        if let Some(Event::Lost(peer)) = self.connections.send(&message, hints) {
                            next.extend(self.node.on_disconnected(peer, Instant::now()));
                        }
                    }
                    Output::Up(peer) => {
                        let entry = self.entry();
                        next.extend(self.node.offer(peer, &entry, Instant::now()));
                    }
                    Output::Leave(peer) => self.connections.leave(&peer),
                }
            }
            outputs = next;
        }
        let neighbours = self.node.neighbours();
        let before = self.gossip.neighbours.swap(neighbours, Ordering::Relaxed);
        if neighbours < before {
            self.join_pause = JOIN_FIRST;
            self.join_at = self.join_at.min(Instant::now() + JOIN_FIRST);
        }
    }

    /// Returns the addresses reported by gossip, for peers that are not in the catalog.
    fn hints(&self, peer: &PeerId) -> BTreeSet<SocketAddr> {
        if self.shared.catalog().get(peer).is_some() {
            return BTreeSet::new();
        }
        let data = self.node.data(peer);
        data.map(Addresses::decode).into_iter().flatten().collect()
    }

    /// Returns the announcement of the current local entry.
    fn entry(&self) -> Bytes {
        announcement::of_entry(self.shared.catalog().local()).into()
    }

    fn announce(&mut self) {
        let entry = self.entry();
        // An entry that is too large is sent by sync; `Gossip::announce` returned false for it.
        if let Some(outputs) = self.node.broadcast(entry, Instant::now()) {
            self.perform(outputs);
        }
    }

    /// Asks known peers to become neighbours while there is room: several at once if there is none, otherwise one now
    /// and then, so that parts of a network that gossip separately, but know each other, become connected.
    fn look_around(&mut self) {
        let now = Instant::now();
        let neighbours = self.node.neighbours();
        if neighbours >= ACTIVE_MAX || now < self.join_at {
            return;
        }
        let catalog = self.shared.catalog();
        let bootstrap = self.shared.config.bootstrap.iter().map(|addr| addr.id);
        let unknown = |peer: &PeerId| catalog.get_signed(peer).is_none();
        let mut peers: Vec<PeerId> = catalog.signed_peers().map(|entry| *entry.id()).collect();
        peers.extend(bootstrap.filter(unknown));
        peers.retain(|peer| !self.node.is_wanted(peer));
        if peers.is_empty() {
            return;
        }
        let (count, pause_max) = if neighbours == 0 {
            (JOIN_AT_A_TIME, JOIN_MAX)
        } else {
            (1, INVITE_MAX)
        };
        self.join_at = now + jobs::jittered(self.join_pause, 0.2);
        self.join_pause = (self.join_pause * 2).min(pause_max);
        for _ in 0..count.min(peers.len()) {
            let peer = peers.swap_remove(self.random.below(peers.len()));
            if neighbours == 0 {
                self.join(peer);
            } else {
                self.set_addresses();
                let outputs = self.node.invite(peer, now);
                self.perform(outputs);
            }
        }
    }

    fn join(&mut self, peer: PeerId) {
        self.set_addresses();
        let outputs = self.node.join(peer);
        self.perform(outputs);
    }

    /// Sets the current addresses of this node as the ones that peers receive.
    fn set_addresses(&mut self) {
        let catalog = self.shared.catalog();
        let addrs = catalog.local().address().addrs.iter().copied();
        self.node.set_own_data(Addresses::encode(addrs));
    }

    async fn depart(&mut self) {
        let _ = timeout(FORMER_TIMEOUT, self.connections.flush_former()).await;
        let version = self.shared.catalog().local().update_version();
        let departure = Departure::new(&self.shared.key, version, now_ms());
        // Peers that have added this node may not be its neighbours yet.
        let open = self.connections.open();
        let outputs = self.node.quit(&departure.encode().into(), open);
        self.gossip.neighbours.store(0, Ordering::Relaxed);
        for output in outputs {
            if let Output::Send(to, message) = output {
                // Peers that cannot be reached notice otherwise.
                let _ = self.connections.send(&message, EndpointAddr::from(to));
            }
        }
        let _ = timeout(DEPARTURE_TIMEOUT, self.connections.flush()).await;
    }
}
