//! Connects to the configured bootstrap peers, and again whenever one is no longer in the catalog.

use std::{sync::Arc, time::Duration};

use tracing::debug;

use super::{
    jobs::{Kind, jittered},
    problems::Problem,
    shared::Shared,
    sync::{self, SyncError},
};
use crate::{EndpointAddr, PeerId, net::ConnectError};

const FIRST_DELAY: Duration = Duration::from_millis(250);
/// The maximum delay between attempts, so that a peer that starts later is found soon.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// The maximum interval at which a known bootstrap peer is sent this node's entry. A bootstrap peer that has crashed
/// and restarted knows no node that it could contact.
const RENEW_MAX: Duration = Duration::from_secs(15);

/// Maintains contact with a bootstrap peer. Never returns.
pub(super) async fn keep(shared: Arc<Shared>, addr: EndpointAddr) {
    let renew = shared.config.announce_interval.min(RENEW_MAX);
    let mut catalog = shared.watch();
    loop {
        meet(&shared, &addr, u32::MAX, AddressSource::Configured).await;
        let gone = async {
            // An error means that the node shuts down, and this task with it.
            let _ = catalog
                .wait_for(|catalog| catalog.get_signed(&addr.id).is_none())
                .await;
        };
        // Either one ends the pause.
        let _ = tokio::time::timeout(jittered(renew, 0.2), gone).await;
    }
}

/// Asks a bootstrap peer with this node's own key whether it is this node. Returns once it is.
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
                debug!(peer = %addr, "failed to check for another node with this key: {error}");
                delay = delay.mul_f64(1.7).min(DELAY_MAX);
            }
        }
        tokio::time::sleep(jittered(delay, 0.2)).await;
    }
}

/// The source of a peer's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressSource {
    /// The configuration. Mistakes are reported as problems.
    Configured,
    /// The local network, on which nodes of any network can be seen.
    Lan,
}

/// Retries a sync with backoff until it succeeds, at most `attempts_max` times.
pub(super) async fn meet(
    shared: &Arc<Shared>,
    addr: &EndpointAddr,
    attempts_max: u32,
    source: AddressSource,
) {
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
                if source == AddressSource::Configured
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

/// Returns the configuration problem that explains the error, if any.
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
