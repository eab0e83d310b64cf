//! What Mosaik 0.4.2 names and shapes in its own way.

use std::net::SocketAddr;

use iroh_relay::server::{RelayConfig, ServerConfig};
use mosaik::{
    PeerId, discovery,
    tickets::{Expiration, Hs256, JwtTicketBuilder, Ticket},
};

/// What a requirement looks at.
pub use discovery::PeerInfo as Asked;

/// Settings that keep the node off public directories.
pub fn discovery() -> discovery::ConfigBuilder {
    discovery::Config::builder().no_dht_bootstrap()
}

/// A relay without TLS.
pub fn relay(addr: SocketAddr) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.relay = Some(RelayConfig::new(addr));
    config
}

pub fn ticket(key: Hs256, issuer: String, subject: &PeerId, expiration: Expiration) -> Ticket {
    let builder = JwtTicketBuilder::new(key).issuer(issuer);
    builder.expires_at(expiration).build(subject)
}
