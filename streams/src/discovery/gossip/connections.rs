//! The connections of gossip: which peer is reached over which, who is being dialled, and what waits for it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::debug;

use super::{
    super::shared::Shared,
    connection::{self, Incoming},
    wire::Message,
};
use crate::{
    EndpointAddr, PeerId,
    network::{CloseReason, ConnectError, LinkConn},
};

/// Connections in all, and of one peer: when two dial each other there are two for as long as they last.
const CONNECTIONS_MAX: usize = 64;
const CONNECTIONS_OF_PEER_MAX: usize = 3;
/// Dials at a time.
const DIALS_MAX: usize = 16;
/// Messages that wait for a connection to take them, and for a dial to succeed.
const QUEUE: usize = 128;
const QUEUE_WHILE_DIALLING: usize = 16;
/// How long a connection may be there without the peer being a neighbour.
const UNWANTED_MAX: Duration = Duration::from_secs(5);

struct Connection {
    conn: LinkConn,
    /// Since when the peer is no neighbour, nor about to be one.
    unwanted_since: Option<Instant>,
    /// Until the peer has all that is ever to be said over it.
    is_writing: bool,
}

/// How messages reach a peer.
enum Way {
    Dialling(Vec<Bytes>),
    /// Over the connection of that id.
    Open(u64, mpsc::Sender<Bytes>),
}

/// What has happened.
pub(super) enum Event {
    Message(PeerId, Message),
    /// The peer cannot be reached any more.
    Lost(PeerId),
}

type Dial = BoxFuture<'static, (PeerId, Result<LinkConn, ConnectError>)>;

pub(super) struct Connections {
    shared: Arc<Shared>,
    alpn: &'static [u8],
    open: HashMap<u64, Connection>,
    ways: HashMap<PeerId, Way>,
    dials: FuturesUnordered<Dial>,
    tasks: JoinSet<()>,
    incoming_tx: mpsc::Sender<Incoming>,
    incoming: mpsc::Receiver<Incoming>,
}

impl Connections {
    pub(super) fn new(shared: Arc<Shared>, alpn: &'static [u8]) -> Self {
        // Each connection waits for its own message to be taken, so that none can fill the queue for others.
        let (incoming_tx, incoming) = mpsc::channel(CONNECTIONS_MAX);
        Self {
            shared,
            alpn,
            open: HashMap::new(),
            ways: HashMap::new(),
            dials: FuturesUnordered::new(),
            tasks: JoinSet::new(),
            incoming_tx,
            incoming,
        }
    }

    /// Waits for what happens next. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                // Triggered when a connection brings something or ends. There is a sender here, so it never closes.
                Some(incoming) = self.incoming.recv() => {
                    if let Some(event) = self.on_incoming(incoming) {
                        return event;
                    }
                }
                // Triggered when a dial has succeeded or failed.
                Some((peer, dialled)) = self.dials.next() => {
                    let is_open = match dialled {
                        Ok(conn) => self.add(conn),
                        Err(error) => {
                            debug!(%peer, "gossip not connected: {error}");
                            false
                        }
                    };
                    if !is_open && matches!(self.ways.get(&peer), Some(Way::Dialling(_))) {
                        self.ways.remove(&peer);
                        return Event::Lost(peer);
                    }
                }
                // Triggered when a connection's task is over, which its connection has told already.
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    fn on_incoming(&mut self, incoming: Incoming) -> Option<Event> {
        match incoming {
            Incoming::Message(id, message) => {
                let peer = self.open.get(&id)?.conn.peer();
                Some(Event::Message(peer, message))
            }
            Incoming::Delivered(id) => {
                self.open.get_mut(&id)?.is_writing = false;
                None
            }
            Incoming::Ended(id) => {
                let peer = self.open.remove(&id)?.conn.peer();
                match self.ways.get(&peer) {
                    Some(Way::Open(open, _)) if *open == id => {
                        self.ways.remove(&peer);
                        Some(Event::Lost(peer))
                    }
                    _ => None,
                }
            }
        }
    }

