//! [`Pool`]: several concurrent instances of one operator, each on its own thread.
//!
//! With a key, an instance receives all records of its keys, in order. Without a key, batches are
//! split among the free instances, and the output is handed on in the order of the input.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use mosaik_streams::{Frames, FramesBuilder};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{
    Counters, End, InstancesError, Key, Partitioning, Settings, SnapshotError,
    history::Saved,
    order::{Order, Turn},
    worker::Worker,
};
use crate::machine::Shortage;

/// Maximum number of batches queued for one instance.
const WAITING_MAX: usize = 2;
/// Minimum number of records in a part of a split batch.
const PART_MIN: usize = 64;

/// A work item of an instance.
enum Work {
    Batch(u32, Frames, Option<Turn>),
    Tick(Option<Turn>),
    Finish(u32, Option<Turn>, oneshot::Sender<()>),
    Retune(Box<Settings>),
    Snapshot(oneshot::Sender<Result<Saved, SnapshotError>>),
}

struct WorkerSlot {
    work: mpsc::Sender<Work>,
    /// Closed when the thread has ended.
    over: oneshot::Receiver<()>,
}

/// Concurrent instances. On drop, they finish their queued work and end.
pub(super) struct Pool {
    slots: Vec<WorkerSlot>,
    key: Option<Key>,
    order: Order,
    /// Worker slots with room, listed once per batch that they can accept.
    free: mpsc::Receiver<usize>,
    /// The outcomes of worker slots that end the stage.
    ends: mpsc::Receiver<End>,
    /// Makes the worker slots give up their queued work.
    halt: CancellationToken,
    /// True if the state of the instances is kept when they end.
    kept: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

impl Pool {
    /// Starts a thread for each worker.
    pub(super) fn start(
        workers: Vec<Worker>,
        partitioning: &Partitioning,
    ) -> Result<Self, InstancesError> {
        let (free_tx, free) = mpsc::channel(workers.len() * WAITING_MAX);
        let (ends_tx, ends) = mpsc::channel(workers.len());
        let halt = CancellationToken::new();
        let kept = Arc::new(AtomicBool::new(false));
        let counters = workers
            .first()
            .map_or_else(Arc::default, |worker| worker.shared.counters.clone());
        let mut slots = Vec::new();
        for (index, mut worker) in workers.into_iter().enumerate() {
            // Concurrent workers hand on their output themselves, each in its turn.
            worker.eager = true;
            let (work, todo) = mpsc::channel(WAITING_MAX);
            let (over_tx, over) = oneshot::channel();
            for _ in 0..WAITING_MAX {
                // The channel has capacity for all of them.
                let _ = free_tx.try_send(index);
            }
            let thread = SlotThread {
                index,
                worker,
                todo,
                free: free_tx.clone(),
                halt: halt.clone(),
                kept: kept.clone(),
            };
            let (runtime, ends) = (Handle::current(), ends_tx.clone());
            std::thread::Builder::new()
                .name(format!("op {}/{index}", thread.worker.shared.name))
                .spawn(move || {
                    runtime.block_on(async move {
                        if let Err(end) = thread.run().await {
                            // If the receiver is gone, the stage has already ended.
                            let _ = ends.try_send(end);
                        }
                        drop(over_tx);
                    });
                })
                .map_err(|_| InstancesError::Shortage(Shortage::of_threads()))?;
            slots.push(WorkerSlot { work, over });
        }
        Ok(Self {
            slots,
            key: partitioning.key.clone(),
            order: Order::new(),
            free,
            ends,
            halt,
            kept,
            counters,
        })
    }

    /// Passes a batch to the instances that it belongs to. Waits while they have no room.
    pub(super) async fn batch(&mut self, port: u32, batch: Frames) -> Result<(), End> {
        match self.key.clone() {
            Some(key) => self.by_key(&key, port, &batch).await,
            None => self.by_room(port, batch).await,
        }
    }

    async fn by_key(&mut self, key: &Key, port: u32, batch: &Frames) -> Result<(), End> {
        let mut builders: Vec<FramesBuilder> = Vec::new();
        builders.resize_with(self.slots.len(), FramesBuilder::new);
        for datum in batch {
            builders[Key::instance(&key.of(datum), self.slots.len())].push(datum);
        }
        let mut outcome = Ok(());
        for (slot, mut builder) in builders.into_iter().enumerate() {
            let datums = builder.finish();
            if outcome.is_err() {
                self.counters.undelivered(datums.count());
            } else if !datums.is_empty() {
                outcome = self.give(slot, Work::Batch(port, datums, None)).await;
            }
        }
        outcome
    }

    async fn by_room(&mut self, port: u32, mut rest: Frames) -> Result<(), End> {
        let parts = (rest.count() / PART_MIN).clamp(1, self.slots.len());
        let size = rest.count().div_ceil(parts);
        while !rest.is_empty() {
            let slot = tokio::select! {
                biased;
                // Triggered when an instance has failed permanently.
                Some(end) = self.ends.recv() => Err(end),
                // Triggered when an instance has room.
                Some(slot) = self.free.recv() => Ok(slot),
            };
            let datums = rest.split_front(size, usize::MAX);
            let given = match slot {
                Ok(slot) => {
                    let turn = Some(self.order.draw());
                    self.give(slot, Work::Batch(port, datums, turn)).await
                }
                Err(end) => {
                    self.counters.undelivered(datums.count());
                    Err(end)
                }
            };
            if given.is_err() {
                self.counters.undelivered(rest.count());
                return given;
            }
        }
        Ok(())
    }

