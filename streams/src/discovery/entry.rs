//! What a node says about itself, and the signature that proves it did. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::address::Transport;
use crate::{
    EndpointAddr, NetworkId, PeerId, SecretKey, Signature, StreamId, Tag, UniqueId,
    tickets::{Expiration, InvalidTicket, Ticket, TicketClass, TicketValidator},
};

/// Which generation of Mosaik a network speaks. They differ in the layout of entries alone, and neither reads the
/// other's: a node passes on only entries of its own generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Generation {
    /// Mosaik 0.3. The default.
    #[default]
    V0_3,
    /// Mosaik 0.4, whose entries also list functions.
    V0_4,
}

impl Generation {
    /// The version that an entry of the local node names.
    const fn protocol(self) -> semver::Version {
        match self {
            Self::V0_3 => semver::Version::new(0, 3, 13),
            Self::V0_4 => semver::Version::new(0, 4, 2),
        }
    }
}

/// The most tickets of one class that a validator is asked about: a stranger's entry has room for a thousand, each of
/// which may cost a check of its signature.
pub const MAX_TICKETS_JUDGED: usize = 64;

/// Milliseconds since 1970, of now.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// 1970 for what no calendar reaches.
fn time(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// Which of two entries of a peer is newer: the one of its later life, or of its later change. Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PeerEntryVersion {
    pub(super) started_ms: i64,
    pub(super) updated_ms: i64,
}

impl PeerEntryVersion {
    /// When the peer started.
    pub fn started_at(&self) -> DateTime<Utc> {
        time(self.started_ms)
    }

    /// When the peer last renewed its entry.
    pub fn updated_at(&self) -> DateTime<Utc> {
        time(self.updated_ms)
    }
}

/// What a node says about itself: where it is, what it offers, and how it is marked.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerEntry {
    pub(super) protocol: semver::Version,
    pub(super) network: NetworkId,
    pub(super) version: PeerEntryVersion,
    /// What this implementation understands of `transports`.
    pub(super) address: EndpointAddr,
    /// As they came: the order and the unknown ones are part of what was signed.
    pub(super) transports: Vec<Transport>,
    pub(super) tags: BTreeSet<Tag>,
    /// Shared by copies: each connection keeps one, and a node may have thousands of streams and connections.
    pub(super) streams: Arc<BTreeSet<StreamId>>,
    pub(super) groups: BTreeSet<UniqueId>,
    /// Only in the layout of Mosaik 0.4 and later.
    pub(super) functions: Option<BTreeSet<UniqueId>>,
    pub(super) tickets: BTreeMap<UniqueId, Ticket>,
}

impl PeerEntry {
    /// An entry without tags, streams and tickets, started now.
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

    /// Whose entry it is.
    pub const fn id(&self) -> &PeerId {
        &self.address.id
    }

    /// The network the peer is part of.
    pub const fn network_id(&self) -> &NetworkId {
        &self.network
    }

    /// Where the peer can be reached.
    pub const fn address(&self) -> &EndpointAddr {
        &self.address
    }

    /// The version of the protocols that the peer speaks.
    pub const fn protocol_version(&self) -> &semver::Version {
        &self.protocol
    }

    /// How the peer marks itself.
    pub const fn tags(&self) -> &BTreeSet<Tag> {
        &self.tags
    }

    /// The streams that the peer produces.
    pub fn streams(&self) -> &BTreeSet<StreamId> {
        &self.streams
    }

    /// The groups of Mosaik that the peer is in; this implementation has none of its own.
    pub const fn groups(&self) -> &BTreeSet<UniqueId> {
        &self.groups
    }

    /// What the peer carries to show what it may do, by ticket id.
    pub const fn tickets(&self) -> &BTreeMap<UniqueId, Ticket> {
        &self.tickets
    }

    /// The tickets of a class.
    pub fn tickets_of(&self, class: TicketClass) -> impl Iterator<Item = &Ticket> {
        self.tickets
            .values()
            .filter(move |ticket| ticket.class == class)
    }

    /// The tickets of a class whose data is found good.
    pub fn valid_tickets(
        &self,
        class: TicketClass,
        is_valid: impl Fn(&[u8]) -> bool,
    ) -> impl Iterator<Item = &Ticket> {
        self.tickets_of(class)
            .filter(move |ticket| is_valid(&ticket.data))
    }

    /// Whether a ticket of a class is found good.
    pub fn has_valid_ticket(&self, class: TicketClass, is_valid: impl Fn(&[u8]) -> bool) -> bool {
        self.valid_tickets(class, is_valid).next().is_some()
    }

    /// Until when the peer has a good ticket: of those that are, the one that is for longest. At most
    /// [`MAX_TICKETS_JUDGED`] of the validator's class are looked at, in the order of their ids.
    ///
    /// # Errors
    /// When it has none.
    pub fn validate_ticket(
        &self,
        validator: &dyn TicketValidator,
    ) -> Result<Expiration, InvalidTicket> {
        self.tickets_of(validator.class())
            .take(MAX_TICKETS_JUDGED)
            .filter_map(|ticket| validator.validate(&ticket.data, self).ok())
            .max()
            .ok_or(InvalidTicket)
    }

