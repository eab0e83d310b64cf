//! [`PeerEntry`]: the public description of a node. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    address::Transport,
    ticket::{Ticket, TicketClass},
};
use crate::{EndpointAddr, NetworkId, PeerId, StreamId, Tag, UniqueId, primitives::Short};

/// The generation of Mosaik that a network uses. Generations differ in the layout of entries only, and cannot read each
/// other's. A node forwards entries of its own generation only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Generation {
    /// Mosaik 0.3. The default.
    #[default]
    V0_3,
    /// Mosaik 0.4. Entries also list functions.
    V0_4,
}

impl Generation {
    /// The protocol version in the entry of the local node.
    const fn protocol(self) -> semver::Version {
        match self {
            Self::V0_3 => semver::Version::new(0, 3, 13),
            Self::V0_4 => semver::Version::new(0, 4, 2),
        }
    }
}

/// Returns the current time in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns 1970 for a time that the calendar cannot represent.
fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// The version of a peer's entry, in milliseconds since 1970. Ordered by the start of the peer, then by the last
/// change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerEntryVersion {
    pub(crate) started_ms: i64,
    pub(crate) updated_ms: i64,
}

impl PeerEntryVersion {
    /// Returns the time at which the peer started.
    pub fn started_at(&self) -> DateTime<Utc> {
        time(self.started_ms)
    }

    /// Returns the time at which the peer last renewed its entry.
    pub fn updated_at(&self) -> DateTime<Utc> {
        time(self.updated_ms)
    }
}

/// The entry of a node: its addresses, streams, tags and tickets.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerEntry {
    pub(crate) protocol: semver::Version,
    pub(crate) network: NetworkId,
    pub(crate) version: PeerEntryVersion,
    /// The part of `transports` that this implementation supports.
    pub(crate) address: EndpointAddr,
    /// As received: the signature covers the order and unsupported transports.
    pub(crate) transports: Vec<Transport>,
    pub(crate) tags: BTreeSet<Tag>,
    /// Shared between copies: each connection keeps one, and a node may have thousands of streams and connections.
    pub(crate) streams: Arc<BTreeSet<StreamId>>,
    pub(crate) groups: BTreeSet<UniqueId>,
    /// Only in the layout of Mosaik 0.4 and later.
    pub(crate) functions: Option<BTreeSet<UniqueId>>,
    pub(crate) tickets: BTreeMap<UniqueId, Ticket>,
}

impl PeerEntry {
    /// Creates an entry without tags, streams and tickets, started now.
    pub fn new(network_id: impl Into<NetworkId>, address: EndpointAddr) -> Self {
        let now = now_ms();
        let transports = address.addrs.iter().copied().map(Transport::Ip).collect();
        Self {
            protocol: Generation::V0_3.protocol(),
            network: network_id.into(),
            version: PeerEntryVersion {
                started_ms: now,
                updated_ms: now,
            },
            address,
            transports,
            tags: BTreeSet::new(),
            streams: Arc::default(),
            groups: BTreeSet::new(),
            functions: None,
            tickets: BTreeMap::new(),
        }
    }

    /// Returns the id of the peer.
    pub const fn id(&self) -> &PeerId {
        &self.address.id
    }

    /// Returns the network of the peer.
    pub const fn network_id(&self) -> &NetworkId {
        &self.network
    }

    /// Returns the address of the peer.
    pub const fn address(&self) -> &EndpointAddr {
        &self.address
    }

    /// Returns the protocol version of the peer.
    pub const fn protocol_version(&self) -> &semver::Version {
        &self.protocol
    }

    /// Returns the tags of the peer.
    pub const fn tags(&self) -> &BTreeSet<Tag> {
        &self.tags
    }

    /// Returns the streams that the peer produces.
    pub fn streams(&self) -> &BTreeSet<StreamId> {
        &self.streams
    }

    /// Returns the Mosaik groups that the peer belongs to. This implementation does not support groups.
    pub const fn groups(&self) -> &BTreeSet<UniqueId> {
        &self.groups
    }

    /// Returns the tickets of the peer by ticket id.
    pub const fn tickets(&self) -> &BTreeMap<UniqueId, Ticket> {
        &self.tickets
    }

