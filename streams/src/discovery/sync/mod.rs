//! `/mosaik/discovery/sync/1.0`: two nodes exchange their catalogs. The dialling node sends first.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};
use tracing::debug;

mod requests;

pub(super) use requests::{greet, request};

use super::{
    jobs::Kind,
    lives::Life,
    problems::Problem,
    shared::Shared,
    store::{Merged, Refusal},
    wire::{self, Malformed, Purpose, Snapshot},
};
use crate::{
    EndpointAddr, PeerId,
    net::{CloseReason, ConnectError, Link, LinkError},
    peer::{PeerEntryVersion, now_ms},
};

pub(super) const ALPN: &[u8] = b"/mosaik/discovery/sync/1.0";

/// The timeout of each step of an exchange: dialling, writing, reading, and closing.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum length of a snapshot from a peer that is not in the catalog: about 10,000 entries.
const STRANGERS_SNAPSHOT_MAX: usize = 4 * 1024 * 1024;
/// The maximum length of a snapshot that is merged without waiting for others: about 200 entries.
const SMALL_SNAPSHOT_MAX: usize = 64 * 1024;

/// An error from exchanging catalogs.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The network has no socket: it was not bound, or was shut down.
    #[error("the network is not bound to a socket")]
    NotBound,
    /// The peer could not be dialled.
    #[error("failed to connect: {0}")]
    Connect(#[from] ConnectError),
    /// The link failed.
    #[error("the link failed: {0}")]
    Link(#[from] LinkError),
    /// The peer belongs to another network.
    #[error("the peer belongs to another network")]
    DifferentNetwork,
    /// The peer sent something other than a snapshot with its own entry, or many invalid signatures.
    #[error("the peer violated the protocol")]
    ProtocolViolation,
    /// The peer's own entry was refused, so its network is not proven. Caused by a clock that is far off, or a full
    /// catalog.
    #[error("the entry of the peer was refused because {0}")]
    EntryRefused(Refusal),
    /// The peer is unknown and did not send its own entry.
    #[error("the peer did not send its own entry")]
    NoEntry,
    /// The peer did not answer in time.
    #[error("no answer within {} s", STEP_TIMEOUT.as_secs())]
    TimedOut,
}

impl From<Malformed> for SyncError {
    fn from(Malformed: Malformed) -> Self {
        Self::ProtocolViolation
    }
}

pub(super) async fn in_time<T>(
    step: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, SyncError> {
    match timeout(STEP_TIMEOUT, step).await {
        Ok(Err(LinkError::Closed(CloseReason::DifferentNetwork))) => {
            Err(SyncError::DifferentNetwork)
        }
        Ok(result) => Ok(result?),
        Err(_) => Err(SyncError::TimedOut),
    }
}

/// Exchanges catalogs with a peer, as the dialling side. A peer whose network is not known yet receives the local entry
/// only, and the rest once its answer has proven its network.
pub(super) async fn with(
    shared: &Arc<Shared>,
    to: &EndpointAddr,
    kind: Kind,
) -> Result<(), SyncError> {
    let (is_proved, said) = {
        let catalog = shared.catalog();
        let is_proved = catalog.get_signed(&to.id).is_some();
        (is_proved, catalog.local().update_version())
    };
    let first = || {
        let catalog = shared.catalog();
        match kind {
            Kind::Push => shared.frame([catalog.local()], Purpose::Push, &to.id),
            Kind::Full if is_proved => shared.frame(wire::all(&catalog), Purpose::Hello, &to.id),
            Kind::Full => shared.frame([catalog.local()], Purpose::Hello, &to.id),
        }
    };
    let Answer { known, .. } = exchange(shared, to, kind, first).await?;
    if kind == Kind::Full && !is_proved {
        let catalog = shared.catalog();
        let news: Vec<_> = wire::news(&catalog, &to.id, &known).collect();
        // Changes made since then were not sent to this peer, because it was not in the catalog yet.
        if news.len() > 1 || catalog.local().update_version() != said {
            exchange(shared, to, kind, || {
                shared.frame(news, Purpose::Push, &to.id)
            })
            .await?;
        }
    }
    Ok(())
}

/// Notifies a peer that this node departs.
pub(super) async fn depart(shared: &Arc<Shared>, to: &EndpointAddr) -> Result<(), SyncError> {
    let link = connect(shared, to).await?;
    let catalog = shared.catalog();
    let departure = shared.frame([catalog.local()], Purpose::Departure, &to.id);
    // Not counted as an exchange, since departing cancels those.
    speak(shared, link, Kind::Full, departure).await.map(drop)
}

/// Returns true if another running node has this node's key: asks the address configured for this node's own id. The
/// answer may come from this node itself, if it is among its own bootstrap peers.
pub(super) async fn is_another_me(
    shared: &Arc<Shared>,
    to: &EndpointAddr,
) -> Result<bool, SyncError> {
    let local = shared.catalog().local().clone();
    let frame = || shared.frame([&local], Purpose::Push, &to.id);
    let answer = exchange(shared, to, Kind::Push, frame).await?;
    Ok(answer.life != shared.life())
}

/// The answer of a peer.
struct Answer {
    /// The run that answered.
    life: Life,
    /// The versions of the entries that it sent.
    known: HashMap<PeerId, PeerEntryVersion>,
}

/// Exchanges with a peer, unless this node is departing. The frame is built once the connection is open: a whole
/// catalog takes time to build, and any node can announce peers that do not exist.
async fn exchange(
    shared: &Arc<Shared>,
    to: &EndpointAddr,
    kind: Kind,
    frame: impl FnOnce() -> Vec<u8>,
) -> Result<Answer, SyncError> {
    let link = connect(shared, to).await?;
    let conn = link.conn.clone();
    let said = shared.exchanges.run(speak(shared, link, kind, frame()));
    said.await.unwrap_or_else(|| {
        conn.close(CloseReason::GracefulShutdown);
        Err(SyncError::NotBound)
    })
}

async fn connect(shared: &Shared, to: &EndpointAddr) -> Result<Link, SyncError> {
    let endpoint = shared.endpoint().ok_or(SyncError::NotBound)?;
    Ok(endpoint.connect(to, ALPN).await?)
}

async fn speak(
    shared: &Arc<Shared>,
    mut link: Link,
    kind: Kind,
    frame: Vec<u8>,
) -> Result<Answer, SyncError> {
    let result = ask(shared, &mut link, &frame, kind).await;
    link.conn.close(match &result {
        Ok(_) => CloseReason::Success,
        Err(error) => reason_for(error),
    });
    result
}

async fn ask(
    shared: &Arc<Shared>,
    link: &mut Link,
    frame: &[u8],
    kind: Kind,
) -> Result<Answer, SyncError> {
    let opened = Instant::now();
    in_time(link.tx.send_frame(frame)).await?;
    let answer = in_time(link.rx.recv_frame())
        .await?
        .ok_or(SyncError::ProtocolViolation)?;
    let peer = link.conn.peer();
    let snapshot = Snapshot::decode(&answer)?;
    let own = snapshot.of(&peer).ok_or(SyncError::ProtocolViolation)?;
    if own.entry.network != shared.network {
        return Err(SyncError::DifferentNetwork);
    }
    let known = snapshot
        .entries
        .iter()
        .map(|entry| (*entry.entry.id(), entry.entry.version))
        .collect();
    if snapshot.is_key_shared() {
        shared.report(Problem::OwnKeyShared);
    }
    let life = Life {
        started_ms: own.entry.version.started_ms,
        process: snapshot.process(),
    };
    shared.met_life(peer, life, opened);
    if peer != shared.key.public() {
        take(shared, &peer, snapshot, kind == Kind::Push).await?;
    }
    Ok(Answer { life, known })
}

/// Merges a snapshot received from a peer. Requests syncs with new peers, and with `peer` itself if it is new and only
/// entries were exchanged.
async fn take(
    shared: &Arc<Shared>,
    peer: &PeerId,
    snapshot: Snapshot,
    is_push: bool,
) -> Result<(), SyncError> {
    // Before it is added to the catalog: a task that finds it there may announce this node's departure at once, and
    // must know that the peer supports it.
    if snapshot.is_ours() {
        shared.remember_ours(*peer);
        shared.set_name(*peer, snapshot.name());
    }
    let is_new = shared.catalog().get_signed(peer).is_none();
    let own = snapshot.of(peer).filter(|_| is_new).cloned();
    let merged = shared.merge(snapshot.entries, peer).await;
    if shared.catalog().get_signed(peer).is_none() {
        shared.forget(peer);
        return Err(match (merged, own) {
            (Some(_), Some(own)) => SyncError::EntryRefused(shared.store().why_not(own, now_ms())),
            _ => SyncError::ProtocolViolation,
        });
    }
    shared.reached(peer);
    let merged = merged.ok_or(SyncError::ProtocolViolation)?;
    for change in merged {
        let (Merged::Discovered(entry)
        | Merged::Updated {
            entry,
            restarted: true,
        }) = change
        else {
            continue;
        };
        if entry.id() != peer || is_push {
            request(shared, *entry.id(), Kind::Full);
        }
    }
    Ok(())
}

/// Answers a dialling peer, in the task of its link.
pub(super) async fn serve(shared: Arc<Shared>, link: Link) {
    let conn = link.conn.clone();
    if shared.exchanges.run(hear(&shared, link)).await.is_none() {
        conn.close(CloseReason::GracefulShutdown);
    }
}

async fn hear(shared: &Arc<Shared>, mut link: Link) {
    let peer = link.conn.peer();
    match answer(shared, &mut link).await {
        // The permit is held until the answer is read.
        Ok(_permit) => {
            link.tx.finish();
            // The peer closes the link once it has read the answer. If it does not, dropping the link closes it.
            let _ = timeout(STEP_TIMEOUT, link.conn.closed()).await;
        }
        Err(error) => {
            match &error {
                // The entry was sent before the peer departed, and arrived after its departure.
                SyncError::EntryRefused(Refusal::Departed) => {}
                SyncError::EntryRefused(refusal) => {
                    shared.report(Problem::Refused(peer, *refusal));
                }
                // On the local network, nodes dial every node that they discover.
                SyncError::DifferentNetwork if !shared.is_heard_locally() => {
                    shared.report(Problem::Foreign(peer));
                }
                _ => {}
            }
            debug!(%peer, "sync refused: {error}");
            link.conn.close(reason_for(&error));
        }
    }
}

/// Waits for a permit, with the timeout of a step.
async fn turn(permits: &Semaphore) -> Result<SemaphorePermit<'_>, SyncError> {
    let turn = timeout(STEP_TIMEOUT, permits.acquire()).await;
    // The semaphores are never closed.
    turn.ok().and_then(Result::ok).ok_or(SyncError::TimedOut)
}

async fn answer<'a>(
    shared: &'a Arc<Shared>,
    link: &mut Link,
) -> Result<SemaphorePermit<'a>, SyncError> {
    let peer = link.conn.peer();
    let opened = Instant::now();
    let is_known = shared.catalog().get_signed(&peer).is_some();
    if !is_known {
        link.rx
            .set_max_frame_len(shared.max_frame_len.min(STRANGERS_SNAPSHOT_MAX));
    }
    let len = in_time(link.rx.next_len())
        .await?
        .ok_or(SyncError::ProtocolViolation)?;
    let large = if len > SMALL_SNAPSHOT_MAX {
        Some(turn(&shared.large_incoming).await?)
    } else {
        None
    };
    let frame: Bytes = in_time(link.rx.recv_frame())
        .await?
        .ok_or(SyncError::ProtocolViolation)?;
    // Acquired after the frame has arrived: a peer that stops half way delays no one.
    let permit = turn(&shared.incoming).await?;
    let snapshot = Snapshot::decode(&frame)?;
    drop(frame);
    let own = match snapshot.of(&peer) {
        Some(own) if own.entry.network != shared.network => {
            return Err(SyncError::DifferentNetwork);
        }
        Some(own) => Some(own.entry.version),
        None if is_known => None,
        None => return Err(SyncError::NoEntry),
    };
    let life = own.map(|version| Life {
        started_ms: version.started_ms,
        process: snapshot.process(),
    });
    if let Some(life) = life {
        shared.met_life(peer, life, opened);
    }
    let catalog = shared.catalog();
    if peer == shared.key.public() {
        // This node dialled itself, or another node has its key.
        if life.is_some_and(|life| life != shared.life()) {
            shared.report(Problem::OwnKeyShared);
        }
        let frame = shared.frame([catalog.local()], Purpose::Hello, &peer);
        in_time(link.tx.send_frame(&frame)).await?;
        return Ok(permit);
    }
    let (is_push, leaves) = (snapshot.is_push(), snapshot.is_departure());
    match take(shared, &peer, snapshot, is_push && !leaves).await {
        // The departure was already received by gossip.
        Err(SyncError::EntryRefused(Refusal::Departed)) if leaves => {}
        taken => taken?,
    }
    drop(large);
    if let (true, Some(version)) = (leaves, own) {
        shared.depart(&peer, version);
    }
    let catalog = shared.catalog();
    let frame = if is_push {
        shared.frame([catalog.local()], Purpose::Hello, &peer)
    } else {
        shared.frame(wire::all(&catalog), Purpose::Hello, &peer)
    };
    in_time(link.tx.send_frame(&frame)).await?;
    Ok(permit)
}

const fn reason_for(error: &SyncError) -> CloseReason {
    match error {
        SyncError::DifferentNetwork => CloseReason::DifferentNetwork,
        SyncError::ProtocolViolation
        | SyncError::Link(LinkError::TooLarge { .. } | LinkError::Truncated) => {
            CloseReason::ProtocolViolation
        }
        SyncError::EntryRefused(_) | SyncError::NoEntry => CloseReason::UnknownPeer,
        SyncError::Link(_) => CloseReason::UnexpectedClose,
        SyncError::TimedOut | SyncError::NotBound | SyncError::Connect(_) => CloseReason::Cancelled,
    }
}

#[cfg(test)]
mod tests;
