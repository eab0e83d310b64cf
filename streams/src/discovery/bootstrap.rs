//! Finds the peers that this node was told of, and finds them again whenever they are gone.

use std::{sync::Arc, time::Duration};

use tracing::debug;

use super::{
    Problem,
    jobs::{Kind, jittered},
    shared::Shared,
    sync::{self, SyncError},
};
use crate::{EndpointAddr, PeerId, network::ConnectError};

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
        meet(&shared, &addr, u32::MAX, Told::ByUser).await;
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

/// Asks a bootstrap peer that has this node's own key whether it is this node. Done when it is.
pub(super) async fn watch_for_another_me(shared: Arc<Shared>, addr: EndpointAddr) {
    let mut delay = FIRST_DELAY;
    loop {
        match sync::is_another_me(&shared, &addr).await {
            Ok(false) => return,
            Ok(true) => {
                shared.report(Problem::OwnKeyShared);
                delay = RENEW_MAX;
            }
            Err(error) => {
                debug!(peer = %addr, "failed to ask for a node of this key: {error}");
                delay = delay.mul_f64(1.7).min(DELAY_MAX);
            }
        }
        tokio::time::sleep(jittered(delay, 0.2)).await;
    }
}

/// How this node came to know where a peer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// By its user, whose mistake is reported.
    ByUser,
    /// By the local network, where all sorts of nodes are heard.
    ByLan,
}

/// Tries to sync until it succeeds, with a back-off, at most `attempts_max` times.
pub(super) async fn meet(shared: &Arc<Shared>, addr: &EndpointAddr, attempts_max: u32, told: Told) {
    let mut delay = FIRST_DELAY;
    for attempt in 1..=attempts_max {
        let known = shared.catalog().get_signed(&addr.id).is_some();
        let kind = if known { Kind::Push } else { Kind::Full };
        let to = shared
            .known_address(addr.clone())
            .unwrap_or_else(|| addr.clone());
        match sync::with(shared, &to, kind).await {
            Ok(()) => return,
            Err(error) => {
                debug!(peer = %addr, attempt, "bootstrap failed: {error}");
                if matches!(error, SyncError::DifferentNetwork) {
                    delay = DELAY_MAX;
                }
                if told == Told::ByUser
                    && let Some(problem) = problem(addr.id, &error)
                {
                    shared.report(problem);
                }
            }
        }
        tokio::time::sleep(jittered(delay, 0.2)).await;
        delay = delay.mul_f64(1.7).min(DELAY_MAX);
    }
}

/// What the user is to change, if that is known.
const fn problem(expected: PeerId, error: &SyncError) -> Option<Problem> {
    match error {
        SyncError::DifferentNetwork => Some(Problem::OtherNetwork(expected)),
        SyncError::Connect(ConnectError::OtherKey { addr, found }) => Some(Problem::WrongId {
            addr: *addr,
            expected,
            found: *found,
        }),
        _ => None,
    }
}
