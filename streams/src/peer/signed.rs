//! [`SignedPeerEntry`]: an entry with a verified signature. No I/O.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::entry::PeerEntry;
use crate::{PeerId, SecretKey, Signature, primitives::Short};

/// The signature of an entry is not its peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the entry of {0} does not have its signature")]
pub struct InvalidSignature(pub PeerId);

/// An entry with its peer's verified signature. An instance with an invalid signature cannot exist.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SignedPeerEntry {
    entry: PeerEntry,
    signature: Signature,
    #[serde(skip)]
    encoded_len: usize,
}

impl SignedPeerEntry {
    /// Returns the entry without its signature.
    pub fn into_unsigned(self) -> PeerEntry {
        self.entry
    }

    /// Returns the peer's signature over the blake3 hash of the entry's bytes.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Returns the number of bytes of the entry on the wire, without the signature.
    pub(crate) const fn encoded_len(&self) -> usize {
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

impl PeerEntry {
    /// Signs the entry.
    ///
    /// # Errors
    /// Fails if `key` is not the key of the entry's peer.
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
}

impl fmt::Display for Short<&SignedPeerEntry> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Short::<&PeerEntry>(self.0).fmt(f)
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

impl From<&SignedPeerEntry> for PeerId {
    fn from(signed: &SignedPeerEntry) -> Self {
        *signed.id()
    }
}

/// A received entry before verification: verifying the signature costs far more than finding that the entry is not
/// wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Unverified {
    pub(crate) entry: PeerEntry,
    signature: Signature,
}

impl Unverified {
    /// Returns true if both are identical, including the signature.
    pub(crate) fn is(&self, known: &SignedPeerEntry) -> bool {
        self.entry == known.entry && self.signature == known.signature
    }

    pub(crate) fn verify(self) -> Result<SignedPeerEntry, InvalidSignature> {
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
