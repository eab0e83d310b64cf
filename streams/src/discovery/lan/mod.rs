//! Finds nodes on the local network by multicast DNS, as iroh's nodes do, Mosaik's among them. IPv4 only.
//!
//! What it hears is only where a peer may be: a dial proves who is there, and a sync whether it is of the network.

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

use self::{packet::Heard, socket::Sockets, table::Table};
use super::{
    bootstrap::{self, Told},
    jobs::jittered,
    shared::Shared,
};
use crate::EndpointAddr;

/// Pauses between queries: the first, doubled each time up to the second.
const QUERY_FIRST: Duration = Duration::from_secs(1);
const QUERY_MAX: Duration = Duration::from_mins(1);
/// How long an answer may be put off, so that not all speak at once.
const ANSWER_WITHIN: Duration = Duration::from_millis(100);
/// How long after a failure the sockets are opened again.
const REOPEN_AFTER: Duration = Duration::from_mins(1);
/// Attempts at a peer that was heard of.
const ATTEMPTS_MAX: u32 = 3;

/// Runs until the node ends.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut has_failed = false;
    loop {
        match Sockets::open(&interfaces(&shared)) {
            Ok(sockets) => {
                has_failed = false;
                if let Err(error) = listen(&shared, &sockets).await {
                    debug!("no longer listening to the local network: {error}");
                }
            }
            Err(error) if !has_failed => {
                has_failed = true;
                warn!("nodes of the local network are not found: {error}");
            }
            Err(_) => {}
        }
        sleep(REOPEN_AFTER).await;
    }
}

/// The interfaces that this node is reached at.
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
            // Triggered when it is time to ask who is there.
            () = sleep_until(query_at) => {
                sockets.send(&packet::query()).await?;
                query_at = tokio::time::Instant::now() + jittered(pause, 0.2);
                pause = (pause * 2).min(QUERY_MAX);
            }
            // Triggered when it is time to answer.
            () = answer => {
                answer_at = None;
                let me = shared.catalog().local().address().clone();
                sockets.send(&packet::response(&me)).await?;
            }
            // Triggered when a packet has come.
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
        debug!(%peer, "heard of on the local network");
        let (spawning, shared, peer) = (shared.clone(), shared.clone(), peer.clone());
        spawning.spawn(async move {
            bootstrap::meet(&shared, &peer, ATTEMPTS_MAX, Told::ByLan).await;
        });
    }
}