    /// Returns the tickets of a class.
    pub fn tickets_of(&self, class: TicketClass) -> impl Iterator<Item = &Ticket> {
        self.tickets
            .values()
            .filter(move |ticket| ticket.class == class)
    }

    /// Returns the tickets of a class whose data `is_valid` accepts.
    pub fn valid_tickets(
        &self,
        class: TicketClass,
        is_valid: impl Fn(&[u8]) -> bool,
    ) -> impl Iterator<Item = &Ticket> {
        self.tickets_of(class)
            .filter(move |ticket| is_valid(&ticket.data))
    }

    /// Returns true if `is_valid` accepts a ticket of the class.
    pub fn has_valid_ticket(&self, class: TicketClass, is_valid: impl Fn(&[u8]) -> bool) -> bool {
        self.valid_tickets(class, is_valid).next().is_some()
    }

    /// Returns the version of the entry.
    pub const fn update_version(&self) -> PeerEntryVersion {
        self.version
    }

    /// Returns true if the entry is newer than `other`.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.version > other.version
    }

    /// Returns the time at which the peer started.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.version.started_at()
    }

    /// Returns the time at which the peer last renewed the entry.
    pub fn updated_at(&self) -> DateTime<Utc> {
        self.version.updated_at()
    }

    /// Returns the time since the peer started, by this node's clock and the peer's own statement.
    pub fn uptime(&self) -> Duration {
        let uptime = now_ms().saturating_sub(self.version.started_ms);
        Duration::from_millis(u64::try_from(uptime).unwrap_or(0))
    }

    /// Returns the entry with a newer version, even if the clock has not advanced.
    #[must_use]
    pub fn renewed(mut self) -> Self {
        self.version.updated_ms = now_ms().max(self.version.updated_ms.saturating_add(1));
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn add_tag(mut self, tag: impl Into<Tag>) -> Self {
        self.tags.insert(tag.into());
        self
    }

    /// Adds a stream.
    #[must_use]
    pub fn add_stream(mut self, stream: impl Into<StreamId>) -> Self {
        Arc::make_mut(&mut self.streams).insert(stream.into());
        self
    }

    /// Adds a ticket.
    #[must_use]
    pub fn add_ticket(mut self, ticket: Ticket) -> Self {
        self.tickets.insert(ticket.id(), ticket);
        self
    }

    pub(crate) fn set_addrs(&mut self, address: EndpointAddr) {
        self.transports = address.addrs.iter().copied().map(Transport::Ip).collect();
        self.address = address;
    }

    /// Returns the generation of nodes that can read the entry.
    pub(crate) const fn generation(&self) -> Generation {
        if self.functions.is_some() {
            Generation::V0_4
        } else {
            Generation::V0_3
        }
    }

    pub(crate) fn set_generation(&mut self, generation: Generation) {
        self.protocol = generation.protocol();
        self.functions = match generation {
            Generation::V0_3 => None,
            Generation::V0_4 => Some(BTreeSet::new()),
        };
    }

    /// Returns the hash that is signed, and the length of the hashed bytes.
    pub(super) fn digest(&self) -> ([u8; 32], usize) {
        let bytes = postcard::to_stdvec(self).expect("an entry has only types that postcard knows");
        (*blake3::hash(&bytes).as_bytes(), bytes.len())
    }
}

impl fmt::Debug for PeerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerEntry")
            .field("address", &self.address)
            .field("network", &self.network)
            .field("version", &self.version)
            .field("tags", &self.tags)
            .field("streams", &self.streams)
            .field("tickets", &self.tickets)
            .finish_non_exhaustive()
    }
}

/// Formats the peer, and its numbers of tags, streams and tickets.
impl fmt::Display for Short<&PeerEntry> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tags, streams) = (self.0.tags().len(), self.0.streams().len());
        write!(
            f,
            "{} ({tags} tags, {streams} streams, {} tickets)",
            Short(self.0.id()),
            self.0.tickets().len()
        )
    }
}

impl From<&PeerEntry> for PeerId {
    fn from(entry: &PeerEntry) -> Self {
        *entry.id()
    }
}

impl From<&Self> for PeerEntry {
    fn from(entry: &Self) -> Self {
        entry.clone()
    }
}
