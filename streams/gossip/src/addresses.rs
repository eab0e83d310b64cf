//! [`Addresses`]: how a peer is reached.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::wire::PeerData;

/// The maximum number of addresses of one peer that are taken from gossip.
const ADDRESSES_MAX: usize = 8;

/// The addresses of a node, as encoded by iroh-gossip.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    relay: Option<String>,
    direct: Vec<SocketAddr>,
}

impl Addresses {
    /// Encodes the first eight addresses.
    pub fn encode(addrs: impl IntoIterator<Item = SocketAddr>) -> PeerData {
        let this = Self {
            relay: None,
            direct: addrs.into_iter().take(ADDRESSES_MAX).collect(),
        };
        let bytes = postcard::to_stdvec(&this).expect("postcard knows addresses");
        PeerData(bytes.into())
    }

    /// Returns no addresses for invalid data.
    pub fn decode(data: &PeerData) -> Vec<SocketAddr> {
        let addresses: Self = postcard::from_bytes(&data.0).unwrap_or_default();
        let usable = |addr: &SocketAddr| addr.port() != 0 && !addr.ip().is_unspecified();
        let direct = addresses.direct.into_iter().filter(usable);
        direct.take(ADDRESSES_MAX).collect()
    }
}
