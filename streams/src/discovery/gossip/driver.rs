//! The task that runs the gossip of a node: it keeps the node in the swarm, tells its changes, and takes in those of
//! others by the catalog's rules.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{sleep_until, timeout},
};

use super::{
    super::{entry::now_ms, jobs, shared::Shared},
    ALPN,
    announcement::{self, Addresses, Departure},
    connections::{Connections, Event},
    core::{Core, Output},
    intake,
    membership::ACTIVE_MAX,
    random::Random,
};
use crate::{
    EndpointAddr, PeerId,
    network::{CloseReason, LinkConn},
};

/// Requests that wait for the task.
const REQUESTS_MAX: usize = 16;
/// Peers that are asked at a time by a node without neighbours.
const JOIN_AT_A_TIME: usize = 3;
/// How often a node without neighbours asks again, at first and at most, and one with fewer than it may have.
const JOIN_FIRST: Duration = Duration::from_millis(500);
const JOIN_MAX: Duration = Duration::from_secs(15);
const INVITE_MAX: Duration = Duration::from_mins(1);
/// How often connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);
/// How long a leaving node waits for its neighbours to have what was said before.
const FORMER_TIMEOUT: Duration = Duration::from_millis(150);
/// How long a leaving node waits for its neighbours to know.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(700);

/// What others ask of the task.
pub(in crate::discovery) struct Gossip {
    announce: Notify,
    neighbours: AtomicUsize,
    requests: mpsc::Sender<Request>,
}

pub(in crate::discovery) enum Request {
    /// To take a connection that came in.
    Incoming(LinkConn),
    /// To be the neighbour of a peer, though another must make room.
    Join(PeerId),
    /// To leave.
    Depart(oneshot::Sender<()>),
}

impl Gossip {
    pub(in crate::discovery) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, requested) = mpsc::channel(REQUESTS_MAX);
        let this = Self {
            announce: Notify::new(),
            neighbours: AtomicUsize::new(0),
            requests,
        };
        (this, requested)
    }

    /// Has the local entry told to all, as it then is. False if nobody would hear of it: there is no neighbour, or the
    /// entry does not fit a message.
    pub(in crate::discovery) fn announce(&self, shared: &Shared) -> bool {
        self.announce.notify_one();
        let entry = announcement::of_entry(shared.catalog().local());
        self.neighbours() > 0 && Core::carries(entry.len())
    }

    /// How many nodes are told directly.
    pub(in crate::discovery) fn neighbours(&self) -> usize {
        self.neighbours.load(Ordering::Relaxed)
    }

    /// Says that this node leaves, and waits until its neighbours know, 850 ms at most. It says nothing afterwards.
    pub(in crate::discovery) async fn depart(&self) {
        let (done, told) = oneshot::channel();
        if self.requests.send(Request::Depart(done)).await.is_ok() {
            // An error means that the node ends anyway.
            let _ = told.await;
        }
    }

    /// Takes a connection that came in, and returns when it has ended. Dropped before, it ends the connection.
    pub(in crate::discovery) async fn serve(&self, conn: LinkConn) {
        let _ended = EndOnDrop(conn.clone());
        let request = Request::Incoming(conn.clone());
        if self.requests.try_send(request).is_err() {
            conn.close(CloseReason::NoCapacity);
        }
        conn.closed().await;
    }

    /// Makes a neighbour of a peer that this node should have heard of, and has not. One that there is no room for now
    /// is asked another time.
    pub(in crate::discovery) fn join(&self, peer: PeerId) {
        let _ = self.requests.try_send(Request::Join(peer));
    }
}

struct EndOnDrop(LinkConn);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        // It does nothing where the connection has ended.
        self.0.close(CloseReason::Cancelled);
    }
}

/// Runs until the node leaves or ends.
pub(in crate::discovery) async fn run(
    shared: Arc<Shared>,
    gossip: Arc<Gossip>,
    mut requests: mpsc::Receiver<Request>,
) {
    let mut driver = Driver::new(shared.clone(), gossip.clone());
    let mut catalog = shared.watch();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let timeout_at = driver.core.next_timeout();
        tokio::select! {
            // Triggered by the rest of discovery.
            Some(request) = requests.recv() => match request {
                Request::Incoming(conn) => drop(driver.connections.add(conn)),
                Request::Join(peer) => driver.join(peer),
                Request::Depart(done) => {
                    driver.depart().await;
                    // Nobody waits for it any more, at worst.
                    let _ = done.send(());
                    return;
                }
            },
            // Triggered when the local entry is to be told.
            () = gossip.announce.notified() => driver.announce(),
            // Triggered when a peer says something or is lost.
            event = driver.connections.next() => driver.on_event(event),
            // Triggered when the protocol has something to do.
            () = sleep_until(timeout_at.into()) => {
                let outputs = driver.core.on_timeout(Instant::now());
                driver.perform(outputs);
            }
            // Triggered when the catalog has changed: there may be peers to join.
            Ok(()) = catalog.changed() => driver.look_around(),
            // Triggered every second.
            _ = sweep.tick() => {
                let core = &driver.core;
                driver.connections.sweep(|peer| core.is_wanted(peer));
                driver.look_around();
            }
        }
    }
}

