//! Discovery of the nodes of a network: every node keeps a catalog of the signed entries of all others, syncs it with each
//! peer that it connects to, and announces its own entry whenever it changes.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use mosaik_streams::{EndpointAddr, Network, discovery};
//!
//! let peer: EndpointAddr = std::env::var("PEER")?.parse()?;
//! let network = Network::builder("my-network")
//!     .with_discovery(discovery::Config::builder().with_bootstrap(peer).with_tags("desk"))
//!     .build()
//!     .await?;
//! let mut events = network.discovery().events();
//! println!("{:?}", events.recv().await?);
//! # Ok(())
//! # }
//! ```

mod announce;
mod bootstrap;
mod catalog;
mod config;
mod event;
mod eviction;
mod exchanges;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod gossip;
mod handle;
mod jobs;
mod lan;
mod lives;
mod names;
mod ping;
mod problems;
mod received;
mod shared;
mod store;
mod sync;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_full;
#[cfg(test)]
mod tests_wire;
mod wire;

pub use catalog::Catalog;
pub use config::{Config, ConfigBuilder, ConfigError, ConfigError as ConfigBuilderError};
pub use event::Event;
pub use handle::Discovery;
pub(crate) use handle::Hold;
pub use names::MAX_NAME_LEN;
pub use problems::Problem;
pub use store::{MAX_CATALOG_LEN, MAX_ENTRY_LEN, MAX_PEERS, Refusal};
pub use sync::{SyncError, SyncError as Error};

pub use crate::peer::{
    Generation, InvalidSignature, MAX_TICKETS_JUDGED, PeerEntry, PeerEntryVersion, SignedPeerEntry,
};
