//! [`Pool`]: several instances of one operator side by side, each on a thread of its own.
//!
//! With a key, an instance gets all datums of its keys, in their order. Without one, a batch goes to whoever is free, in
//! parts, and what comes of them is handed on in the order in which they came.

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
    Counters, End, Key, Settings, Spread,
    history::Saved,
    order::{Order, Turn},
    worker::Worker,
};
use crate::machine::Shortage;

/// Batches that wait for one instance.
const WAITING_MAX: usize = 2;
/// A batch is not cut into parts smaller than this.
const PART_MIN: usize = 64;

/// What an instance is to do next.
enum Work {
    Batch(u32, Frames, Option<Turn>),
    Tick(Option<Turn>),
    Finish(u32, Option<Turn>, oneshot::Sender<()>),
    Retune(Box<Settings>),
    Snapshot(oneshot::Sender<Result<Saved, String>>),
}

struct Lane {
    work: mpsc::Sender<Work>,
    /// Closed when the thread has ended.
    over: oneshot::Receiver<()>,
}

/// Instances at work side by side. Dropped, they end when they have worked off what they were given.
pub(super) struct Pool {
    lanes: Vec<Lane>,
    key: Option<Key>,
    order: Order,
    /// Lanes with room, each once for every batch it has room for.
    free: mpsc::Receiver<usize>,
    /// How the policy has a lane end the stage.
    ends: mpsc::Receiver<End>,
    /// Has the lanes give up what waits for them.
    halt: CancellationToken,
    /// Whether the state of the instances lives on when they end.
    kept: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

impl Pool {
    /// Starts a thread for each.
    pub(super) fn start(workers: Vec<Worker>, spread: &Spread) -> Result<Self, String> {
        let (free_tx, free) = mpsc::channel(workers.len() * WAITING_MAX);
        let (ends_tx, ends) = mpsc::channel(workers.len());
        let halt = CancellationToken::new();
        let kept = Arc::new(AtomicBool::new(false));
        let counters = workers
            .first()
            .map_or_else(Arc::default, |worker| worker.outfit.counters.clone());
        let mut lanes = Vec::new();
        for (index, mut worker) in workers.into_iter().enumerate() {
            // Where others work beside it, what it answers is handed on in its turn.
            worker.eager = true;
            let (work, todo) = mpsc::channel(WAITING_MAX);
            let (over_tx, over) = oneshot::channel();
            for _ in 0..WAITING_MAX {
                // There is room for all of them.
                let _ = free_tx.try_send(index);
            }
            let thread = LaneThread {
                index,
                worker,
                todo,
                free: free_tx.clone(),
                halt: halt.clone(),
                kept: kept.clone(),
            };
            let (runtime, ends) = (Handle::current(), ends_tx.clone());
            std::thread::Builder::new()
                .name(format!("op {}/{index}", thread.worker.outfit.name))
                .spawn(move || {
                    runtime.block_on(async move {
                        if let Err(end) = thread.run().await {
                            // Whoever does not listen any more has ended the stage.
                            let _ = ends.try_send(end);
                        }
                        drop(over_tx);
                    });
                })
                .map_err(|_| Shortage::of_threads().to_string())?;
            lanes.push(Lane { work, over });
        }
        Ok(Self {
            lanes,
            key: spread.key.clone(),
            order: Order::new(),
            free,
            ends,
            halt,
            kept,
            counters,
        })
    }

    /// Hands a batch to the instances it is for. Waits while those have no room.
    pub(super) async fn batch(&mut self, port: u32, batch: Frames) -> Result<(), End> {
        match self.key.clone() {
            Some(key) => self.by_key(&key, port, &batch).await,
            None => self.by_room(port, batch).await,
        }
    }

    async fn by_key(&mut self, key: &Key, port: u32, batch: &Frames) -> Result<(), End> {
        let mut builders: Vec<FramesBuilder> = Vec::new();
        builders.resize_with(self.lanes.len(), FramesBuilder::new);
        for datum in batch {
            builders[Key::instance(&key.of(datum), self.lanes.len())].push(datum);
        }
        let mut outcome = Ok(());
        for (lane, mut builder) in builders.into_iter().enumerate() {
            let datums = builder.finish();
            if outcome.is_err() {
                self.counters.undelivered(datums.count());
            } else if !datums.is_empty() {
                outcome = self.give(lane, Work::Batch(port, datums, None)).await;
            }
        }
        outcome
    }

