//! Watches the catalog for nodes that produce a stream, and keeps a receiver for each.

use std::{collections::HashSet, sync::Arc};

use tokio::task::JoinSet;

use super::{core::Core, receiver};
use crate::{PeerId, streams::Scope};

/// Runs until the consumer or its network ends.
pub(super) async fn run(core: Arc<Core>) {
    if core.config.scope == Scope::Network {
        tokio::select! {
            // Triggered when the consumer or its network ends.
            () = core.cancel.cancelled() => {}
            // Never by itself.
            () = watch(&core) => {}
        }
    } else {
        core.cancel.cancelled().await;
    }
    core.queue().close();
}

async fn watch(core: &Arc<Core>) {
    let local_id = core.streams.env.local_id;
    let mut catalog = core.streams.env.discovery.catalog_watch();
    let mut known: HashSet<PeerId> = HashSet::new();
    let mut receivers: JoinSet<PeerId> = JoinSet::new();
    loop {
        let now = catalog.borrow_and_update().clone();
        for peer in now
            .peers()
            .filter(|peer| peer.streams().contains(&core.id) && *peer.id() != local_id)
        {
            if !known.contains(peer.id()) && core.meets(peer) {
                let (core, id) = (core.clone(), *peer.id());
                known.insert(id);
                receivers.spawn(async move {
                    receiver::run(&core, id).await;
                    id
                });
            }
        }
        drop(now);
        tokio::select! {
            // Triggered when the catalog changes.
            changed = catalog.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
            // Triggered when a receiver ends, because its peer offers the stream no more.
            Some(ended) = receivers.join_next() => match ended {
                Ok(peer) => drop(known.remove(&peer)),
                Err(error) => tracing::error!(%error, "a receiver failed"),
            },
        }
    }
}
