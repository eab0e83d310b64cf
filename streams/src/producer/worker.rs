//! The fan-out: takes the records of a producer's queue and hands them to every subscriber, in order.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Instant,
};

use futures::future::select_all;
use tokio::{
    sync::watch,
    task::yield_now,
    time::{sleep, timeout},
};

use super::{
    core::{Core, Life},
    ending::wind_up,
    lag::{Budget, DisconnectLagging},
    subscriber::Subscriber,
    undelivered::give_back,
};
use crate::{
    Frames,
    channel::queue::{Item, Next},
};

/// The worker must stop, even with records left.
struct Stopped;

/// Runs until the producer has ended. Counts the records that are left.
pub(super) async fn run(core: Arc<Core>) {
    {
        let mut stopped = pin!(core.stopped());
        let mut failed = pin!(log_failed(&core));
        let mut watchers = (core.board.online_watcher(), core.life.subscribe());
        let mut budget = None;
        loop {
            let item = tokio::select! {
                biased;
                // Triggered when the network shuts down or the time to drain is over.
                () = &mut stopped => break,
                // Triggered when the log accepts nothing more.
                () = &mut failed => break,
                // Triggered when there are records and subscribers, or there never will be.
                item = next(&core, &mut watchers) => item,
            };
            let batch = match item {
                Some(Item::Batch(_, batch)) => batch,
                Some(Item::Mark(mark)) => {
                    core.pass_mark(mark);
                    if let Some(log) = &core.log {
                        log.put_mark(mark).await;
                    }
                    continue;
                }
                None => break,
            };
            if let Some(log) = &core.log {
                tokio::select! {
                    biased;
                    // Triggered when the network shuts down or the time to drain is over.
                    () = &mut stopped => {
                        core.tally.closed.add(batch.count());
                        break;
                    }
                    // Triggered when the writer of the log takes the batch, or fails.
                    () = log.append(batch.clone()) => {}
                }
            }
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

/// Resolves when the log of a durable stream has failed.
async fn log_failed(core: &Core) {
    match &core.log {
        Some(log) => drop(log.failed().await),
        None => std::future::pending().await,
    }
}

/// Returns the next mark or batch; `None` at the end. Records held while offline stay held, with the marks behind them.
async fn next(
    core: &Core,
    (online, life): &mut (watch::Receiver<bool>, watch::Receiver<Life>),
) -> Option<Item> {
    loop {
        if let Some(mark) = core.intake.take_due_mark() {
            return Some(Item::Mark(mark));
        }
        let is_time = !core.board.is_online() || linger(core).await;
        // The subscribers may have left during the wait.
        if is_time
            && core.board.is_online()
            && let Some(item) = core.intake.try_take_item(usize::MAX)
        {
            return Some(item);
        }
        if *online.borrow_and_update() {
            let only = core.start_bypass();
            let rejected = async {
                match &only {
                    Some(only) => only.rejected().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Triggered when there are records, or there never will be.
                there = core.intake.filled() => if !there { return None },
                // Triggered when it goes offline.
                _ = online.changed() => {}
                // Triggered when the consumer that receives records directly accepts no more.
                () = rejected => {}
            }
            if only.is_some() {
                core.suspend_bypass();
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
            // Triggered when a mark is put while no record is held.
            () = core.intake.mark_due() => {}
            // Triggered when it starts to end.
            _ = life.changed() => {}
        }
    }
}

/// Waits for more records to send together, if the stream lingers. Returns false if there were no records to wait for:
/// those that come now have to wait too.
async fn linger(core: &Core) -> bool {
    let linger = core.live().linger;
    if linger.is_zero() {
        return true;
    }
    if core.intake.held().0 == 0 {
        return false;
    }
    // In either case the wait is over.
    let _ = timeout(linger, core.intake.worth_taking()).await;
    true
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
        if subscriber.reads_log() {
            return;
        }
        let wanted = subscriber.select(&batch);
        core.tally.filtered.add(batch.count() - wanted.count());
        hand_over(core, subscriber, wanted, &mut waiting);
    };
    // Evaluated once each: the state of a subscriber may change in the meantime.
    let mut present = 0;
    for subscriber in subscribers.iter().filter(|one| !one.is_on_leave()) {
        present += 1;
        hand_over_to(subscriber);
    }
    let is_unread = present == 0 && (subscribers.is_empty() || core.board.is_online());
    if is_unread {
        // One that makes the stream online may have returned since it was looked at.
        for subscriber in subscribers.iter().filter(|one| !one.is_on_leave()) {
            present += 1;
            hand_over_to(subscriber);
        }
    }
    if is_unread && present == 0 {
        if core.log.is_none() {
            core.tally.nobody.add(batch.count() - given_back);
        }
        return Ok(());
    }
    if present == 0 {
        // The batch left the intake when the last of them stopped, so it still belongs to them.
        subscribers.iter().for_each(hand_over_to);
    }
    if waiting.is_empty() {
        Ok(())
    } else {
        wait(core, waiting, budget, stopped).await
    }
}

type Waiting = Vec<(Arc<Subscriber>, Frames)>;

/// Queues the records that fit for the subscriber, and moves the rest to `waiting`.
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

/// The reason for which subscribers without room are tried again.
enum Again {
    /// A subscriber has room or has left.
    Room,
    /// The waiting budget is used up.
    OutOfTime,
    /// The policy has changed.
    OtherPolicy,
}

/// Waits for subscribers without room, as the policy allows.
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
        // While offline, waiting delays no one: the stream accepts nothing then.
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
            // Triggered when the network shuts down or the time to drain is over.
            () = &mut stopped => {
                for (subscriber, rest) in &waiting {
                    subscriber.missed(rest.count(), &core.tally.closed);
                }
                return Err(Stopped);
            }
            // Triggered when the policy changes. It applies to subscribers already waited for, too.
            Ok(()) = policies.changed(), if any_remote => Again::OtherPolicy,
            // Triggered when it comes online or goes offline.
            Ok(()) = online.changed() => Again::Room,
            // Triggered when one of them has room or has left.
            _ = room => Again::Room,
            // Triggered when the waiting budget is used up.
            () = out_of_patience => Again::OutOfTime,
        };
        // First: the time was spent under the previous policy and out of its budget.
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

/// Applies the current policy to the subscribers without room. Those that it waits for stay in `waiting`. Updates the
/// budget to match the policy.
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
            // A sender that only lacked a turn takes its records now.
            yield_now().await;
            try_again(core, waiting);
            give_up(core, waiting, true);
        }
        DisconnectLagging::Never => give_up(core, waiting, false),
    }
}

/// Stops waiting for remote subscribers. They miss the records that do not fit, and are disconnected if `cut` is set.
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
        // Triggered when it is removed from the list.
        () = subscriber.gone.cancelled() => {}
        // Triggered when the consumer accepts no more records from this source.
        () = subscriber.rejected() => {}
    }
}
