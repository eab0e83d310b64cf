//! The fan-out: takes what a producer was given and hands it to every subscriber, in order.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::{join_all, select_all};
use tokio::{
    sync::watch,
    task::yield_now,
    time::{sleep, sleep_until, timeout},
};

use super::{
    FinishReport,
    core::{Core, Life},
    fanout::Fate,
    lag::{Budget, DisconnectLagging},
    subscriber::{Subscriber, Target},
    undelivered::give_back,
};
use crate::{Frames, network::CloseReason, queue::Next};

/// A node that ends a stream and then itself stays for this long, for plain Mosaik consumers that come back to see what
/// happened.
const RETURN_TIME: Duration = Duration::from_secs(2);

/// The worker must stop, whatever is left.
struct Stopped;

/// Runs until the producer has ended. All that is left then is counted.
pub(super) async fn run(core: Arc<Core>) {
    {
        let mut stopped = pin!(core.stopped());
        let mut watchers = (core.board.online_watcher(), core.life.subscribe());
        let mut budget = None;
        loop {
            let batch = tokio::select! {
                biased;
                // Triggered when the network ends or the time to drain is over.
                () = &mut stopped => break,
                // Triggered when there are datums and someone to send them to, or there never will be.
                batch = next(&core, &mut watchers) => batch,
            };
            let Some(batch) = batch else { break };
            if deliver(&core, batch, &mut budget, stopped.as_mut())
                .await
                .is_err()
            {
                break;
            }
        }
    }
    wind_up(&core).await;
}