    /// Takes a connection, and sends over it from now on; false if there are too many.
    pub(super) fn add(&mut self, conn: LinkConn) -> bool {
        let (id, peer) = (conn.stable_id(), conn.peer());
        let of_peer = self.open.values().filter(|it| it.conn.peer() == peer);
        if self.open.len() >= CONNECTIONS_MAX || of_peer.count() >= CONNECTIONS_OF_PEER_MAX {
            conn.close(CloseReason::NoCapacity);
            return false;
        }
        let (outgoing, rx) = mpsc::channel(QUEUE);
        let task = connection::run(
            conn.clone(),
            self.shared.network,
            rx,
            self.incoming_tx.clone(),
        );
        self.tasks.spawn(task);
        let unwanted_since = Some(Instant::now());
        let connection = Connection {
            conn,
            unwanted_since,
            is_writing: true,
        };
        self.open.insert(id, connection);
        let waiting = match self.ways.insert(peer, Way::Open(id, outgoing.clone())) {
            Some(Way::Dialling(waiting)) => waiting,
            // What was put into the former connection still goes out.
            _ => Vec::new(),
        };
        for message in waiting {
            // There is room for all that may wait while dialling.
            let _ = outgoing.try_send(message);
        }
        true
    }

    /// Sends a message, dialling at the addresses given and known if need be. A peer that takes too little, or cannot be dialled, is lost.
    #[must_use]
    pub(super) fn send(&mut self, message: &Message, hints: EndpointAddr) -> Option<Event> {
        let to = hints.id;
        let message = Bytes::from(message.encode());
        match self.ways.get_mut(&to) {
            Some(Way::Open(id, outgoing)) => {
                if outgoing.try_send(message).is_ok() {
                    return None;
                }
                if let Some(connection) = self.open.get(id) {
                    connection.conn.close(CloseReason::TooSlow);
                }
                self.ways.remove(&to);
                Some(Event::Lost(to))
            }
            Some(Way::Dialling(waiting)) => {
                if waiting.len() < QUEUE_WHILE_DIALLING {
                    waiting.push(message);
                }
                None
            }
            None => {
                let addr = self.shared.known_address(hints);
                let endpoint = self.shared.endpoint();
                let (Some(addr), Some(endpoint)) = (addr, endpoint) else {
                    return Some(Event::Lost(to));
                };
                if self.dials.len() >= DIALS_MAX {
                    return Some(Event::Lost(to));
                }
                self.ways.insert(to, Way::Dialling(vec![message]));
                let alpn = self.alpn;
                let dial = async move { (to, endpoint.connect_conn(&addr, alpn).await) };
                self.dials.push(Box::pin(dial));
                None
            }
        }
    }

    /// Peers that can be told something without dialling.
    pub(super) fn open(&self) -> Vec<PeerId> {
        let open = self.ways.iter();
        open.filter(|(_, way)| matches!(way, Way::Open(..)))
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// Nothing more will be said to the peer; what was said still goes out.
    pub(super) fn leave(&mut self, peer: &PeerId) {
        if let Some(Way::Open(..)) = self.ways.get(peer) {
            self.ways.remove(peer);
        }
    }

    /// Closes the connections of peers that have not been wanted for a while.
    pub(super) fn sweep(&mut self, is_wanted: impl Fn(&PeerId) -> bool) {
        let now = Instant::now();
        for connection in self.open.values_mut() {
            if is_wanted(&connection.conn.peer()) {
                connection.unwanted_since = None;
                continue;
            }
            let since = *connection.unwanted_since.get_or_insert(now);
            if now.duration_since(since) >= UNWANTED_MAX {
                connection.conn.close(CloseReason::Success);
            }
        }
    }

    /// Waits until peers have what was said to them over connections that others have taken the place of, so that it does
    /// not come after what is said next. Cancel safe.
    pub(super) async fn flush_former(&mut self) {
        while self.is_writing_over(|this, id, peer| match this.ways.get(peer) {
            Some(Way::Open(current, _)) => current != id,
            _ => true,
        }) {
            self.hear().await;
        }
    }

    /// Lets go of all peers, and waits until they have what was said to them, or will not have it. Cancel safe.
    pub(super) async fn flush(&mut self) {
        self.ways.clear();
        self.dials.clear();
        while self.is_writing_over(|_, _, _| true) {
            self.hear().await;
        }
    }

    /// Whether something is still on its way over one of these connections.
    fn is_writing_over(&self, these: impl Fn(&Self, &u64, &PeerId) -> bool) -> bool {
        let mut writing = self.open.iter().filter(|(_, it)| it.is_writing);
        writing.any(|(id, it)| these(self, id, &it.conn.peer()))
    }

    /// Takes note of how connections go on, and of no message.
    async fn hear(&mut self) {
        // There is a sender here, so it never closes.
        if let Some(incoming) = self.incoming.recv().await {
            let _ = self.on_incoming(incoming);
        }
    }
}
