//! Entries in wire format with arbitrary content.

use std::net::SocketAddr;

use mosaik_streams::{Digest, EndpointAddr, PeerId, SecretKey};
use serde::Serialize;

/// A peer's entry in Mosaik's 0.3 layout, without a signature.
#[derive(Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) protocol: String,
    pub(crate) network: Digest,
    pub(crate) started_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) id: PeerId,
    pub(crate) transports: Vec<Transport>,
    pub(crate) tags: Vec<Digest>,
    pub(crate) streams: Vec<Digest>,
    pub(crate) groups: Vec<Digest>,
    pub(crate) tickets: Vec<Digest>,
}

#[derive(Clone, Serialize)]
pub(crate) enum Transport {
    #[expect(dead_code, reason = "the number of the other is what matters")]
    Relay(String),
    Ip(SocketAddr),
}

pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok()
        .and_then(|now| i64::try_from(now.as_millis()).ok())
        .expect("a clock that is set")
}

impl Entry {
    pub(crate) fn new(network: &str, addr: &EndpointAddr) -> Self {
        let now = now_ms();
        Self {
            protocol: "0.3.13".to_owned(),
            network: network.into(),
            started_ms: now,
            updated_ms: now,
            id: addr.id,
            transports: addr.addrs.iter().copied().map(Transport::Ip).collect(),
            tags: Vec::new(),
            streams: Vec::new(),
            groups: Vec::new(),
            tickets: Vec::new(),
        }
    }

    pub(crate) fn with_stream(mut self, stream: &str) -> Self {
        self.streams.push(stream.into());
        self
    }

    pub(crate) fn dated(mut self, started_ms: i64, updated_ms: i64) -> Self {
        (self.started_ms, self.updated_ms) = (started_ms, updated_ms);
        self
    }

    /// Signs the entry with this key, which may be the wrong one.
    pub(crate) fn signed(&self, key: &SecretKey) -> Vec<u8> {
        sign(postcard::to_stdvec(self).expect("postcard knows it"), key)
    }
}

/// Appends a signature.
pub(crate) fn sign(mut entry: Vec<u8>, key: &SecretKey) -> Vec<u8> {
    let signature = key.sign(blake3::hash(&entry).as_bytes());
    entry.extend_from_slice(signature.as_bytes());
    entry
}

/// Encodes a snapshot, as sent in a sync.
pub(crate) fn snapshot(signed: &[Vec<u8>]) -> Vec<u8> {
    let mut snapshot = postcard::to_stdvec(&signed.len()).expect("postcard knows it");
    for entry in signed {
        snapshot.extend_from_slice(entry);
    }
    snapshot
}
