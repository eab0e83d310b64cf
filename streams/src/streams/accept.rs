//! A consumer elsewhere asks for a stream of this node.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    protocol::{Hello, MAX_HELLO_LEN, Start},
    registry::Inner,
};
use crate::{
    network::{CloseReason, Link, LinkError},
    producer,
};

/// How long a consumer has to send its handshake, and a producer to answer it.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Judges the handshake, then sends the stream until it or the link is over.
pub(super) async fn accept(inner: Arc<Inner>, mut link: Link) {
    link.rx.set_max_frame_len(MAX_HELLO_LEN);
    let admitted = tokio::select! {
        // Triggered when the network ends.
        () = inner.env.cancel.cancelled() => Err(CloseReason::GracefulShutdown),
        // Triggered when the consumer has said what it wants, and at the latest after the time for that.
        admitted = greet(&inner, &mut link) => admitted,
    };
    match admitted {
        Ok((core, admitted, start)) => {
            producer::serve(core, admitted, link, start).await;
        }
        Err(reason) => {
            tracing::debug!(peer = %link.conn.peer(), %reason, "consumer refused");
            link.conn.close(reason);
        }
    }
}

async fn greet(
    inner: &Inner,
    link: &mut Link,
) -> Result<(Arc<producer::Core>, producer::Admitted, Start), CloseReason> {
    let frame = match timeout(HANDSHAKE_TIMEOUT, link.rx.recv_frame()).await {
        Ok(Ok(Some(frame))) => frame,
        Ok(Ok(None)) | Err(_) => return Err(CloseReason::Cancelled),
        Ok(Err(LinkError::Closed(reason))) => return Err(reason),
        Ok(Err(_)) => return Err(CloseReason::ProtocolViolation),
    };
    let hello = Hello::decode(&frame).map_err(|_| CloseReason::ProtocolViolation)?;
    let catalog = inner.env.discovery.catalog();
    let peer = link.conn.peer();
    catalog.get(&peer).ok_or(CloseReason::UnknownPeer)?;
    if hello.network != inner.env.network_id {
        return Err(CloseReason::DifferentNetwork);
    }
    let core = inner.producer_for_others(&hello.stream)?;
    // Known by the user's word alone, it is asked for its own where that is what counts.
    let peer = core
        .gate()
        .entry(&catalog, &peer)
        .ok_or(CloseReason::UnknownPeer)?;
    let filter = core.lookup().filter(&hello.criteria).ok();
    let selects = filter
        .as_ref()
        .is_some_and(|filter| !filter.is_everything());
    let admitted = core.admit(peer, &hello.criteria, filter, hello.id)?;
    let start = Start {
        network: hello.network,
        stream: hello.stream,
        selects,
        // Plain Mosaik gets what it knows and nothing else.
        position: hello.id.map(|_| (core.epoch(), admitted.position())),
    };
    Ok((core, admitted, start))
}
