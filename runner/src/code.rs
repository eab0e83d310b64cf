//! [`Code`]: the bytes of a component with their hash.

use bytes::Bytes;

/// The bytes of a component, hashed when they were read. Everything that refers to a component by
/// its hash refers to these bytes, whatever becomes of the file. Cloning only increments a
/// reference count.
#[derive(Clone)]
pub struct Code {
    bytes: Bytes,
    hash: blake3::Hash,
}

impl Code {
    /// Hashes the bytes of a component.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let hash = blake3::hash(&bytes);
        Self { bytes, hash }
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the BLAKE3 hash of the bytes.
    pub const fn hash(&self) -> blake3::Hash {
        self.hash
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code")
            .field("hash", &self.hash.to_hex())
            .field("len", &self.bytes.len())
            .finish()
    }
}
