//! The gossip of Mosaik's discovery without I/O: HyParView keeps each node connected to a few neighbours, and PlumTree
//! broadcasts messages over them. Compatible with iroh-gossip 0.97 on the wire.
//!
//! A [`Node`] is a state machine, as in quinn-proto: the caller gives it messages, events and the time, and performs the
//! [`Output`]s that it returns. It opens no connections and reads no clock, so a test can run hundreds of nodes with
//! simulated time.
//!
//! ```
//! use std::time::Instant;
//!
//! use mosaik_gossip::{Message, Node, Output, Verdict};
//!
//! let now = Instant::now();
//! let (mut one, mut two) = (Node::new(1u64, 1, now), Node::new(2u64, 2, now));
//! for output in one.join(2) {
//!     if let Output::Send(2, message) = output {
//!         let received = Message::decode(&message.encode()).expect("it is a message");
//!         two.on_message(1, received, now, |_| Verdict::Forward);
//!     }
//! }
//! assert_eq!(two.neighbours(), 1);
//! ```

mod addresses;
mod broadcast;
mod membership;
mod node;
mod random;
#[cfg(test)]
mod tests;
mod wire;

use std::{fmt::Debug, hash::Hash};

pub use addresses::Addresses;
pub use broadcast::Verdict;
pub use membership::ACTIVE_MAX;
pub use node::{Node, Output};
pub use random::Random;
pub use wire::{
    IHave, MAX_CONTENT_LEN, MAX_MESSAGE_LEN, Message, MessageId, PeerData, PeerInfo, Priority,
    Scope, Swarm, Tree,
};

/// The id of a node. Implemented for every small value with an order.
pub trait PeerId: Copy + Ord + Hash + Debug {}

impl<T: Copy + Ord + Hash + Debug> PeerId for T {}
