//! [`Event`]: a change of the catalog.

use crate::{PeerId, peer::PeerEntry};

/// A change of the catalog.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A peer was added.
    PeerDiscovered(PeerEntry),
    /// A peer changed or renewed its entry.
    PeerUpdated(PeerEntry),
    /// A peer departed, was not renewed within the purge time, or was displaced by others.
    PeerDeparted(PeerId),
}