    async fn by_room(&mut self, port: u32, mut rest: Frames) -> Result<(), End> {
        let parts = (rest.count() / PART_MIN).clamp(1, self.lanes.len());
        let size = rest.count().div_ceil(parts);
        while !rest.is_empty() {
            let lane = tokio::select! {
                biased;
                // Triggered when an instance has failed for good.
                Some(end) = self.ends.recv() => Err(end),
                // Triggered when an instance has room.
                Some(lane) = self.free.recv() => Ok(lane),
            };
            let datums = rest.split_front(size, usize::MAX);
            let given = match lane {
                Ok(lane) => {
                    let turn = Some(self.order.draw());
                    self.give(lane, Work::Batch(port, datums, turn)).await
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

    /// Lets every instance see the clock.
    pub(super) async fn tick(&mut self) -> Result<(), End> {
        for lane in 0..self.lanes.len() {
            let turn = self.turn();
            self.give(lane, Work::Tick(turn)).await?;
        }
        Ok(())
    }

    /// Has every instance go on with other settings.
    pub(super) async fn retune(&mut self, settings: &Settings) -> Result<(), End> {
        for lane in 0..self.lanes.len() {
            let settings = Box::new(settings.clone());
            self.give(lane, Work::Retune(settings)).await?;
        }
        Ok(())
    }

    /// Tells every instance that an input has ended, and waits until all have heard it and said what they have to say.
    pub(super) async fn finish(&mut self, port: u32) -> Result<(), End> {
        let mut heard = Vec::new();
        for lane in 0..self.lanes.len() {
            let (done, waits) = oneshot::channel();
            let turn = self.turn();
            self.give(lane, Work::Finish(port, turn, done)).await?;
            heard.push(waits);
        }
        for waits in heard {
            if waits.await.is_err() {
                return Err(self.failed().await);
            }
        }
        Ok(())
    }

    /// What each instance remembers, after all that it was given.
    pub(super) async fn snapshots(&mut self) -> Result<Vec<Saved>, String> {
        let gone = || "an instance of it has failed".to_owned();
        let mut answers = Vec::new();
        for lane in &self.lanes {
            let (reply, answer) = oneshot::channel();
            lane.work
                .send(Work::Snapshot(reply))
                .await
                .map_err(|_| gone())?;
            answers.push(answer);
        }
        let mut states = Vec::new();
        for answer in answers {
            states.push(answer.await.map_err(|_| gone())??);
        }
        Ok(states)
    }

    /// Waits until an instance has the stage end. Cancel safe.
    pub(super) async fn failed(&mut self) -> End {
        match self.ends.recv().await {
            Some(end) => end,
            None => End::Failed("an instance of it has ended".to_owned()),
        }
    }

    /// Ends all instances; `at_once` if what waits for them is to be given up, and counted.
    pub(super) async fn end(self, at_once: bool, kept: bool) {
        self.kept.store(kept, Relaxed);
        if at_once {
            self.halt.cancel();
        }
        for lane in self.lanes {
            drop(lane.work);
            // It is never sent: that it is closed says all.
            let _ = lane.over.await;
        }
    }

    fn turn(&mut self) -> Option<Turn> {
        self.key.is_none().then(|| self.order.draw())
    }

    async fn give(&mut self, lane: usize, work: Work) -> Result<(), End> {
        let end = tokio::select! {
            biased;
            // Triggered when an instance has failed for good.
            Some(end) = self.ends.recv() => Some(end),
            // Triggered when the instance has room, or has ended.
            room = self.lanes[lane].work.reserve() => match room {
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

/// What one instance's thread does.
struct LaneThread {
    index: usize,
    worker: Worker,
    todo: mpsc::Receiver<Work>,
    free: mpsc::Sender<usize>,
    halt: CancellationToken,
    kept: Arc<AtomicBool>,
}

impl LaneThread {
    async fn run(mut self) -> Result<(), End> {
        let end = self.work().await;
        self.todo.close();
        while let Some(work) = self.todo.recv().await {
            self.worker.outfit.counters.undelivered(work.datums());
        }
        self.worker.end(end.is_ok() && self.kept.load(Relaxed));
        end
    }

    async fn work(&mut self) -> Result<(), End> {
        loop {
            let work = tokio::select! {
                biased;
                // Triggered when what waits is to be given up.
                () = self.halt.cancelled() => return Ok(()),
                // Triggered when there is something to do, or never will be.
                work = self.todo.recv() => work,
            };
            let Some(work) = work else { return Ok(()) };
            if matches!(work, Work::Batch(..) | Work::Finish(..)) {
                let revived = tokio::select! {
                    biased;
                    // Triggered when there is an instance, or will be none.
                    revived = self.worker.revive() => revived.map(|()| true),
                    // Triggered when what waits is to be given up.
                    () = self.halt.cancelled() => Ok(false),
                };
                if revived != Ok(true) {
                    self.worker.outfit.counters.undelivered(work.datums());
                    return revived.map(drop);
                }
            }
            match work {
                Work::Batch(port, batch, turn) => {
                    self.worker.batch(port, batch, turn).await?;
                    // There is room for all of them.
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
