//! The messages of iroh-gossip 0.97 as sent on its streams: those of HyParView, which maintain the neighbours, and those
//! of PlumTree, which carry the content.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The maximum length of a message in bytes, without its length prefix: iroh-gossip's maximum less one byte that it
/// never uses.
pub const MAX_MESSAGE_LEN: usize = 4095;
/// The bytes that a message adds to its content: two tags, the id, the content's length, scope and round.
const GOSSIP_OVERHEAD: usize = 2 + 32 + 2 + 1 + 3;
/// The maximum length of the content of a message in bytes.
pub const MAX_CONTENT_LEN: usize = MAX_MESSAGE_LEN - GOSSIP_OVERHEAD;
/// The number of IHaves that fit into one message.
pub(crate) const IHAVES_PER_MESSAGE: usize = (MAX_MESSAGE_LEN - 4) / (32 + 3);
/// The maximum length of a peer's addresses in bytes. Larger ones are neither kept nor forwarded. Eight of them fit
/// into a message.
const PEER_DATA_MAX: usize = 400;

/// The blake3 hash of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId(pub [u8; 32]);

impl MessageId {
    /// Returns the id of a message with this content.
    pub fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }
}

/// The addresses of a peer, encoded by the peer itself; see [`Addresses`](crate::Addresses).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerData(pub Bytes);

/// A peer as reported to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo<Id> {
    /// The id of the peer.
    pub id: Id,
    /// Its addresses, if they are known.
    pub data: Option<PeerData>,
}

impl<Id> PeerInfo<Id> {
    /// Removes addresses that are too large.
    pub(crate) fn bounded(mut self) -> Self {
        self.data = self.data.and_then(PeerData::bounded);
        self
    }
}

impl PeerData {
    /// Returns `None` if the addresses are too large.
    pub(crate) fn bounded(self) -> Option<Self> {
        (self.0.len() <= PEER_DATA_MAX).then_some(self)
    }
}

/// A message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message<Id> {
    /// Maintains the neighbours.
    Swarm(Swarm<Id>),
    /// Carries content.
    Tree(Tree),
}

/// HyParView messages, which maintain the neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Swarm<Id> {
    /// The sender wants to become a neighbour, and asks to forward that.
    Join(Option<PeerData>),
    /// A peer has joined at another node. Forwarded on a random walk.
    ForwardJoin {
        /// The peer that joins.
        peer: PeerInfo<Id>,
        /// The number of hops left.
        ttl: u16,
    },
    /// Some peers that `origin` knows, in exchange for as many others. Forwarded on a random walk.
    Shuffle {
        /// The peer that started the exchange.
        origin: Id,
        /// The peers that it knows.
        nodes: Vec<PeerInfo<Id>>,
        /// The number of hops left.
        ttl: u16,
    },
    /// The peers in exchange.
    ShuffleReply {
        /// As many peers as were received, if there are as many.
        nodes: Vec<PeerInfo<Id>>,
    },
    /// The sender wants to become a neighbour, or now is one.
    Neighbor {
        /// Whether another neighbour must make room.
        priority: Priority,
        /// The addresses of the sender.
        data: Option<PeerData>,
    },
    /// The sender is no longer a neighbour.
    Disconnect {
        /// True if the sender stays reachable.
        alive: bool,
        /// Obsolete.
        respond: bool,
    },
}

/// The urgency of becoming a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Priority {
    /// The sender has no other neighbour.
    High,
    /// Only if there is room.
    Low,
}

/// PlumTree messages, which carry content along a tree of neighbours and repair the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tree {
    /// The content.
    Gossip {
        /// The hash of the content.
        id: MessageId,
        /// The content.
        content: Bytes,
        /// How far the message goes.
        scope: Scope,
    },
    /// The sender receives the messages from other nodes; send ids only from now on.
    Prune,
    /// The sender lacks a message, and wants the content of all messages from now on.
    Graft {
        /// The message that it lacks.
        id: Option<MessageId>,
        /// The number of hops after which the receiver announced it.
        round: u16,
    },
    /// The sender has these messages.
    IHave(Vec<IHave>),
}

/// The scope of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// To all nodes; the number of hops so far.
    Swarm(u16),
    /// To neighbours only.
    Neighbors,
}

/// A message that the sender has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IHave {
    /// The id of the message.
    pub id: MessageId,
    /// The number of hops after which the sender received it.
    pub round: u16,
}

impl<Id: Serialize> Message<Id> {
    /// Returns the bytes of the message, without a length.
    ///
    /// # Panics
    /// Panics if the id cannot be serialized.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a message has only types that postcard knows")
    }
}

impl<Id: DeserializeOwned> Message<Id> {
    /// Returns `None` for an invalid message.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
