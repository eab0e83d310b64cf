//! The sending end of one connection: takes all that is queued for a subscriber and writes it at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures::future::try_join;
use tokio::time::timeout;

use super::{
    core::Core,
    fanout::Admitted,
    subscriber::{Remote, Subscriber},
};
use crate::{
    network::{CloseReason, Link, LinkReceiver, LinkSender},
    streams::{
        HANDSHAKE_TIMEOUT,
        protocol::{Retune, Start},
    },
};

/// Serves an admitted subscriber until it has left.
pub(crate) async fn serve(core: Arc<Core>, admitted: Admitted, link: Link, start: Start) {
    let Link { conn, tx, rx } = link;
    let (subscriber, pass) = admitted.into_parts();
    let Some(remote) = subscriber.remote() else {
        return;
    };
    let _hold = core.streams.env.discovery.hold(conn.peer());
    let mut cut = remote.cut.subscribe();
    let catalog = core.streams.env.discovery.catalog_watch();
    let sending = Sending {
        core: &core,
        subscriber: &subscriber,
        remote,
        in_flight: AtomicUsize::new(0),
        all_written: AtomicBool::new(false),
    };
    let reason = tokio::select! {
        biased;
        // Triggered when the producer cuts it off.
        cut = cut.wait_for(Option::is_some) => cut.ok().and_then(|cut| *cut).unwrap_or(CloseReason::Cancelled),
        // Triggered when the peer may not stay: even while a write waits, and while there is nothing to write.
        () = core.gate.closed(catalog, remote.peer.id(), pass) => {
            tracing::info!(peer = %remote.peer.id(), stream = %core.id, "cut off: the consumer is or shows no longer what is required");
            CloseReason::NotAllowed
        }
        // Triggered when all was sent and read, or nothing can be sent any more.
        reason = sending.run(tx, rx, &start) => reason,
        // Triggered when the connection ends.
        reason = conn.closed() => {
            // Plain Mosaik answers the end of the stream by closing.
            let read_all = remote.id.is_none() && sending.all_written.load(Ordering::Acquire);
            remote.complete.send_replace(read_all);
            reason
        }
    };
    conn.close(reason);
    let unsent = sending.in_flight.load(Ordering::Acquire);
    let counter = if reason == CloseReason::TooSlow {
        &core.tally.lagging
    } else {
        &core.tally.closed
    };
    subscriber.missed(unsent, counter);
    core.remove(&subscriber);
}

struct Sending<'a> {
    core: &'a Core,
    subscriber: &'a Subscriber,
    remote: &'a Remote,
    /// Datums of the write that is under way.
    in_flight: AtomicUsize,
    all_written: AtomicBool,
}

impl Sending<'_> {
    /// The reason to close the connection with.
    async fn run(&self, mut tx: LinkSender, mut rx: LinkReceiver, start: &Start) -> CloseReason {
        if !matches!(
            timeout(HANDSHAKE_TIMEOUT, tx.send_frame(&start.encode())).await,
            Ok(Ok(()))
        ) {
            return CloseReason::Cancelled;
        }
        let heard = async {
            match self.remote.id {
                Some(_) => Ok(self.hear(&mut rx).await),
                // Plain Mosaik says nothing and closes, which the caller sees.
                None => std::future::pending().await,
            }
        };
        match try_join(self.write(tx), heard).await {
            Ok(((), read_all)) => self.remote.complete.send_replace(read_all),
            Err(reason) => return reason,
        };
        *self.remote.ending.borrow()
    }

    /// Writes until there is nothing more to write.
    async fn write(&self, mut tx: LinkSender) -> Result<(), CloseReason> {
        while let Some(mut all) = self.remote.queue.take_all().await {
            self.in_flight.store(all.count, Ordering::Release);
            // Counted before the bytes can arrive, so that no one sees more received than sent.
            self.subscriber
                .channel
                .info
                .stats()
                .moved(all.count, all.payload_len);
            self.core.tally.sent_datums.add(all.count);
            self.core.tally.sent_bytes.add(all.payload_len);
            let sent = tx.send_wire(&mut all.batches).await;
            sent.map_err(|_| CloseReason::Cancelled)?;
            self.in_flight.store(0, Ordering::Release);
        }
        tx.finish();
        self.all_written.store(true, Ordering::Release);
        Ok(())
    }

    /// Selects as the consumer asks, until it ends its side, which says that it has read all, or the link ends.
    async fn hear(&self, rx: &mut LinkReceiver) -> bool {
        loop {
            match rx.recv_frame().await {
                Ok(Some(frame)) => {
                    if let Some(criteria) = Retune::decode(&frame) {
                        self.core.select_for(self.subscriber, &criteria);
                    }
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }
}
