//! [`Reading`]: receives the records of a subscription, and sends changes of its demand.

use std::sync::Arc;

use futures::FutureExt;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::restarted;
use crate::{
    Frames,
    channel::{
        protocol::{HANDSHAKE_TIMEOUT, Retune},
        queue::Closed,
        status::Channel,
    },
    consumer::{
        confirm::Confirming,
        group::{Demand, Feed, Group, Memory},
        outcome::Outcome,
    },
    discovery::Catalog,
    net::{CloseReason, Link, LinkError, LinkReceiver, LinkSender},
    peer::PeerEntry,
};

/// A subscription that receives records.
pub(super) struct Reading<'a> {
    pub(super) group: &'a Group,
    pub(super) channel: &'a Channel,
    /// True if the producer applies the criteria. After they have changed, it is unknown which ones were applied to a
    /// record in flight, so the consumer applies them as well.
    pub(super) selects: bool,
    /// The demand that was last sent to the producer.
    pub(super) asked: Arc<Demand>,
    /// True if the producer supports changes of the demand.
    pub(super) retunes: bool,
    pub(super) rejected: &'a CancellationToken,
    pub(super) feed: &'a Arc<Feed>,
    /// Confirms taken records, if the producer accepts confirmations.
    pub(super) confirming: Option<Confirming>,
}

impl Reading<'_> {
    /// Receives until the subscription is over.
    pub(super) async fn run(
        mut self,
        Link { conn, tx, rx }: &mut Link,
        mut demand: watch::Receiver<Arc<Demand>>,
        memory: &mut Memory,
        catalog: &watch::Receiver<Catalog>,
        peer: &PeerEntry,
    ) -> Outcome {
        let mut restarted = std::pin::pin!(restarted(catalog.clone(), peer));
        loop {
            // While backlogs remain nothing is read, so that QUIC applies backpressure.
            let is_full = !self.feed.is_drained();
            let received = tokio::select! {
                biased;
                // Triggered when a record was malformed.
                () = self.rejected.cancelled() => return Outcome::Rejected,
                // Triggered when the demand changes. Polled first, since records may arrive without a pause.
                Ok(()) = demand.changed() => {
                    let demand = demand.borrow_and_update().clone();
                    if !self.tell(tx, demand, memory).await {
                        // Without last words, so that the producer retains what was not received.
                        conn.close(CloseReason::TimedOut);
                        return Outcome::Closed(CloseReason::TimedOut);
                    }
                    continue;
                }
                // Triggered by records, by the end of the stream, or by the end of the link.
                received = rx.recv_frames(), if !is_full => received,
                // Triggered when all received records are queued.
                () = self.feed.drained(), if is_full => continue,
                // Triggered when the link closes.
                reason = conn.closed(), if is_full => {
                    self.take_rest(rx, memory);
                    return Outcome::Closed(reason);
                }
                // Triggered when the peer has restarted.
                () = &mut restarted => {
                    self.take_rest(rx, memory);
                    return Outcome::Restarted;
                }
            };
            match received {
                Ok(Some(frames)) => {
                    if self.take(&frames, memory).is_err() {
                        // No consumer is left; the group cancels this task.
                        std::future::pending::<()>().await;
                    }
                }
                Ok(None) => {
                    if let Some(confirming) = &self.confirming {
                        tokio::select! {
                            // Triggered when every received record is taken.
                            () = confirming.all_taken() => {}
                            // Triggered when a record was malformed.
                            () = self.rejected.cancelled() => return Outcome::Rejected,
                            // Triggered when the link closes: the producer stopped waiting, or is gone.
                            reason = conn.closed() => return Outcome::Closed(reason),
                            // Triggered when the peer has restarted.
                            () = &mut restarted => return Outcome::Restarted,
                        }
                    }
                    // Everything is read, and taken if the producer asked for that. Finishing lets the producer close
                    // the link with the reason for which the stream ends.
                    tx.finish();
                    return match timeout(HANDSHAKE_TIMEOUT, conn.closed()).await {
                        Ok(reason) => Outcome::Closed(reason),
                        Err(_) => Outcome::Closed(CloseReason::UnexpectedClose),
                    };
                }
                Err(LinkError::Closed(reason)) => return Outcome::Closed(reason),
                Err(error) => {
                    if matches!(error, LinkError::TooLarge { .. }) {
                        for core in self.group.consumers() {
                            core.tally.too_large.add(1);
                        }
                    }
                    tracing::warn!(peer = %peer.id(), stream = self.group.label(), %error, "a producer broke the protocol");
                    return Outcome::Rejected;
                }
            }
        }
    }

    /// Sends a changed demand to the producer, if it supports that. Returns false if the producer does not read it: it
    /// then keeps the previous criteria, and the stream must not be used again.
    async fn tell(
        &mut self,
        tx: &mut LinkSender,
        demand: Arc<Demand>,
        memory: &mut Memory,
    ) -> bool {
        let criteria = &demand.criteria;
        self.selects &= *criteria == self.asked.criteria;
        if !criteria.is_everything() {
            memory.selected();
        }
        if self.retunes {
            let retune = Retune {
                criteria: criteria.clone(),
                consumers: demand.consumers,
            };
            // An error means that the link has ended, which reading reports.
            let sent = timeout(HANDSHAKE_TIMEOUT, tx.send_frame(&retune.encode())).await;
            if sent.is_err() {
                return false;
            }
        }
        self.asked = demand;
        true
    }

    /// Counts received records and passes them to the feed.
    fn take(&mut self, frames: &Frames, memory: &mut Memory) -> Result<(), Closed> {
        let is_selected =
            self.selects && self.asked.is_uniform && Arc::ptr_eq(&self.asked, &self.group.demand());
        let unwanted = self.feed.take(frames, is_selected)?;
        memory.advance(frames.count());
        let stats = self.channel.info.stats();
        stats.moved(frames.count(), frames.payload_len());
        stats.filtered_more(unwanted);
        if let Some(confirming) = &mut self.confirming {
            confirming.received();
        }
        Ok(())
    }

    /// Takes the records that had arrived over a link that is no longer used.
    fn take_rest(&mut self, rx: &mut LinkReceiver, memory: &mut Memory) {
        if !self.feed.takes_rest() {
            return;
        }
        while let Some(Ok(Some(frames))) = rx.recv_frames().now_or_never() {
            if self.take(&frames, memory).is_err() {
                return;
            }
        }
    }
}
