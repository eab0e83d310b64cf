//! Closes all streams of a node that stops.

use std::time::Duration;

use futures::future::{join_all, select_all};
use mosaik_streams::status::When;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Outlets;

/// Time for which a stopping node keeps records for a stream that currently has no readers: 1 s.
const OFFLINE_GRACE: Duration = Duration::from_secs(1);

/// Time limit for streams that are cut off to count their remaining records: 2 s.
const CUT_GRACE: Duration = Duration::from_secs(2);

/// The same limit once the node has to stop immediately: 300 ms.
const CUT_GRACE_HURRIED: Duration = Duration::from_millis(300);

/// Resolves at the deadline, or once one of these streams has been offline for [`OFFLINE_GRACE`].
pub(in crate::topology) async fn over(until: Instant, streams: Vec<When>) {
    let is_offline = || streams.iter().any(|when| !when.is_online());
    let offline = async {
        loop {
            if is_offline() {
                sleep(OFFLINE_GRACE).await;
                if is_offline() {
                    return;
                }
            } else if streams.is_empty() {
                std::future::pending::<()>().await;
            } else {
                select_all(streams.iter().map(|when| Box::pin(when.offline()))).await;
            }
        }
    };
    // Either way, the time is over.
    let _ = timeout_at(until, offline).await;
}

impl Outlets {
    /// Closes all producers and waits for the ended streams to be read, until the deadline or until
    /// `hurry` is cancelled. Records that remain then are cut off.
    pub(in crate::topology) async fn close_all(
        &mut self,
        until: Instant,
        hurry: &CancellationToken,
    ) {
        for (stream, producer) in std::mem::take(&mut self.producers) {
            let over = over(until, vec![producer.when().clone()]);
            let cut = async {
                tokio::select! {
                    // Triggered when the time is over, or the stream has had no readers for long enough.
                    () = over => {}
                    // Triggered when the node has to stop immediately.
                    () = hurry.cancelled() => {}
                }
            };
            let left = until.saturating_duration_since(Instant::now());
            let report = producer.close_unless(left, cut).await;
            self.totals.note_producer(&stream, &report.stats);
        }
        let endings = self.endings.values();
        let over = join_all(endings.map(|ending| over(until, vec![ending.when.clone()])));
        let are_read = tokio::select! {
            biased;
            // Triggered when all streams are read.
            () = self.all_read() => true,
            // Triggered when the time is over for each of them.
            _ = over => false,
            // Triggered when the node has to stop immediately.
            () = hurry.cancelled() => false,
        };
        if are_read {
            return;
        }
        self.endings.values().for_each(|ending| ending.cut.cancel());
        let grace = if hurry.is_cancelled() {
            CUT_GRACE_HURRIED
        } else {
            CUT_GRACE
        };
        if timeout(grace, self.all_read()).await.is_err() {
            tracing::warn!(
                "a stream did not close in time; its queued records are missing from the summary"
            );
        }
    }

    /// Waits for the ended streams to be read. Cancel safe.
    async fn all_read(&mut self) {
        while self.next_read().await {}
    }
}
