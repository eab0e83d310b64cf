//! Invariants that must hold for any bytes received as entries; see [`crate::fuzzing`].

use super::{
    config::Config,
    eviction::Known,
    store::Store,
    wire::{self, Purpose, Snapshot},
};
use crate::{
    EndpointAddr, PeerId, SecretKey,
    peer::{PeerEntry, SignedPeerEntry, Unverified, now_ms},
};

/// Decodes a frame as a snapshot. Its entries verify only if their peers signed them.
pub fn snapshot(frame: &[u8]) {
    let Ok(snapshot) = Snapshot::decode(frame) else {
        return;
    };
    assert!(snapshot.entries.len() <= frame.len());
    let signed = snapshot.entries.into_iter().map(Unverified::verify);
    let signed: Vec<SignedPeerEntry> = signed.filter_map(Result::ok).collect();
    let again = wire::encode(&signed, Purpose::Hello, wire::About::default(), usize::MAX);
    let again = Snapshot::decode(&again).expect("what was written is read");
    assert_eq!(again.entries.len(), signed.len());
    for (again, signed) in again.entries.into_iter().zip(signed) {
        assert_eq!(again.verify(), Ok(signed));
    }
}

/// Checks that an entry serializes to the bytes it was read from, and that the catalog merges it by the rules or
/// refuses it. The first byte selects one of few peers, so that their entries meet.
pub fn entry(input: &[u8]) {
    let mut store = store();
    let key = |seed: u8| SecretKey::from_bytes([seed; 32]);
    let (now, mut rest) = (now_ms(), input);
    while let [seed, after @ ..] = rest {
        let Ok((mut entry, after)) = postcard::take_from_bytes::<PeerEntry>(after) else {
            break;
        };
        rest = after;
        let written = postcard::to_stdvec(&entry).expect("postcard knows all of it");
        let read: PeerEntry = postcard::from_bytes(&written).expect("what was written is read");
        assert_eq!(read, entry);
        let key = key(*seed % 4);
        entry.address.id = key.public();
        if *seed & 4 != 0 {
            entry.network = store.catalog().local().network;
        }
        if *seed & 8 != 0 {
            // Relative to now.
            let version = &mut entry.version;
            version.started_ms = now.saturating_add(version.started_ms);
            version.updated_ms = now.saturating_add(version.updated_ms);
        }
        let signed = entry.sign(&key).expect("it is the key's own");
        merge(&mut store, signed, *seed, now);
    }
}

fn store() -> Store {
    let key = SecretKey::from_bytes([0; 32]);
    let local = PeerEntry::new("net", EndpointAddr::from(key.public()));
    let local = local.sign(&key).expect("it is the key's own");
    let config = Config::default();
    Store::new(local, config.purge_after, config.max_time_drift).with_max(2, 1000)
}

fn merge(store: &mut Store, signed: SignedPeerEntry, seed: u8, now: i64) {
    let (id, version): (PeerId, _) = (*signed.id(), signed.update_version());
    let before = store.catalog();
    let how = if seed & 16 != 0 {
        Known::Direct
    } else {
        Known::Indirect
    };
    let wanted = store.wants(&signed, how, now);
    let merged = store.merge(signed, how, now);
    assert!(wanted.is_ok() || merged.clone().err() == wanted.err());
    let after = store.catalog();
    assert_eq!(after.local(), before.local());
    let known = after.0.signed.get(&id).map(|entry| entry.update_version());
    let known_before = before.0.signed.get(&id).map(|entry| entry.update_version());
    if merged.is_ok() {
        assert_eq!(known, Some(version));
        assert!(known_before.is_none_or(|before| before < version));
    } else {
        assert_eq!(known, known_before);
    }
    assert!(after.0.signed.len() <= 2);
    // Reading any merged entry must not panic.
    for peer in after.iter() {
        let _ = (peer.started_at(), peer.updated_at(), peer.uptime());
        let _ = peer.clone().renewed();
    }
    if seed & 32 != 0 {
        store.depart(&id, version);
        assert!(!store.catalog().0.signed.contains_key(&id));
    }
    store.purge(now.saturating_add(i64::from(seed) * 10_000));
}