/// What is held while offline stays held. `None` at the end.
async fn next(
    core: &Core,
    (online, life): &mut (watch::Receiver<bool>, watch::Receiver<Life>),
) -> Option<Frames> {
    loop {
        if core.board.is_online() {
            linger(core).await;
        }
        // Whoever was there before the wait may have left.
        if core.board.is_online()
            && let Some((_, batch)) = core.intake.try_take(usize::MAX)
        {
            return Some(batch);
        }
        if *online.borrow_and_update() {
            let only = core.cut_through();
            let rejected = async {
                match &only {
                    Some(only) => only.rejected().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Triggered when there are datums, or there never will be.
                there = core.intake.filled() => if !there { return None },
                // Triggered when it goes offline.
                _ = online.changed() => {}
                // Triggered when the consumer that datums go to directly takes no more of them.
                () = rejected => {}
            }
            if only.is_some() {
                core.hold();
            }
            continue;
        }
        let given_up = matches!(
            *life.borrow_and_update(),
            Life::Ending {
                for_good: false,
                ..
            }
        );
        if given_up || (core.intake.is_closed() && core.intake.held().0 == 0) {
            return None;
        }
        tokio::select! {
            // Triggered when it comes online.
            _ = online.changed() => {}
            // Triggered when it begins to end.
            _ = life.changed() => {}
        }
    }
}

/// Waits, if the stream says so, for more to go out with what is there.
async fn linger(core: &Core) {
    let linger = core.live().linger;
    if !linger.is_zero() && core.intake.held().0 > 0 {
        // Either way, no more is waited for.
        let _ = timeout(linger, core.intake.worth_taking()).await;
    }
}

async fn deliver(
    core: &Core,
    batch: Frames,
    budget: &mut Option<Budget>,
    stopped: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), Stopped> {
    core.taps.offer(&batch);
    let subscribers = core.advance(batch.count());
    let given_back = core
        .undelivered
        .as_ref()
        .map_or(0, |sink| give_back(sink, &subscribers, &batch));
    let mut waiting = Vec::new();
    let mut hand_over_to = |subscriber: &Arc<Subscriber>| {
        let wanted = subscriber.select(&batch);
        core.tally.filtered.add(batch.count() - wanted.count());
        hand_over(core, subscriber, wanted, &mut waiting);
    };
    // Each is asked once: one may go on leave meanwhile.
    let mut present = 0;
    for subscriber in subscribers.iter().filter(|one| !one.is_on_leave()) {
        present += 1;
        hand_over_to(subscriber);
    }
    if present == 0 && (subscribers.is_empty() || core.board.is_online()) {
        core.tally.nobody.add(batch.count() - given_back);
        return Ok(());
    }
    if present == 0 {
        // It was taken from the intake when the last of them left, and is theirs still.
        subscribers.iter().for_each(hand_over_to);
    }
    if waiting.is_empty() {
        Ok(())
    } else {
        wait(core, waiting, budget, stopped).await
    }
}

type Waiting = Vec<(Arc<Subscriber>, Frames)>;

/// Puts what there is room for into the subscriber's queue, and the rest into `waiting`.
fn hand_over(core: &Core, subscriber: &Arc<Subscriber>, mut frames: Frames, waiting: &mut Waiting) {
    let (count, len) = (frames.count(), frames.payload_len());
    let taken = !subscriber.has_left()
        && subscriber
            .queue()
            .put(subscriber.source(), &mut frames)
            .is_ok();
    if !taken {
        subscriber.missed(frames.count(), &core.tally.closed);
        core.remove(subscriber);
        return;
    }
    subscriber.passed(count - frames.count(), len - frames.payload_len());
    if !frames.is_empty() {
        waiting.push((subscriber.clone(), frames));
    }
}

/// Why those that have no room are looked at again.
enum Again {
    /// One of them has room, or has left.
    Room,
    /// The time that may be spent waiting is spent.
    OutOfTime,
    /// The stream has another policy.
    OtherPolicy,
}

/// Waits for those that have no room, as long as the stream waits for such.
async fn wait(
    core: &Core,
    mut waiting: Waiting,
    budget: &mut Option<Budget>,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), Stopped> {
    let mut policies = core.lagging.subscribe();
    let mut online = core.board.online_watcher();
    apply_policy(core, &mut policies, budget, &mut waiting).await;
    while !waiting.is_empty() {
        let since = Instant::now();
        let any_remote = waiting
            .iter()
            .any(|(subscriber, _)| subscriber.remote().is_some());
        // While it is offline nobody is held up: the stream takes nothing then.
        let is_spending = any_remote && *online.borrow_and_update();
        let patience = budget
            .as_mut()
            .filter(|_| is_spending)
            .map(|budget| budget.left(since));
        let out_of_patience = async {
            match patience {
                Some(left) => sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let room = select_all(
            waiting
                .iter()
                .map(|(subscriber, rest)| Box::pin(has_room(subscriber, rest))),
        );
        let again = tokio::select! {
            biased;
            // Triggered when the network ends or the time to drain is over.
            () = &mut stopped => {
                for (subscriber, rest) in &waiting {
                    subscriber.missed(rest.count(), &core.tally.closed);
                }
                return Err(Stopped);
            }
            // Triggered when the policy changes, which holds for those that are being waited for, too.
            Ok(()) = policies.changed(), if any_remote => Again::OtherPolicy,
            // Triggered when it comes online or goes offline.
            Ok(()) = online.changed() => Again::Room,
            // Triggered when one of them has room, or has left.
            _ = room => Again::Room,
            // Triggered when the time that may be spent waiting is spent.
            () = out_of_patience => Again::OutOfTime,
        };
        // First: the time was spent under the policy, and out of the budget, that there was until now.
        if let Some(budget) = budget.as_mut().filter(|_| is_spending) {
            budget.spend(since, Instant::now());
        }
        match again {
            Again::Room => {}
            Again::OutOfTime => give_up(core, &mut waiting, true),
            Again::OtherPolicy => {
                apply_policy(core, &mut policies, budget, &mut waiting).await;
            }
        }
        try_again(core, &mut waiting);
    }
    Ok(())
}

/// Does with those that have no room what the policy says now; whom it waits for is left. The budget becomes the one of
/// the same policy, so that nobody is waited for without it.
async fn apply_policy(
    core: &Core,
    policies: &mut watch::Receiver<DisconnectLagging>,
    budget: &mut Option<Budget>,
    waiting: &mut Waiting,
) {
    let policy = *policies.borrow_and_update();
    Budget::keep(budget, policy, Instant::now());
    match policy {
        DisconnectLagging::After(_) | DisconnectLagging::Wait => {}
        DisconnectLagging::AtOnce => {
            // A sender that merely had no turn yet takes its datums now.
            yield_now().await;
            try_again(core, waiting);
            give_up(core, waiting, true);
        }
        DisconnectLagging::Never => give_up(core, waiting, false),
    }
}

/// Waits no more for those elsewhere: they miss what they have no room for, and are cut off if so said.
fn give_up(core: &Core, waiting: &mut Waiting, cut: bool) {
    waiting.retain(|(subscriber, rest)| {
        if subscriber.remote().is_none() {
            return true;
        }
        subscriber.missed(rest.count(), &core.tally.lagging);
        if cut {
            core.cut_lagging(subscriber);
        }
        false
    });
}

fn try_again(core: &Core, waiting: &mut Waiting) {
    for (subscriber, rest) in std::mem::take(waiting) {
        hand_over(core, &subscriber, rest, waiting);
    }
}

async fn has_room(subscriber: &Subscriber, rest: &Frames) {
    let first_len = rest.iter().next().map_or(0, <[u8]>::len);
    tokio::select! {
        // Triggered when there is room, or its queue is closed.
        _ = subscriber.queue().room_for(first_len) => {}
        // Triggered when it is taken out of the list.
        () = subscriber.gone.cancelled() => {}
        // Triggered when the consumer takes no more from this source.
        () = subscriber.rejected() => {}
    }
}

/// Lets every subscriber read what is queued for it, then tells how it ended.
async fn wind_up(core: &Arc<Core>) {
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
    let subscribers = core.seal(reason);
    let leaving = join_all(
        subscribers
            .iter()
            .map(|subscriber| leave(core, subscriber, for_good, reason)),
    );
    tokio::select! {
        // Triggered when the network ends, or the time to drain is over.
        () = core.stopped() => {}
        // Triggered when all have left.
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
    core.streams.remove_producer(core, for_good);
    let foreign = |subscriber: &Arc<Subscriber>| {
        subscriber
            .remote()
            .is_some_and(|remote| remote.connection().id.is_none())
    };
    if for_good && subscribers.iter().any(foreign) {
        // Plain Mosaik comes back at once to see what happened, and must meet someone who knows.
        tokio::select! {
            // Triggered when the network ends.
            () = core.cancel.cancelled() => {}
            // Triggered when whoever came back has its answer, and at the latest when the time to drain is over.
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
    core.cancel.cancel();
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
            if !for_good && remote.is_away() {
                core.remove_as(subscriber, subscriber.fate_away());
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

/// How long a producer that ends lets its subscribers read what is queued: 30 s.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
