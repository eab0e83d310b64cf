//! Changes of this node's own entry.

use std::sync::Arc;

use super::Discovery;
use crate::{
    StreamId, Tag, UniqueId,
    peer::{MAX_TICKETS_JUDGED, Ticket},
    primitives::IntoIterOrSingle,
};

impl Discovery {
    /// Announces this node with a new entry version, so that peers that refused it evaluate it again.
    pub(crate) fn renew(&self) {
        if self.0.update_local(true, |_| {}) {
            self.0.local_changed.notify_one();
        }
    }

    /// Adds tags to this node, and announces them to all peers at once.
    pub fn add_tags<Way>(&self, tags: impl IntoIterOrSingle<Tag, Way>) {
        self.0
            .update_local(false, |entry| entry.tags.extend(tags.iterator()));
    }

    /// Removes tags from this node, and announces that to all peers at once.
    pub fn remove_tags<Way>(&self, tags: impl IntoIterOrSingle<Tag, Way>) {
        self.0.update_local(false, |entry| {
            tags.iterator().for_each(|tag| _ = entry.tags.remove(&tag));
        });
    }

    /// Adds a ticket to this node's entry, and announces it to all peers at once. Every node of the network can read
    /// it.
    ///
    /// To renew a ticket, add the new one and then [remove](Self::remove_ticket) the old one: peers validate only the
    /// first [`MAX_TICKETS_JUDGED`] of a class. More of them cause a warning in the log.
    pub fn add_ticket(&self, ticket: impl Into<Ticket>) {
        let ticket = ticket.into();
        let class = ticket.class;
        self.0.update_local(false, |entry| {
            drop(entry.tickets.insert(ticket.id(), ticket));
            let count = entry.tickets_of(class).count();
            if count > MAX_TICKETS_JUDGED {
                tracing::warn!(%class, count, "this node has more tickets of a class than peers validate; remove expired ones");
            }
        });
    }

    /// Removes a ticket from this node's entry, and announces that to all peers at once.
    pub fn remove_ticket(&self, id: impl Into<UniqueId>) {
        let id = id.into();
        self.0
            .update_local(false, |entry| drop(entry.tickets.remove(&id)));
    }

    /// Removes all tickets of a class, and announces that to all peers at once.
    pub fn remove_tickets_of(&self, class: impl Into<UniqueId>) {
        let class = class.into();
        self.0.update_local(false, |entry| {
            entry.tickets.retain(|_, ticket| ticket.class != class);
        });
    }

    /// Announces that this node produces a stream.
    pub(crate) fn add_stream(&self, stream: StreamId) {
        self.0.update_local(false, |entry| {
            Arc::make_mut(&mut entry.streams).insert(stream);
        });
    }

    /// Announces that this node no longer produces a stream.
    pub(crate) fn remove_stream(&self, stream: StreamId) {
        self.0.update_local(false, |entry| {
            Arc::make_mut(&mut entry.streams).remove(&stream);
        });
    }
}
