//! [`InstanceSet`]: the instances of an operator, either one on the stage's own thread or several on one
//! thread each.

use mosaik_streams::Frames;

use super::{
    End, InstancesError, Partitioning, Settings, SnapshotError,
    history::Saved,
    pool::Pool,
    worker::{SharedConfig, Worker},
};
use crate::operator::Instance;

/// The instances of a stage.
pub(super) enum InstanceSet {
    /// One instance, on the stage's own thread.
    One(Box<Worker>),
    Many(Pool),
}

impl InstanceSet {
    /// Creates the workers from the instances and their saved state. `due` lists the input ports
    /// that have ended and whose end the instances have yet to process, and `done` those whose end
    /// they have processed.
    pub(super) fn new(
        shared: &SharedConfig,
        members: Vec<(Instance, Option<Saved>)>,
        partitioning: &Partitioning,
        (due, done): (&[u32], &[u32]),
    ) -> Result<Self, InstancesError> {
        let mut workers: Vec<Worker> = members
            .into_iter()
            .map(|(instance, saved)| {
                Worker::new(
                    shared.clone(),
                    instance,
                    saved,
                    (due.to_vec(), done.to_vec()),
                )
            })
            .collect();
        if workers.len() > 1 {
            return Pool::start(workers, partitioning).map(Self::Many);
        }
        let alone = workers.pop().ok_or(InstancesError::None)?;
        Ok(Self::One(Box::new(alone)))
    }

    /// Returns true if batches can be accepted. A pool accepts them while an instance is being
    /// restored.
    pub(super) const fn is_ready(&self) -> bool {
        match self {
            Self::One(worker) => !worker.called.is_lost(),
            Self::Many(_) => true,
        }
    }

    /// Waits until the single instance is restored, or until an instance of a pool ends the stage.
    /// Cancel safe.
    pub(super) async fn changes(&mut self) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.revive().await,
            Self::Many(pool) => Err(pool.failed().await),
        }
    }

    /// Returns true if output is queued that has to be handed on before the next input.
    pub(super) fn holds(&self) -> bool {
        matches!(self, Self::One(worker) if worker.holds())
    }

    /// Hands on the queued output. Cancel safe.
    pub(super) async fn hand_on(&mut self) -> Result<(), End> {
        match self {
            Self::One(worker) => worker.hand_on().await,
            Self::Many(_) => Ok(()),
        }
    }

    /// Takes over the queued output of the previous instances.
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

    pub(super) async fn snapshots(&mut self) -> Result<Vec<Saved>, SnapshotError> {
        match self {
            Self::One(worker) => Ok(vec![worker.snapshot()?]),
            Self::Many(pool) => pool.snapshots().await,
        }
    }

    /// Ends all instances; if `at_once` is true, they give up their queued work. The records in
    /// their state count as forgotten unless `kept` is true: a successor has taken the state over,
    /// or the manifest sets `state: reset`.
    pub(super) async fn end(self, at_once: bool, kept: bool) {
        match self {
            Self::One(mut worker) => worker.end(kept),
            Self::Many(pool) => pool.end(at_once, kept).await,
        }
    }
}
