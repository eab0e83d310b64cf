//! The addresses in an entry, including those of transports that this implementation does not support. No I/O.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A way to reach a peer. Unsupported ones are kept unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Transport {
    /// The address of a relay.
    Relay(Box<str>),
    /// A UDP socket address.
    Ip(SocketAddr),
    /// Any other transport.
    Custom(u64, CustomAddress),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CustomAddress {
    Inline(u8, [u8; 30]),
    Heap(Vec<u8>),
}
