//! Answers remote consumers that ask for a stream of this node.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::slots::Registry;
use crate::{
    PeerId,
    channel::{
        authorization::Authorizer,
        format::Format,
        protocol::{HANDSHAKE_TIMEOUT, Hello, MAX_HELLO_LEN, Start},
    },
    discovery::Catalog,
    net::{CloseReason, Link, LinkError},
    producer,
};

/// The time for which a plain Mosaik consumer is kept waiting for an update of its entry that authorizes it.
const NEWS_TIMEOUT: Duration = Duration::from_millis(500);

/// Answers the handshake, then sends the stream until it or the link ends. The futures before that are boxed, so that a
/// subscriber only holds the memory that sending needs.
pub(super) async fn accept(registry: Arc<Registry>, mut link: Link) {
    link.rx.set_max_frame_len(MAX_HELLO_LEN);
    let admitted = tokio::select! {
        // Triggered when the network shuts down.
        () = registry.env.cancel.cancelled() => Err(CloseReason::GracefulShutdown),
        // Triggered when the handshake is complete, and at the latest when it times out.
        admitted = Box::pin(greet(&registry, &mut link)) => admitted,
    };
    match admitted {
        Ok(Answer::Admitted(core, admitted, start)) => {
            producer::serve(core, admitted, link, start).await;
        }
        Ok(Answer::Ended(start)) => Box::pin(say_end(link, &start, CloseReason::EndOfStream)).await,
        Ok(Answer::Mismatch(start)) => {
            Box::pin(say_end(link, &start, CloseReason::FormatMismatch)).await;
        }
        Err(reason) => {
            tracing::debug!(peer = %link.conn.peer(), %reason, "consumer refused");
            link.conn.close(reason);
        }
    }
}

/// Returns the catalog once the peer is authorized, or after [`NEWS_TIMEOUT`]. A peer whose entry has just changed may
/// connect before the change arrives, and plain Mosaik does not retry after a refusal.
async fn heard_of(registry: &Registry, authorizer: &Authorizer, peer: &PeerId) -> Catalog {
    let mut catalog = registry.env.discovery.catalog_watch();
    let mut checked = None;
    let passes = |catalog: &Catalog| {
        authorizer.entry(catalog, peer).is_none_or(|entry| {
            let is_new = checked.replace(entry.update_version()) != Some(entry.update_version());
            is_new && authorizer.authorize(entry).is_some()
        })
    };
    let _ = timeout(NEWS_TIMEOUT, catalog.wait_for(passes)).await;
    catalog.borrow().clone()
}

/// The answer to an authorized consumer.
enum Answer {
    /// The subscription starts.
    Admitted(Arc<producer::Core>, producer::Admitted, Start),
    /// The stream has ended at this position.
    Ended(Start),
    /// The formats do not match.
    Mismatch(Start),
}

/// Answers a consumer that receives no records. One that reconnects after the end learns the final position, and
/// thereby what it missed; one that declares another format learns the producer's.
async fn say_end(mut link: Link, start: &Start, reason: CloseReason) {
    let told = async {
        link.tx.send_frame(&start.encode()).await?;
        link.tx.finish();
        // The consumer finishes its side once it has read the answer. Anything else it sends is ignored.
        link.rx.recv_frame().await
    };
    // A consumer that does not receive the answer misses only this information.
    let _ = timeout(HANDSHAKE_TIMEOUT, told).await;
    link.conn.close(reason);
}

/// Logs one warning about a consumer that declares another format.
fn note_mismatch(
    registry: &Registry,
    core: &producer::Core,
    peer: &PeerId,
    theirs: Option<Format>,
) {
    if let Some((ours, theirs)) = core.format().zip(theirs)
        && core.mismatches().note(*peer, theirs)
    {
        tracing::warn!(
            stream = core.label(),
            peer = registry.env.discovery.describe(peer),
            "refused a consumer that declares {theirs}, as this producer declares {ours}: give the stream the same encoding and schema on both nodes"
        );
    }
}

async fn greet(registry: &Registry, link: &mut Link) -> Result<Answer, CloseReason> {
    let frame = match timeout(HANDSHAKE_TIMEOUT, link.rx.recv_frame()).await {
        Ok(Ok(Some(frame))) => frame,
        Ok(Ok(None)) | Err(_) => return Err(CloseReason::Cancelled),
        Ok(Err(LinkError::Closed(reason))) => return Err(reason),
        Ok(Err(_)) => return Err(CloseReason::ProtocolViolation),
    };
    let hello = Hello::decode(&frame).map_err(|_| CloseReason::ProtocolViolation)?;
    let catalog = registry.env.discovery.catalog();
    let peer = link.conn.peer();
    catalog.get(&peer).ok_or(CloseReason::UnknownPeer)?;
    if let Some(id) = &hello.id {
        registry.env.discovery.met_process(peer, id.process);
    }
    if hello.network != registry.env.network_id {
        return Err(CloseReason::DifferentNetwork);
    }
    let core = registry.producer_for_others(&hello.stream)?;
    let catalog = if hello.id.is_some() {
        // It announces itself again and reconnects.
        catalog
    } else {
        heard_of(registry, core.authorizer(), &peer).await
    };
    // If only an inserted entry is known, the peer is asked for its signed one where tickets are required.
    let peer = core
        .authorizer()
        .entry(&catalog, &peer)
        .ok_or(CloseReason::UnknownPeer)?;
    let filter = core.lookup().filter(&hello.criteria).ok();
    let selects = filter
        .as_ref()
        .is_some_and(|filter| !filter.is_everything());
    let start = |selects, position, kept| Start {
        network: hello.network,
        stream: hello.stream,
        selects,
        // Plain Mosaik receives only what it supports.
        position: hello.id.map(|_| (core.epoch(), position)),
        format: core.format().filter(|_| hello.id.is_some()),
        kept,
        log: None,
    };
    if !Format::agree(core.format(), hello.format) && core.authorizer().authorize(peer).is_some() {
        note_mismatch(registry, &core, peer.id(), hello.format);
        return Ok(Answer::Mismatch(start(selects, core.position(), None)));
    }
    let offer = hello.offer.filter(|_| hello.id.is_some());
    let begin = core.begin(peer, offer.as_ref()).await;
    let is_from_log = begin.is_some();
    let applicant = producer::Applicant {
        peer,
        begin,
        criteria: &hello.criteria,
        filter,
        id: hello.id,
        offer,
        consumers: hello.consumers,
    };
    match core.admit(applicant) {
        Ok(admitted) => {
            core.mismatches().forget(peer.id());
            let selects = selects && !is_from_log;
            let start = Start {
                log: core.log_range().filter(|_| is_from_log),
                ..start(selects, admitted.position(), admitted.kept())
            };
            Ok(Answer::Admitted(core, admitted, start))
        }
        Err(CloseReason::EndOfStream)
            if hello.id.is_some() && core.authorizer().authorize(peer).is_some() =>
        {
            Ok(Answer::Ended(start(selects, core.position(), None)))
        }
        Err(reason) => Err(reason),
    }
}
