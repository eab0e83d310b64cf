//! Takes in what others announce, by the catalog's rules, and says what is to be passed on: news, once each. What is
//! refused is counted like entries that came by sync.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    super::{
        Refusal,
        entry::{Unverified, now_ms},
        jobs,
        shared::Shared,
        standing::Known,
    },
    announcement::{Announcement, Departure},
    broadcast::Verdict,
};
use crate::PeerId;

/// `from` is whose connection it came over.
pub(super) fn judge(shared: &Arc<Shared>, from: &PeerId, content: &Bytes) -> Verdict {
    let is_news = match Announcement::decode(content) {
        Some(Announcement::Entry(entry)) => take_entry(shared, from, *entry),
        Some(Announcement::Departure(departure)) => take_departure(shared, &departure),
        None => {
            shared.store().count(Refusal::Malformed);
            false
        }
    };
    if is_news {
        Verdict::PassOn
    } else {
        Verdict::Drop
    }
}

fn take_entry(shared: &Arc<Shared>, from: &PeerId, entry: Unverified) -> bool {
    // A sync may have been faster, and is no reason to keep it from others.
    let catalog = shared.catalog();
    // Nodes of one generation cannot read entries of another.
    let is_readable = entry.entry.generation() == catalog.local().generation();
    if catalog
        .get_signed(entry.entry.id())
        .is_some_and(|known| entry.is(known))
    {
        return is_readable;
    }
    // The lock is let go of before the entry is taken.
    let how = if entry.entry.id() == from {
        Known::InPerson
    } else {
        Known::ByHearsay
    };
    let verified = shared.verify(entry, how);
    let Ok(entry) = verified else {
        return false;
    };
    let merged = shared.merge_verified(vec![(entry, how)]);
    jobs::greet(shared, &merged);
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
        shared.say_departed(peer);
    }
    taken.is_ok()
}
