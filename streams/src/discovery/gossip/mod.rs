//! `/mosaik/discovery/announce/1.0`: broadcasts changes with iroh-gossip's protocol, with the network as topic. Each
//! node talks to a few neighbours only.
//!
//! It is fast and gives no guarantee of delivery: syncs deliver what gossip misses. The protocol is in the crate
//! `mosaik-gossip`; this is its driver, which holds the connections.

mod announcement;
mod connection;
mod connections;
mod driver;
mod handle;
mod intake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_net;

pub(super) use driver::run;
pub(super) use handle::Gossip;

pub(super) const ALPN: &[u8] = b"/mosaik/discovery/announce/1.0";

/// A message of the protocol.
type Message = mosaik_gossip::Message<crate::PeerId>;
