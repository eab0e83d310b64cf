//! Finds the peers that this node was told of, and finds them again whenever they are gone.

use std::{sync::Arc, time::Duration};

use tracing::{debug, warn};

use super::{
    jobs::{Kind, jittered},
    shared::Shared,
    sync::{self, SyncError},
};
use crate::EndpointAddr;

const FIRST_DELAY: Duration = Duration::from_millis(250);
/// A peer that does not answer is tried at least this often, so that one that starts later is found soon.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// A bootstrap peer that is known hears this node's entry at least this often: one that crashed and came back knows
/// nobody, and cannot call.
const RENEW_MAX: Duration = Duration::from_secs(15);

/// Keeps in touch with a bootstrap peer for ever.
pub(super) async fn keep(shared: Arc<Shared>, addr: EndpointAddr) {
    let renew = shared.config.announce_interval.min(RENEW_MAX);
    let mut catalog = shared.watch();
    loop {
        meet(&shared, &addr, u32::MAX).await;
        let gone = async {
            // An error means that the node has ended, and this task with it.
            let _ = catalog
                .wait_for(|catalog| catalog.get_signed(&addr.id).is_none())
                .await;
        };
        // Either ends the pause.
        let _ = tokio::time::timeout(jittered(renew, 0.2), gone).await;
    }
}

/// Tries to sync until it succeeds, with a back-off, at most `attempts_max` times.
pub(super) async fn meet(shared: &Arc<Shared>, addr: &EndpointAddr, attempts_max: u32) {
    let mut delay = FIRST_DELAY;
    for attempt in 1..=attempts_max {
        let known = shared.catalog().get_signed(&addr.id).is_some();
        let kind = if known { Kind::Push } else { Kind::Full };
        let to = shared
            .known_address(addr.clone())
            .unwrap_or_else(|| addr.clone());
        match sync::with(shared, &to, kind).await {
            Ok(()) => return,
            Err(SyncError::DifferentNetwork) => {
                warn!(peer = %addr, "the bootstrap peer is of another network");
                delay = DELAY_MAX;
            }
            Err(error) => debug!(peer = %addr, attempt, "bootstrap failed: {error}"),
        }
        tokio::time::sleep(jittered(delay, 0.2)).await;
        delay = delay.mul_f64(1.7).min(DELAY_MAX);
    }
}
