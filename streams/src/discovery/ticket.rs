//! The wire form of a ticket: something that a node carries in its entry to show what it may do. No I/O.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::UniqueId;

/// What a node carries in its entry to show what it may do: opaque bytes of a class that a validator understands.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket {
    class: UniqueId,
    data: Bytes,
}

impl Ticket {
    /// A ticket of `class`.
    pub fn new(class: impl Into<UniqueId>, data: impl Into<Bytes>) -> Self {
        Self {
            class: class.into(),
            data: data.into(),
        }
    }

    /// What the ticket is known by: its class derived by its data.
    pub fn id(&self) -> UniqueId {
        self.class.derive(&self.data)
    }

    /// Which validator understands it.
    pub const fn class(&self) -> &UniqueId {
        &self.class
    }

    /// What the validator reads.
    pub const fn data(&self) -> &Bytes {
        &self.data
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Ticket({} of class {}, {} bytes)",
            self.id(),
            self.class,
            self.data.len()
        )
    }
}
