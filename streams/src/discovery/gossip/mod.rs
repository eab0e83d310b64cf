//! `/mosaik/discovery/announce/1.0`: broadcasts changes with iroh-gossip's protocol, with the network as topic. Each
//! node talks to a few neighbours only.
//!
//! It is fast and gives no guarantee of delivery: syncs deliver what gossip misses.

mod announcement;
mod broadcast;
mod connection;
mod connections;
mod core;
mod driver;
mod handle;
mod intake;
mod membership;
mod random;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_core;
#[cfg(test)]
mod tests_net;
mod wire;

pub(super) use driver::run;
pub(super) use handle::Gossip;

pub(super) const ALPN: &[u8] = b"/mosaik/discovery/announce/1.0";
