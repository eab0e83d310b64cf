//! [`Event`]: a change of the catalog.

use std::fmt;

use crate::{PeerId, peer::PeerEntry, primitives::Short};

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

/// Formats the event and the peer.
impl fmt::Display for Short<&Event> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::PeerDiscovered(entry) => write!(f, "discovered {}", Short(entry)),
            Event::PeerUpdated(entry) => write!(f, "updated {}", Short(entry)),
            Event::PeerDeparted(peer) => write!(f, "departed {}", Short(peer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn peers_and_what_happens_to_them_are_shown_in_short() {
        let peer = SecretKey::from_bytes([7; 32]).public();
        let entry = PeerEntry::new("net", peer.into()).add_tag("a");
        let short = &peer.to_string()[..10];
        assert_eq!(Short(peer).to_string(), short);
        let shown = format!("{short} (1 tags, 0 streams, 0 tickets)");
        assert_eq!(Short(&entry).to_string(), shown);
        assert_eq!(
            Short(&Event::PeerUpdated(entry)).to_string(),
            format!("updated {shown}")
        );
        assert_eq!(
            format!("{:?}", Short(&Event::PeerDeparted(peer))),
            format!("departed {short}")
        );
    }
}
