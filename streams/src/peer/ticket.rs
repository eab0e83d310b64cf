//! [`Ticket`]: a credential in a node's entry. No I/O.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::UniqueId;

/// Identifies the validator that a ticket is meant for.
pub type TicketClass = UniqueId;

/// A credential that a node publishes in its entry: opaque bytes of a class, for a validator of that class.
///
/// Every node of the network can read it. It must therefore not be usable by others; a [`Jwt`](crate::tickets::Jwt) names the
/// node that may present it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket {
    /// Identifies the validator.
    pub class: TicketClass,
    /// The data for the validator.
    pub data: Bytes,
}

impl Ticket {
    /// Creates a ticket of `class`.
    pub fn new(class: impl Into<TicketClass>, data: impl Into<Bytes>) -> Self {
        Self {
            class: class.into(),
            data: data.into(),
        }
    }

    /// Returns the id of the ticket, derived from its class and data.
    pub fn id(&self) -> UniqueId {
        self.class.derive(&self.data)
    }

    /// Returns the data for the validator.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

/// Omits the data.
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
