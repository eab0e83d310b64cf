//! The messages of iroh-gossip 0.97, as they are on its streams: HyParView's, which keep the swarm together, and
//! PlumTree's, which carry what is told. No I/O.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::PeerId;

/// Bytes of the largest message, without its length: what iroh-gossip takes, less the one byte it does not write.
pub(super) const MAX_MESSAGE_LEN: usize = 4095;
/// What a message adds to the content it carries: two tags, the id, the content's length, scope and round.
const GOSSIP_OVERHEAD: usize = 2 + 32 + 2 + 1 + 3;
/// Bytes of the largest content that a message can carry.
pub(super) const MAX_CONTENT_LEN: usize = MAX_MESSAGE_LEN - GOSSIP_OVERHEAD;
/// IHaves that fit one message.
pub(super) const IHAVES_PER_MESSAGE: usize = (MAX_MESSAGE_LEN - 4) / (32 + 3);
/// Bytes of a peer's addresses, above which they are neither kept nor passed on: eight of them fit a message.
const PEER_DATA_MAX: usize = 400;

/// The blake3 hash of what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct MessageId(pub(super) [u8; 32]);

impl MessageId {
    pub(super) fn of(content: &[u8]) -> Self {
        Self(*blake3::hash(content).as_bytes())
    }
}

/// How a peer can be reached, as its own node encodes it; see [`Addresses`](super::announcement::Addresses).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PeerData(pub(super) Bytes);

/// A peer that others are told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PeerInfo {
    pub(super) id: PeerId,
    pub(super) data: Option<PeerData>,
}

impl PeerInfo {
    /// Without data that is larger than addresses need.
    pub(super) fn bounded(mut self) -> Self {
        self.data = self.data.and_then(PeerData::bounded);
        self
    }
}

impl PeerData {
    /// None if it is larger than addresses need.
    pub(super) fn bounded(self) -> Option<Self> {
        (self.0.len() <= PEER_DATA_MAX).then_some(self)
    }
}

/// One message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    Swarm(Swarm),
    Tree(Tree),
}

/// HyParView: who is whose neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Swarm {
    /// The sender wants to be a neighbour, and others to hear of it.
    Join(Option<PeerData>),
    /// A peer has joined elsewhere; walks at random through the swarm.
    ForwardJoin { peer: PeerInfo, ttl: u16 },
    /// Some peers that `origin` knows, for as many in return; walks at random through the swarm.
    Shuffle {
        origin: PeerId,
        nodes: Vec<PeerInfo>,
        ttl: u16,
    },
    /// The peers in return.
    ShuffleReply { nodes: Vec<PeerInfo> },
    /// The sender wants to be, or now is, a neighbour.
    Neighbor {
        priority: Priority,
        data: Option<PeerData>,
    },
    /// The sender is a neighbour no more. The second field means nothing any longer.
    Disconnect { alive: bool, respond: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Priority {
    /// The sender has no other neighbour.
    High,
    /// Only if there is room.
    Low,
}

/// PlumTree: what is told along a tree of neighbours, and repaired from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Tree {
    /// What is told.
    Gossip {
        id: MessageId,
        content: Bytes,
        scope: Reach,
    },
    /// The sender has it from others; no more of it.
    Prune,
    /// The sender lacks a message, and wants them all from now on.
    Graft { id: Option<MessageId>, round: u16 },
    /// The sender has these.
    IHave(Vec<IHave>),
}

/// How far a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reach {
    /// To all, so many hops so far.
    Swarm(u16),
    /// No further than this.
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

    /// None for what is no message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