    /// Until when the peer has a good ticket for each validator; `None` when there are no validators.
    ///
    /// # Errors
    /// When it has none for one of them.
    pub fn validate_tickets(
        &self,
        validators: &[impl AsRef<dyn TicketValidator>],
    ) -> Result<Option<Expiration>, InvalidTicket> {
        let mut earliest = None;
        for validator in validators {
            let until = self.validate_ticket(validator.as_ref())?;
            earliest = Some(earliest.map_or(until, |earliest: Expiration| earliest.min(until)));
        }
        Ok(earliest)
    }

    /// Which life and change of the peer it is of.
    pub const fn update_version(&self) -> PeerEntryVersion {
        self.version
    }

    /// Whether it is of a later life or change of the peer than `other`.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.version > other.version
    }

    /// When the peer started.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.version.started_at()
    }

    /// When the peer last renewed it.
    pub fn updated_at(&self) -> DateTime<Utc> {
        self.version.updated_at()
    }

    /// How long ago, by this node's clock, the peer says that it started.
    pub fn uptime(&self) -> Duration {
        let uptime = now_ms().saturating_sub(self.version.started_ms);
        Duration::from_millis(u64::try_from(uptime).unwrap_or(0))
    }

    /// The same, renewed now: newer than it was even when the clock has not moved.
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

    /// Signs it.
    ///
    /// # Errors
    /// When `key` is not that of the peer whose entry it is.
    pub fn sign(self, key: &SecretKey) -> Result<SignedPeerEntry, InvalidSignature> {
        if key.public() != self.address.id {
            return Err(InvalidSignature(self.address.id));
        }
        let (digest, len) = self.digest();
        Ok(SignedPeerEntry {
            signature: key.sign(&digest),
            encoded_len: len,
            entry: self,
        })
    }

    pub(super) fn set_addrs(&mut self, address: EndpointAddr) {
        self.transports = address.addrs.iter().copied().map(Transport::Ip).collect();
        self.address = address;
    }

    /// Which nodes can read it.
    pub(super) const fn generation(&self) -> Generation {
        if self.functions.is_some() {
            Generation::V0_4
        } else {
            Generation::V0_3
        }
    }

    pub(super) fn set_generation(&mut self, generation: Generation) {
        self.protocol = generation.protocol();
        self.functions = match generation {
            Generation::V0_3 => None,
            Generation::V0_4 => Some(BTreeSet::new()),
        };
    }

    /// What is signed, and the length of what it is the hash of.
    fn digest(&self) -> ([u8; 32], usize) {
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

impl From<SignedPeerEntry> for PeerEntry {
    fn from(signed: SignedPeerEntry) -> Self {
        signed.entry
    }
}

impl From<&SignedPeerEntry> for PeerEntry {
    fn from(signed: &SignedPeerEntry) -> Self {
        signed.entry.clone()
    }
}

impl From<&PeerEntry> for PeerId {
    fn from(entry: &PeerEntry) -> Self {
        *entry.id()
    }
}

impl From<&SignedPeerEntry> for PeerId {
    fn from(signed: &SignedPeerEntry) -> Self {
        *signed.id()
    }
}

impl From<&Self> for PeerEntry {
    fn from(entry: &Self) -> Self {
        entry.clone()
    }
}

/// An entry whose signature is not its peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the entry of {0} is not signed by it")]
pub struct InvalidSignature(pub PeerId);

/// An entry with its peer's signature, which has been checked: there is none with a bad one.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SignedPeerEntry {
    entry: PeerEntry,
    signature: Signature,
    #[serde(skip)]
    encoded_len: usize,
}

impl SignedPeerEntry {
    /// The entry without its signature.
    pub fn into_unsigned(self) -> PeerEntry {
        self.entry
    }

    /// The peer's signature over the blake3 hash of the entry's bytes.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Bytes of the entry on the wire, without the signature.
    pub(super) const fn encoded_len(&self) -> usize {
        self.encoded_len
    }
}

impl std::ops::Deref for SignedPeerEntry {
    type Target = PeerEntry;

    fn deref(&self) -> &PeerEntry {
        &self.entry
    }
}

impl fmt::Debug for SignedPeerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.entry, f)
    }
}

impl<'de> Deserialize<'de> for SignedPeerEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Unverified::deserialize(deserializer)?
            .verify()
            .map_err(de::Error::custom)
    }
}

/// A signed entry as it came: checking the signature costs far more than finding out that it is not wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Unverified {
    pub(super) entry: PeerEntry,
    signature: Signature,
}

impl Unverified {
    /// Whether it is this very one.
    pub(super) fn is(&self, known: &SignedPeerEntry) -> bool {
        self.entry == known.entry && self.signature == known.signature
    }

    pub(super) fn verify(self) -> Result<SignedPeerEntry, InvalidSignature> {
        let Self { entry, signature } = self;
        let (digest, encoded_len) = entry.digest();
        if !entry.address.id.verify(&digest, &signature) {
            return Err(InvalidSignature(entry.address.id));
        }
        Ok(SignedPeerEntry {
            entry,
            signature,
            encoded_len,
        })
    }
}

impl From<SignedPeerEntry> for Unverified {
    fn from(signed: SignedPeerEntry) -> Self {
        Self {
            entry: signed.entry,
            signature: signed.signature,
        }
    }
}
