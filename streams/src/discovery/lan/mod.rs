//! Discovers nodes on the local network by multicast DNS, compatible with iroh and Mosaik. IPv4 only.
//!
//! Received addresses are only hints: a dial proves the peer's identity, and a sync proves its network.

mod packet;
mod socket;
mod table;
#[cfg(test)]
mod tests;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{sleep, sleep_until};
use tracing::{debug, warn};

use super::{
    bootstrap::{self, AddressSource},
    jobs::jittered,
    lan::{packet::Heard, socket::Sockets, table::Table},
    shared::Shared,
};
use crate::EndpointAddr;

/// The pause between queries: initial, doubled each time up to the maximum.
const QUERY_FIRST: Duration = Duration::from_secs(1);
const QUERY_MAX: Duration = Duration::from_mins(1);
/// The maximum delay of an answer, so that nodes do not answer at the same time.
const ANSWER_WITHIN: Duration = Duration::from_millis(100);
/// The delay after a failure before the sockets are opened again.
const REOPEN_AFTER: Duration = Duration::from_mins(1);
/// The maximum number of attempts to contact a discovered peer.
const ATTEMPTS_MAX: u32 = 3;

/// Runs until the node shuts down.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut has_failed = false;
    loop {
        match Sockets::open(&interfaces(&shared)) {
            Ok(sockets) => {
                has_failed = false;
                if let Err(error) = listen(&shared, &sockets).await {
                    debug!("multicast DNS failed: {error}");
                }
            }
            Err(error) if !has_failed => {
                has_failed = true;
                warn!("discovery on the local network is unavailable: {error}");
            }
            Err(_) => {}
        }
        sleep(REOPEN_AFTER).await;
    }
}

/// Returns the interfaces on which this node can be reached.
fn interfaces(shared: &Shared) -> Vec<Ipv4Addr> {
    let catalog = shared.catalog();
    let addrs = &catalog.local().address().addrs;
    let v4 = addrs.iter().filter_map(|addr| match addr {
        SocketAddr::V4(addr) => Some(*addr.ip()),
        SocketAddr::V6(_) => None,
    });
    v4.collect()
}

async fn listen(shared: &Arc<Shared>, sockets: &Sockets) -> std::io::Result<()> {
    let mut table = Table::new(shared.key.public(), Instant::now());
    let mut pause = QUERY_FIRST;
    let mut query_at = tokio::time::Instant::now();
    let mut answer_at = None;
    loop {
        let answer = async {
            match answer_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Triggered when a query is due.
            () = sleep_until(query_at) => {
                sockets.send(&packet::query()).await?;
                query_at = tokio::time::Instant::now() + jittered(pause, 0.2);
                pause = (pause * 2).min(QUERY_MAX);
            }
            // Triggered when an answer is due.
            () = answer => {
                answer_at = None;
                let me = shared.catalog().local().address().clone();
                sockets.send(&packet::response(&me)).await?;
            }
            // Triggered by a received packet.
            received = sockets.receive() => {
                let bytes = received?;
                match packet::read(&bytes) {
                    Some(Heard::Query) if answer_at.is_none() && table.answers(Instant::now()) => {
                        let within = jittered(ANSWER_WITHIN / 2, 1.0);
                        answer_at = Some(tokio::time::Instant::now() + within);
                    }
                    Some(Heard::Peers(peers)) => take(shared, &mut table, &peers),
                    _ => {}
                }
            }
        }
    }
}

fn take(shared: &Arc<Shared>, table: &mut Table, peers: &[EndpointAddr]) {
    let catalog = shared.catalog();
    let known = |peer: &EndpointAddr| catalog.get_signed(&peer.id).is_some();
    let is_due = |peer: &&EndpointAddr| table.saw(peer, known(peer), Instant::now());
    let due: Vec<&EndpointAddr> = peers.iter().filter(is_due).collect();
    shared.set_lan(table.all());
    for peer in due {
        debug!(%peer, "discovered on the local network");
        let (spawning, shared, peer) = (shared.clone(), shared.clone(), peer.clone());
        spawning.spawn(async move {
            bootstrap::meet(&shared, &peer, ATTEMPTS_MAX, AddressSource::Lan).await;
        });
    }
}
