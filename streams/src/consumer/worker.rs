//! Watches the catalog for nodes that produce a stream, and runs a receiver for each.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::task::JoinSet;

use super::{group::Group, receiver};
use crate::{PeerId, channel::config::Scope, peer::PeerEntryVersion};

/// Runs until the last consumer of the group is dropped or the network shuts down.
pub(super) async fn run(group: Arc<Group>) {
    if group.scope == Scope::Network {
        let mut receivers = JoinSet::new();
        tokio::select! {
            // Triggered when the last consumer is dropped or the network shuts down.
            () = group.cancel.cancelled() => {}
            // Triggered by the same, after receiving has stopped.
            () = async {
                if group.is_shared() {
                    group.env.holds.released().await;
                }
                watch(&group, &mut receivers).await;
                group.has_left();
                group.cancel.cancelled().await;
            } => {}
        }
        // Each receiver closes its connection and reports its position, before the network closes all connections
        // without it.
        receivers.shutdown().await;
    } else {
        group.cancel.cancelled().await;
    }
    group.end();
}

/// Runs until receiving stops and all received records are queued.
async fn watch(group: &Arc<Group>, receivers: &mut JoinSet<PeerId>) {
    let local_id = group.env.local_id;
    let mut catalog = group.env.discovery.catalog_watch();
    let mut known: HashSet<PeerId> = HashSet::new();
    // Entry versions whose tickets were refused, so that they are not validated again at every change of the catalog.
    let mut refused: HashMap<PeerId, PeerEntryVersion> = HashMap::new();
    let mut requirements = group.authorizer.watch();
    loop {
        let now = catalog.borrow_and_update().clone();
        let before = std::mem::take(&mut refused);
        let offers = now.peers().filter(|peer| {
            peer.streams().contains(&group.id)
                && *peer.id() != local_id
                && !known.contains(peer.id())
        });
        let candidates: Vec<_> = offers
            .filter_map(|peer| group.authorizer.entry(&now, peer.id()))
            .filter(|entry| group.authorizer.meets(entry))
            .collect();
        for entry in candidates {
            let (id, version) = (*entry.id(), entry.update_version());
            if before.get(&id) == Some(&version)
                || group.authorizer.authorize_tickets(entry).is_none()
            {
                refused.insert(id, version);
                continue;
            }
            known.insert(id);
            let group = group.clone();
            receivers.spawn(async move {
                receiver::run(&group, id).await;
                id
            });
        }
        drop(now);
        tokio::select! {
            // Triggered when the catalog changes.
            changed = catalog.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
            // Triggered when the node stops.
            () = group.leaving.cancelled() => {
                while receivers.join_next().await.is_some() {}
                return;
            }
            // Triggered when the requirements change.
            Ok(()) = requirements.changed() => refused.clear(),
            // Triggered when a receiver ends because its peer no longer offers the stream.
            Some(ended) = receivers.join_next() => match ended {
                Ok(peer) => drop(known.remove(&peer)),
                Err(error) => tracing::error!(%error, "a receiver failed"),
            },
        }
    }
}
