//! Helpers shared by programs written for Mosaik.

use mosaik_streams::Network;

use crate::common::within;

/// Makes all nodes know each other.
pub(crate) async fn discover_all<'a>(networks: impl IntoIterator<Item = &'a Network>) {
    let networks: Vec<_> = networks.into_iter().collect();
    for one in &networks {
        for other in networks
            .iter()
            .filter(|other| other.local().id() != one.local().id())
        {
            within("a sync", one.discovery().sync_with(other.local().addr()))
                .await
                .expect("it works on loopback");
        }
    }
}
