//! The messages of iroh-gossip 0.97 as sent on its streams: those of HyParView, which maintain the neighbours, and those
//! of PlumTree, which carry the content. No I/O.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::PeerId;

/// The maximum length of a message in bytes, without its length prefix: iroh-gossip's maximum less one byte that it
/// never uses.
pub(super) const MAX_MESSAGE_LEN: usize = 4095;
/// The bytes that a message adds to its content: two tags, the id, the content's length, scope and round.
const GOSSIP_OVERHEAD: usize = 2 + 32 + 2 + 1 + 3;
/// The maximum length of the content of a message in bytes.
pub(super) const MAX_CONTENT_LEN: usize = MAX_MESSAGE_LEN - GOSSIP_OVERHEAD;
/// The number of IHaves that fit into one message.
pub(super) const IHAVES_PER_MESSAGE: usize = (MAX_MESSAGE_LEN - 4) / (32 + 3);
/// The maximum length of a peer's addresses in bytes. Larger ones are neither kept nor forwarded. Eight of them fit
/// into a message.
const PEER_DATA_MAX: usize = 400;

/// The blake3 hash of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct MessageId(pub(super) [u8; 32]);

impl MessageId {
    pub(super) fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }
}

/// The addresses of a peer, encoded by the peer itself; see [`Addresses`](super::announcement::Addresses).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PeerData(pub(super) Bytes);

/// A peer as reported to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PeerInfo {
    pub(super) id: PeerId,
    pub(super) data: Option<PeerData>,
}

impl PeerInfo {
    /// Removes addresses that are too large.
    pub(super) fn bounded(mut self) -> Self {
        self.data = self.data.and_then(PeerData::bounded);
        self
    }
}

impl PeerData {
    /// Returns `None` if the addresses are too large.
    pub(super) fn bounded(self) -> Option<Self> {
        (self.0.len() <= PEER_DATA_MAX).then_some(self)
    }
}

/// A message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    Swarm(Swarm),
    Tree(Tree),
}

/// HyParView messages, which maintain the neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Swarm {
    /// The sender wants to become a neighbour, and asks to forward that.
    Join(Option<PeerData>),
    /// A peer has joined at another node. Forwarded on a random walk.
    ForwardJoin { peer: PeerInfo, ttl: u16 },
    /// Some peers that `origin` knows, in exchange for as many others. Forwarded on a random walk.
    Shuffle {
        origin: PeerId,
        nodes: Vec<PeerInfo>,
        ttl: u16,
    },
    /// The peers in exchange.
    ShuffleReply { nodes: Vec<PeerInfo> },
    /// The sender wants to become a neighbour, or now is one.
    Neighbor {
        priority: Priority,
        data: Option<PeerData>,
    },
    /// The sender is no longer a neighbour. The second field is obsolete.
    Disconnect { alive: bool, respond: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Priority {
    /// The sender has no other neighbour.
    High,
    /// Only if there is room.
    Low,
}

/// PlumTree messages, which carry content along a tree of neighbours and repair the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Tree {
    /// The content.
    Gossip {
        id: MessageId,
        content: Bytes,
        scope: Reach,
    },
    /// The sender receives the messages from other nodes; send ids only from now on.
    Prune,
    /// The sender lacks a message, and wants the content of all messages from now on.
    Graft { id: Option<MessageId>, round: u16 },
    /// The sender has these messages.
    IHave(Vec<IHave>),
}

/// The scope of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reach {
    /// To all nodes; the number of hops so far.
    Swarm(u16),
    /// To neighbours only.
    Neighbors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IHave {
    pub(super) id: MessageId,
    pub(super) round: u16,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a message has only types that postcard knows")
    }

    /// Returns `None` for an invalid message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