    /// Sends a tick to each instance.
    pub(super) async fn tick(&mut self) -> Result<(), End> {
        for slot in 0..self.slots.len() {
            let turn = self.turn();
            self.give(slot, Work::Tick(turn)).await?;
        }
        Ok(())
    }

    /// Makes each instance continue with other settings.
    pub(super) async fn retune(&mut self, settings: &Settings) -> Result<(), End> {
        for slot in 0..self.slots.len() {
            let settings = Box::new(settings.clone());
            self.give(slot, Work::Retune(settings)).await?;
        }
        Ok(())
    }

    /// Notifies each instance that an input has ended, and waits until all have processed this and
    /// handed on their output.
    pub(super) async fn finish(&mut self, port: u32) -> Result<(), End> {
        let mut heard = Vec::new();
        for slot in 0..self.slots.len() {
            let (done, waits) = oneshot::channel();
            let turn = self.turn();
            self.give(slot, Work::Finish(port, turn, done)).await?;
            heard.push(waits);
        }
        for waits in heard {
            if waits.await.is_err() {
                return Err(self.failed().await);
            }
        }
        Ok(())
    }

    /// Returns the state of each instance, after all the work passed to it.
    pub(super) async fn snapshots(&mut self) -> Result<Vec<Saved>, SnapshotError> {
        let mut answers = Vec::new();
        for slot in &self.slots {
            let (reply, answer) = oneshot::channel();
            slot.work
                .send(Work::Snapshot(reply))
                .await
                .map_err(|_| SnapshotError::InstanceFailed)?;
            answers.push(answer);
        }
        let mut states = Vec::new();
        for answer in answers {
            let taken = answer.await.map_err(|_| SnapshotError::InstanceFailed)?;
            states.push(taken?);
        }
        Ok(states)
    }

    /// Waits until an instance ends the stage. Cancel safe.
    pub(super) async fn failed(&mut self) -> End {
        match self.ends.recv().await {
            Some(end) => end,
            None => End::Failed("one of its instances has ended".to_owned()),
        }
    }

    /// Ends all instances; if `at_once` is true, they give up their queued work, which is counted.
    pub(super) async fn end(self, at_once: bool, kept: bool) {
        self.kept.store(kept, Relaxed);
        if at_once {
            self.halt.cancel();
        }
        for slot in self.slots {
            drop(slot.work);
            // No value is ever sent: the closed channel is the signal.
            let _ = slot.over.await;
        }
    }

    fn turn(&mut self) -> Option<Turn> {
        self.key.is_none().then(|| self.order.draw())
    }

    async fn give(&mut self, slot: usize, work: Work) -> Result<(), End> {
        let end = tokio::select! {
            biased;
            // Triggered when an instance has failed permanently.
            Some(end) = self.ends.recv() => Some(end),
            // Triggered when the instance has room, or has ended.
            room = self.slots[slot].work.reserve() => match room {
                Ok(room) => {
                    room.send(work);
                    return Ok(());
                }
                Err(_) => None,
            },
        };
        let end = match end {
            Some(end) => end,
            None => self.failed().await,
        };
        self.counters.undelivered(work.datums());
        Err(end)
    }
}

impl Work {
    const fn datums(&self) -> usize {
        match self {
            Self::Batch(_, batch, _) => batch.count(),
            _ => 0,
        }
    }
}

/// The thread of one instance.
struct SlotThread {
    index: usize,
    worker: Worker,
    todo: mpsc::Receiver<Work>,
    free: mpsc::Sender<usize>,
    halt: CancellationToken,
    kept: Arc<AtomicBool>,
}

impl SlotThread {
    async fn run(mut self) -> Result<(), End> {
        let end = self.work().await;
        self.todo.close();
        while let Some(work) = self.todo.recv().await {
            self.worker.shared.counters.undelivered(work.datums());
        }
        self.worker.end(end.is_ok() && self.kept.load(Relaxed));
        end
    }

    async fn work(&mut self) -> Result<(), End> {
        loop {
            let work = tokio::select! {
                biased;
                // Triggered when the queued work has to be given up.
                () = self.halt.cancelled() => return Ok(()),
                // Triggered when a work item arrives, or the queue is closed.
                work = self.todo.recv() => work,
            };
            let Some(work) = work else { return Ok(()) };
            if matches!(work, Work::Batch(..) | Work::Finish(..)) {
                let revived = tokio::select! {
                    biased;
                    // Triggered when the instance is restored, or will not be.
                    revived = self.worker.revive() => revived.map(|()| true),
                    // Triggered when the queued work has to be given up.
                    () = self.halt.cancelled() => Ok(false),
                };
                if revived != Ok(true) {
                    self.worker.shared.counters.undelivered(work.datums());
                    return revived.map(drop);
                }
            }
            match work {
                Work::Batch(port, batch, turn) => {
                    self.worker.batch(port, batch, turn).await?;
                    // The channel has capacity for all of them.
                    let _ = self.free.try_send(self.index);
                }
                Work::Tick(turn) => self.worker.tick(turn).await?,
                Work::Finish(port, turn, done) => {
                    self.worker.finish(port, turn).await?;
                    let _ = done.send(());
                }
                Work::Retune(settings) => self.worker.retune(&settings),
                Work::Snapshot(reply) => _ = reply.send(self.worker.snapshot()),
            }
        }
    }
}
