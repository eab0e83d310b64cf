//! What Mosaik 0.3.13 names and shapes in its own way.

use std::net::SocketAddr;

use iroh_relay::server::{AccessConfig, Limits, RelayConfig, ServerConfig};
use mosaik::{
    PeerId, discovery,
    tickets::{Expiration, Hs256, JwtTicketBuilder, Ticket},
};

/// What a requirement looks at.
pub use discovery::PeerEntry as Asked;

/// Settings that keep the node off public directories.
pub fn discovery() -> discovery::ConfigBuilder {
    discovery::Config::builder().no_auto_bootstrap()
}

/// A relay without TLS.
pub fn relay(addr: SocketAddr) -> ServerConfig<std::io::Error> {
    ServerConfig {
        relay: Some(RelayConfig {
            http_bind_addr: addr,
            tls: None,
            limits: Limits::default(),
            key_cache_capacity: None,
            access: AccessConfig::Everyone,
        }),
        quic: None,
        metrics_addr: None,
    }
}

pub fn ticket(key: Hs256, issuer: String, subject: &PeerId, expiration: Expiration) -> Ticket {
    JwtTicketBuilder::new(key)
        .issuer(issuer)
        .build(subject, expiration)
}
