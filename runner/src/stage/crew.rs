//! [`Crew`]: the instances of an operator, one on the stage's own thread or several on one each.

use mosaik_streams::Frames;

use super::{
    End, Settings, Spread,
    history::Saved,
    pool::Pool,
    worker::{Outfit, Worker},
};
use crate::operator::Instance;

/// The instances of a stage.
pub(super) enum Crew {
    /// One, on the stage's own thread.
    One(Box<Worker>),
    Many(Pool),
}

impl Crew {
    /// Instances with what they were given, after these input ports have ended.
    pub(super) fn new(
        outfit: &Outfit,
        members: Vec<(Instance, Option<Saved>)>,
        spread: &Spread,
        ended: &[u32],
    ) -> Result<Self, String> {
        let mut workers: Vec<Worker> = members
            .into_iter()
            .map(|(instance, saved)| Worker::new(outfit.clone(), instance, saved, ended.to_vec()))
            .collect();
        if workers.len() > 1 {
            return Pool::start(workers, spread).map(Self::Many);
        }
        let alone = workers.pop().ok_or("it has no instance")?;
        Ok(Self::One(Box::new(alone)))
    }

    /// Whether batches can be taken. A pool takes them while an instance is being brought back.
    pub(super) const fn is_ready(&self) -> bool {
        match self {
            Self::One(worker) => worker.instance.is_some(),
            Self::Many(_) => true,
        }
    }

    /// Goes on once there is an instance again, or when one of a pool has the stage end. Cancel safe.
    pub(super) async fn changes(&mut self) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.revive().await,
            Self::Many(pool) => Err(pool.failed().await),
        }
    }

    /// Whether something that was answered waits to be handed on, before anything else is taken.
    pub(super) fn holds(&self) -> bool {
        matches!(self, Self::One(worker) if worker.holds())
    }

    /// Hands on what waits for that. Cancel safe.
    pub(super) async fn hand_on(&mut self) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.hand_on().await,
            Self::Many(_) => Ok(()),
        }
    }

    /// Goes on with what the instances before had answered, and not handed on.
    pub(super) fn inherit(&mut self, before: &mut Self) {
        if let (Self::One(worker), Self::One(before)) = (self, before) {
            worker.held.append(&mut before.held);
        }
    }

    pub(super) async fn batch(&mut self, port: u32, batch: Frames) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.batch(port, batch, None).await,
            Self::Many(pool) => pool.batch(port, batch).await,
        }
    }

    pub(super) async fn tick(&mut self) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.tick(None).await,
            Self::Many(pool) => pool.tick().await,
        }
    }

    pub(super) async fn retune(&mut self, settings: &Settings) -> Result<(), End> {
        match self {
            Self::One(worker) => {
                worker.retune(settings);
                Ok(())
            }
            Self::Many(pool) => pool.retune(settings).await,
        }
    }

    pub(super) async fn finish(&mut self, port: u32) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.finish(port, None).await,
            Self::Many(pool) => pool.finish(port).await,
        }
    }

    pub(super) async fn snapshots(&mut self) -> Result<Vec<Saved>, String> {
        match self {
            Self::One(worker) => Ok(vec![worker.snapshot()?]),
            Self::Many(pool) => pool.snapshots().await,
        }
    }

    /// Ends all instances; `at_once` if what waits for them is to be given up. What their state holds is counted as
    /// forgotten unless it is `kept`, by a successor or by decision.
    pub(super) async fn end(self, at_once: bool, kept: bool) {
        match self {
            Self::One(mut worker) => worker.end(kept),
            Self::Many(pool) => pool.end(at_once, kept).await,
        }
    }
}
