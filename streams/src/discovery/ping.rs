//! `/mosaik/discovery/ping/1.0`: requests a peer's current entry. Only peers in the catalog are answered.

use std::sync::Arc;

use tokio::time::timeout;
use tracing::debug;

use super::{
    shared::Shared,
    sync::{STEP_TIMEOUT, SyncError, in_time},
};
use crate::{
    EndpointAddr,
    net::{CloseReason, Link},
    peer::SignedPeerEntry,
};

pub(super) const ALPN: &[u8] = b"/mosaik/discovery/ping/1.0";

/// The maximum length of a request, which has no content.
const REQUEST_MAX: usize = 1024;

/// Answers a peer, in the task of its link.
pub(super) async fn serve(shared: Arc<Shared>, mut link: Link) {
    let peer = link.conn.peer();
    if shared.catalog().get_signed(&peer).is_none() {
        link.conn.close(CloseReason::UnknownPeer);
        return;
    }
    link.rx.set_max_frame_len(REQUEST_MAX);
    match answer(&shared, &mut link).await {
        Ok(()) => {
            link.tx.finish();
            // The peer closes the link once it has read the answer. If it does not, dropping the link closes it.
            let _ = timeout(STEP_TIMEOUT, link.conn.closed()).await;
        }
        Err(error) => {
            debug!(%peer, "failed to answer a ping: {error}");
            link.conn.close(CloseReason::ProtocolViolation);
        }
    }
}

async fn answer(shared: &Arc<Shared>, link: &mut Link) -> Result<(), SyncError> {
    in_time(link.rx.recv_frame())
        .await?
        .ok_or(SyncError::ProtocolViolation)?;
    shared.update_local_quietly();
    let entry = postcard::to_stdvec(shared.catalog().local())
        .expect("an entry has only types that postcard knows");
    in_time(link.tx.send_frame(&entry)).await
}

/// Requests a peer's entry.
pub(super) async fn ask(
    shared: &Arc<Shared>,
    to: &EndpointAddr,
) -> Result<SignedPeerEntry, SyncError> {
    let endpoint = shared.endpoint().ok_or(SyncError::NotBound)?;
    let mut link = endpoint.connect(to, ALPN).await?;
    in_time(link.tx.send_frame(&[])).await?;
    let answer = in_time(link.rx.recv_frame())
        .await?
        .ok_or(SyncError::ProtocolViolation)?;
    let entry: SignedPeerEntry =
        postcard::from_bytes(&answer).map_err(|_| SyncError::ProtocolViolation)?;
    if *entry.id() != to.id {
        return Err(SyncError::ProtocolViolation);
    }
    link.conn.close(CloseReason::Success);
    Ok(entry)
}
