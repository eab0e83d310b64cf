//! The gossip connections: the connection used for each peer, dials in progress, and messages that wait for them.

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
    Message,
    connection::{self, Incoming},
};
use crate::{
    EndpointAddr, PeerId,
    net::{CloseReason, ConnectError, LinkConn},
};

/// The maximum number of connections, in total and per peer. Two peers that dial each other have two connections for a
/// while.
const CONNECTIONS_MAX: usize = 64;
const CONNECTIONS_OF_PEER_MAX: usize = 3;
/// The maximum number of dials at a time.
const DIALS_MAX: usize = 16;
/// The maximum number of messages that wait for a connection, and for a dial.
const QUEUE: usize = 128;
const QUEUE_WHILE_DIALLING: usize = 16;
/// The time for which a connection to a peer that is not a neighbour stays open.
const UNWANTED_MAX: Duration = Duration::from_secs(5);

struct Connection {
    conn: LinkConn,
    /// The time since which the peer is not a neighbour, nor about to become one.
    unwanted_since: Option<Instant>,
    /// True until the peer has received everything that will be sent over the connection.
    is_writing: bool,
}

/// The route of messages to a peer.
enum Way {
    Dialling(Vec<Bytes>),
    /// Over the connection with this id.
    Open(u64, mpsc::Sender<Bytes>),
}

/// An event of the connections.
pub(super) enum Event {
    Message(PeerId, Message),
    /// The peer can no longer be reached.
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
        // Each connection waits until its message is taken, so that none can fill the queue for others.
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

    /// Waits for the next event. Cancel safe.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                // Triggered by an event of a connection. `self` holds a sender, so the channel never closes.
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
                            debug!(%peer, "failed to connect for gossip: {error}");
                            false
                        }
                    };
                    if !is_open && matches!(self.ways.get(&peer), Some(Way::Dialling(_))) {
                        self.ways.remove(&peer);
                        return Event::Lost(peer);
                    }
                }
                // Triggered when the task of a connection ends, which the connection has already reported.
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

    /// Adds a connection and uses it from now on. Returns false if there are too many.
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
            // Messages queued for the previous connection are still sent over it.
            _ => Vec::new(),
        };
        for message in waiting {
            // The queue has room for all messages that may wait during a dial.
            let _ = outgoing.try_send(message);
        }
        true
    }

    /// Sends a message, and dials the given and known addresses if necessary. Returns [`Event::Lost`] if the peer reads
    /// too slowly or cannot be dialled.
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

    /// Returns the peers that can be sent a message without dialling.
    pub(super) fn open(&self) -> Vec<PeerId> {
        let open = self.ways.iter();
        open.filter(|(_, way)| matches!(way, Way::Open(..)))
            .map(|(peer, _)| *peer)
            .collect()
    }

    /// Stops sending to the peer. Queued messages are still sent.
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

    /// Waits until peers have received the messages sent over replaced connections, so that these do not arrive after
    /// later ones. Cancel safe.
    pub(super) async fn flush_former(&mut self) {
        while self.is_writing_over(|this, id, peer| match this.ways.get(peer) {
            Some(Way::Open(current, _)) => current != id,
            _ => true,
        }) {
            self.hear().await;
        }
    }

    /// Stops sending to all peers, and waits until they have received the queued messages or failed. Cancel safe.
    pub(super) async fn flush(&mut self) {
        self.ways.clear();
        self.dials.clear();
        while self.is_writing_over(|_, _, _| true) {
            self.hear().await;
        }
    }

    /// Returns true if one of the selected connections still has messages to deliver.
    fn is_writing_over(&self, these: impl Fn(&Self, &u64, &PeerId) -> bool) -> bool {
        let mut writing = self.open.iter().filter(|(_, it)| it.is_writing);
        writing.any(|(id, it)| these(self, id, &it.conn.peer()))
    }

    /// Processes the next event of a connection, except for messages.
    async fn hear(&mut self) {
        // `self` holds a sender, so the channel never closes.
        if let Some(incoming) = self.incoming.recv().await {
            let _ = self.on_incoming(incoming);
        }
    }
}
