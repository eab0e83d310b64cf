//! `/mosaik/discovery/announce/1.0`: what changes is told to all at once, over iroh-gossip's protocol with the network as
//! its topic. Every node talks to a few neighbours only.
//!
//! It is quick, and promises nothing: what it does not carry, syncs do.

mod announcement;
mod broadcast;
mod connection;
mod connections;
mod core;
mod driver;
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

pub(super) use driver::{Gossip, run};

pub(super) const ALPN: &[u8] = b"/mosaik/discovery/announce/1.0";
