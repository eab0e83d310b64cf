//! The end of a producer: its subscribers read the queued records, and what is left is counted.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::sleep_until;

use super::{
    core::{Core, Life},
    fanout::Fate,
    stats::{FinishReport, count},
    subscriber::{Subscriber, Target},
};
use crate::net::CloseReason;

/// The time for which a node that ends a stream and then stops stays reachable, for plain Mosaik consumers that
/// reconnect to learn how the stream ended.
const RETURN_TIME: Duration = Duration::from_secs(2);

/// Lets every subscriber read its queued records, then reports the result.
pub(super) async fn wind_up(core: &Arc<Core>) {
    if let Some(log) = &core.log {
        tokio::select! {
            // Triggered when the network shuts down or the time to drain is over.
            () = core.stopped() => {}
            // Triggered when everything is on the disk, or cannot be.
            () = log.flush() => {}
        }
        core.tally.closed.add(count(log.take_unwritten()));
    }
    let held = core.intake.abandon();
    if core.board.is_online() {
        core.tally.closed.add(held);
    } else {
        core.tally.offline.add(held);
    }
    let (for_good, deadline) = match *core.life.borrow() {
        Life::Ending { for_good, deadline } => (for_good, deadline),
        Life::Open => (false, tokio::time::Instant::now()),
    };
    let reason = if for_good {
        CloseReason::EndOfStream
    } else {
        CloseReason::GracefulShutdown
    };
    let stays = core.log.as_ref().filter(|_| for_good);
    let subscribers = match stays {
        // Consumers that come later still read the log.
        Some(log) => {
            log.set_finished(true);
            core.current_subscribers()
        }
        None => core.seal(reason),
    };
    let leaving = join_all(
        subscribers
            .iter()
            .map(|subscriber| leave(core, subscriber, for_good, reason)),
    );
    tokio::select! {
        // Triggered when the network shuts down or the time to drain is over.
        () = core.stopped() => {}
        // Triggered when every subscriber has left.
        _ = leaving => {}
    }
    let complete = subscribers
        .iter()
        .filter(|subscriber| is_complete(subscriber))
        .count();
    for subscriber in subscribers.iter() {
        subscriber.cut(reason);
        core.remove(subscriber);
    }
    core.taps.close();
    if stays.is_none() {
        core.unregister(for_good);
    }
    let foreign = |subscriber: &Arc<Subscriber>| {
        subscriber
            .remote()
            .is_some_and(|remote| remote.connection().id.is_none())
    };
    if for_good && subscribers.iter().any(foreign) {
        // Plain Mosaik reconnects at once to learn how the stream ended, and needs an answer.
        tokio::select! {
            // Triggered when the network shuts down.
            () = core.cancel.cancelled() => {}
            // Triggered when reconnecting consumers have their answer, and at the latest when the time to drain is
            // over.
            () = sleep_until(deadline.min(tokio::time::Instant::now() + RETURN_TIME)) => {}
        }
    }
    let incomplete = subscribers.len() - complete;
    core.report.send_replace(Some(FinishReport {
        ended: for_good,
        complete,
        incomplete,
        stats: core.stats(),
    }));
    if stays.is_none() {
        core.cancel.cancel();
    }
}

async fn leave(core: &Core, subscriber: &Arc<Subscriber>, for_good: bool, reason: CloseReason) {
    match &subscriber.target {
        Target::Local(local) => {
            let queue = local.consumer.queue();
            let (mark, _) = queue.put_so_far();
            let fate = if for_good { Fate::Complete } else { Fate::Left };
            core.remove_as(subscriber, fate);
            if for_good {
                queue.taken(mark).await;
            }
            subscriber.done.cancel();
        }
        Target::Remote(remote) => {
            remote.ending.send_replace(reason);
            remote.queue.close();
            if !for_good && subscriber.reads_log() {
                // It continues at its position when the stream returns.
                return;
            }
            if !for_good {
                core.remove_if_away(subscriber);
            }
            subscriber.gone.cancelled().await;
        }
    }
}

fn is_complete(subscriber: &Subscriber) -> bool {
    match &subscriber.target {
        Target::Local(_) => subscriber.done.is_cancelled(),
        Target::Remote(remote) => *remote.complete.borrow(),
    }
}