struct Driver {
    shared: Arc<Shared>,
    gossip: Arc<Gossip>,
    core: Core,
    connections: Connections,
    random: Random,
    /// When peers are asked again, and how long after that.
    join_at: Instant,
    join_pause: Duration,
}

impl Driver {
    fn new(shared: Arc<Shared>, gossip: Arc<Gossip>) -> Self {
        let mut seed = [0; 8];
        // Without randomness all choose alike, and no secret hangs on it.
        let _ = getrandom::fill(&mut seed);
        let seed = u64::from_le_bytes(seed);
        let core = Core::new(shared.key.public(), seed, Instant::now());
        Self {
            connections: Connections::new(shared.clone(), ALPN),
            random: Random::seeded(!seed),
            join_at: Instant::now(),
            join_pause: JOIN_FIRST,
            shared,
            gossip,
            core,
        }
    }

    fn on_event(&mut self, event: Event) {
        let now = Instant::now();
        let outputs = match event {
            Event::Message(from, message) => {
                let shared = &self.shared;
                let judge = |content: &Bytes| intake::judge(shared, &from, content);
                self.core.on_message(from, message, now, judge)
            }
            Event::Lost(peer) => self.core.on_disconnected(peer, now),
        };
        self.perform(outputs);
    }

    /// Does what the protocol asks for, and what that leads to.
    fn perform(&mut self, mut outputs: Vec<Output>) {
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
                            next.extend(self.core.on_disconnected(peer, Instant::now()));
                        }
                    }
                    Output::Up(peer) => {
                        let entry = self.entry();
                        next.extend(self.core.offer(peer, &entry, Instant::now()));
                    }
                    Output::Leave(peer) => self.connections.leave(&peer),
                }
            }
            outputs = next;
        }
        let neighbours = self.core.neighbours();
        let before = self.gossip.neighbours.swap(neighbours, Ordering::Relaxed);
        if neighbours < before {
            self.join_pause = JOIN_FIRST;
            self.join_at = self.join_at.min(Instant::now() + JOIN_FIRST);
        }
    }

    /// What gossip says of how a peer is reached; only of peers that the catalog does not know.
    fn hints(&self, peer: &PeerId) -> BTreeSet<SocketAddr> {
        if self.shared.catalog().get(peer).is_some() {
            return BTreeSet::new();
        }
        let data = self.core.data(peer);
        data.map(Addresses::decode).into_iter().flatten().collect()
    }

    /// The announcement of the local entry, as it is.
    fn entry(&self) -> Bytes {
        announcement::of_entry(self.shared.catalog().local()).into()
    }

    fn announce(&mut self) {
        let entry = self.entry();
        // One that is too large goes by sync, as whoever asked for this was told.
        if let Some(outputs) = self.core.tell(entry, Instant::now()) {
            self.perform(outputs);
        }
    }

    /// Asks known peers to be neighbours while there is room: some at once without any, and otherwise one now and then,
    /// so that parts of a network that gossip apart, but know of each other, grow together.
    fn look_around(&mut self) {
        let now = Instant::now();
        let neighbours = self.core.neighbours();
        if neighbours >= ACTIVE_MAX || now < self.join_at {
            return;
        }
        let catalog = self.shared.catalog();
        let bootstrap = self.shared.config.bootstrap.iter().map(|addr| addr.id);
        let unknown = |peer: &PeerId| catalog.get_signed(peer).is_none();
        let mut peers: Vec<PeerId> = catalog.signed_peers().map(|entry| *entry.id()).collect();
        peers.extend(bootstrap.filter(unknown));
        peers.retain(|peer| !self.core.is_wanted(peer));
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
                self.tell_addresses();
                let outputs = self.core.invite(peer, now);
                self.perform(outputs);
            }
        }
    }

    fn join(&mut self, peer: PeerId) {
        self.tell_addresses();
        let outputs = self.core.join(peer);
        self.perform(outputs);
    }

    /// Has peers told from now on where this node is.
    fn tell_addresses(&mut self) {
        let catalog = self.shared.catalog();
        let addrs = catalog.local().address().addrs.iter().copied();
        self.core.set_own_data(Addresses::encode(addrs));
    }

    async fn depart(&mut self) {
        let _ = timeout(FORMER_TIMEOUT, self.connections.flush_former()).await;
        let version = self.shared.catalog().local().update_version();
        let departure = Departure::new(&self.shared.key, version, now_ms());
        // Whoever took this node in may not have been heard of it yet.
        let open = self.connections.open();
        let outputs = self.core.quit(&departure.encode().into(), open);
        self.gossip.neighbours.store(0, Ordering::Relaxed);
        for output in outputs {
            if let Output::Send(to, message) = output {
                // Whoever cannot be told finds out otherwise.
                let _ = self.connections.send(&message, EndpointAddr::from(to));
            }
        }
        let _ = timeout(FAREWELL_TIMEOUT, self.connections.flush()).await;
    }
}
