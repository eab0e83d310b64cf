//! A consumer elsewhere asks for a stream of this node.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Format,
    protocol::{Hello, MAX_HELLO_LEN, Start},
    registry::Inner,
};
use crate::{
    PeerId,
    discovery::Catalog,
    gate::Gate,
    network::{CloseReason, Link, LinkError},
    producer,
};

/// How long a consumer has to send its handshake, and a producer to answer it.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long word of a change may take that lets a plain Mosaik consumer pass.
const NEWS_TIMEOUT: Duration = Duration::from_millis(500);

/// Judges the handshake, then sends the stream until it or the link is over. What comes before that is in boxes, so that a
/// subscriber costs only what sending takes.
pub(super) async fn accept(inner: Arc<Inner>, mut link: Link) {
    link.rx.set_max_frame_len(MAX_HELLO_LEN);
    let admitted = tokio::select! {
        // Triggered when the network ends.
        () = inner.env.cancel.cancelled() => Err(CloseReason::GracefulShutdown),
        // Triggered when the consumer has said what it wants, and at the latest after the time for that.
        admitted = Box::pin(greet(&inner, &mut link)) => admitted,
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

/// The catalog once the peer may pass by it, or as it is after [`NEWS_TIMEOUT`]: a peer that has just become what it must
/// be can be here before word of that is, and plain Mosaik, once refused, does not come back by itself.
async fn heard_of(inner: &Inner, gate: &Gate, peer: &PeerId) -> Catalog {
    let mut catalog = inner.env.discovery.catalog_watch();
    let mut judged = None;
    let passes = |catalog: &Catalog| {
        gate.entry(catalog, peer).is_none_or(|entry| {
            let is_new = judged.replace(entry.update_version()) != Some(entry.update_version());
            is_new && gate.judge(entry).is_some()
        })
    };
    let _ = timeout(NEWS_TIMEOUT, catalog.wait_for(passes)).await;
    catalog.borrow().clone()
}

/// What a consumer that may have the stream is told.
enum Answer {
    /// That it gets it.
    Admitted(Arc<producer::Core>, producer::Admitted, Start),
    /// Where it ended.
    Ended(Start),
    /// That the records are not what it takes them for.
    Mismatch(Start),
}

/// Answers a consumer that gets nothing: one that comes back after the end learns how much there was, and so what it
/// missed; one that takes the records for something else learns what they are.
async fn say_end(mut link: Link, start: &Start, reason: CloseReason) {
    let told = async {
        link.tx.send_frame(&start.encode()).await?;
        link.tx.finish();
        // It ends its side when it has read so far; whatever it says instead changes nothing.
        link.rx.recv_frame().await
    };
    // A consumer that does not hear it knows less, no more.
    let _ = timeout(HANDSHAKE_TIMEOUT, told).await;
    link.conn.close(reason);
}

/// Warns once of a consumer that takes the records for something else.
fn note_mismatch(inner: &Inner, core: &producer::Core, peer: &PeerId, theirs: Option<Format>) {
    if let Some((ours, theirs)) = core.format().zip(theirs)
        && core.mismatches().note(*peer, theirs)
    {
        tracing::warn!(
            stream = core.label(),
            peer = inner.env.discovery.describe(peer),
            "refused a consumer that declares {theirs}, as this producer declares {ours}: give the stream the same encoding and schema on both nodes"
        );
    }
}

async fn greet(inner: &Inner, link: &mut Link) -> Result<Answer, CloseReason> {
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
    if let Some(id) = &hello.id {
        inner.env.discovery.met_process(peer, id.process);
    }
    if hello.network != inner.env.network_id {
        return Err(CloseReason::DifferentNetwork);
    }
    let core = inner.producer_for_others(&hello.stream)?;
    let catalog = if hello.id.is_some() {
        // It tells of itself anew and comes back.
        catalog
    } else {
        heard_of(inner, core.gate(), &peer).await
    };
    // Known by the user's word alone, it is asked for its own where that is what counts.
    let peer = core
        .gate()
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
        // Plain Mosaik gets what it knows and nothing else.
        position: hello.id.map(|_| (core.epoch(), position)),
        format: core.format().filter(|_| hello.id.is_some()),
        kept,
    };
    if !Format::agree(core.format(), hello.format) && core.gate().judge(peer).is_some() {
        note_mismatch(inner, &core, peer.id(), hello.format);
        return Ok(Answer::Mismatch(start(selects, core.position(), None)));
    }
    let applicant = producer::Applicant {
        peer,
        criteria: &hello.criteria,
        filter,
        id: hello.id,
        offer: hello.offer.filter(|_| hello.id.is_some()),
        consumers: hello.consumers,
    };
    match core.admit(applicant) {
        Ok(admitted) => {
            core.mismatches().forget(peer.id());
            let start = start(selects, admitted.position(), admitted.kept());
            Ok(Answer::Admitted(core, admitted, start))
        }
        Err(CloseReason::EndOfStream)
            if hello.id.is_some() && core.gate().judge(peer).is_some() =>
        {
            Ok(Answer::Ended(start(selects, core.position(), None)))
        }
        Err(reason) => Err(reason),
    }
}
