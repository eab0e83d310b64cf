//! Merges announcements into the catalog, and decides whether to forward them: new ones, once each. Refusals are
//! counted like those of entries received by sync.

use std::sync::Arc;

use bytes::Bytes;
use mosaik_gossip::Verdict;

use super::{
    super::{eviction::Known, shared::Shared, store::Refusal, sync},
    announcement::{Announcement, Departure},
};
use crate::{
    PeerId,
    peer::{Unverified, now_ms},
};

/// `from` is the peer whose connection delivered the announcement.
pub(super) fn decide(shared: &Arc<Shared>, from: &PeerId, content: &Bytes) -> Verdict {
    let is_news = match Announcement::decode(content) {
        Some(Announcement::Entry(entry)) => take_entry(shared, from, *entry),
        Some(Announcement::Departure(departure)) => take_departure(shared, &departure),
        None => {
            shared.store().count(Refusal::Malformed);
            false
        }
    };
    if is_news {
        Verdict::Forward
    } else {
        Verdict::Drop
    }
}

fn take_entry(shared: &Arc<Shared>, from: &PeerId, entry: Unverified) -> bool {
    // A sync may have delivered the entry earlier; it is still forwarded.
    let catalog = shared.catalog();
    // Nodes of one generation cannot read entries of another.
    let is_readable = entry.entry.generation() == catalog.local().generation();
    if catalog
        .get_signed(entry.entry.id())
        .is_some_and(|known| entry.is(known))
    {
        return is_readable;
    }
    // The lock is released before the entry is merged.
    let how = if entry.entry.id() == from {
        Known::Direct
    } else {
        Known::Indirect
    };
    let verified = shared.verify(entry, how);
    let Ok(entry) = verified else {
        return false;
    };
    let merged = shared.merge_verified(vec![(entry, how)]);
    sync::greet(shared, &merged);
    is_readable && !merged.is_empty()
}

fn take_departure(shared: &Shared, departure: &Departure) -> bool {
    let (peer, version) = (departure.peer, departure.version);
    let taken = {
        let mut store = shared.store();
        let taken = store.take_departure(&peer, version, || departure.verify(), now_ms());
        if taken == Ok(true) {
            shared.publish(&store);
        }
        taken
    };
    if taken == Ok(true) {
        shared.emit_departed(peer);
    }
    taken.is_ok()
}
