//! The wire form of a ticket: something that a node carries in its entry to show what it may do. No I/O.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::UniqueId;

/// Says which validator understands a ticket.
pub type TicketClass = UniqueId;

/// What a node carries in its entry to show what it may do: opaque bytes of a class that a validator understands.
///
/// Everyone on the network sees it. What is good for whoever holds it does not belong in one; a [`Jwt`](super::Jwt)
/// names the node that may show it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket {
    /// Which validator understands it.
    pub class: TicketClass,
    /// What the validator reads.
    pub data: Bytes,
}

impl Ticket {
    /// A ticket of `class`.
    pub fn new(class: impl Into<TicketClass>, data: impl Into<Bytes>) -> Self {
        Self {
            class: class.into(),
            data: data.into(),
        }
    }

    /// What the ticket is known by: its class derived by its data.
    pub fn id(&self) -> UniqueId {
        self.class.derive(&self.data)
    }

    /// What the validator reads.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

/// Without the data, which is long and tells people nothing.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Ticket({} of class {}, {} bytes)",
            self.id(),
            self.class,
            self.data.len()
        )
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}, {} bytes)", self.class, self.data.len())
    }
}
