//! [`SingleInstance`]: an operator outside a topology, with the retries of an operator stage.

use std::sync::Arc;

use futures::FutureExt as _;
use mosaik_streams::Frames;

use super::{
    Blueprint, Counters, OperatorCounter,
    conversation::{Caller, Failing, Part, attempt, retry},
    history::Saved,
    recoverable::Recoverable,
    task::{Progress, Task},
};
use crate::operator::{CallError, Instance, Limits, Processed, State, thread_cpu_time};

/// Receives the output of a [`SingleInstance`].
pub trait Receiver {
    /// The reason to end early.
    type Error: From<Lost>;

    /// Receives a part of an answer. Indexes of rejected records count from the start of the batch.
    ///
    /// # Errors
    /// Ends the operator.
    fn answered(&mut self, answer: &Processed) -> Result<(), Self::Error>;

    /// Learns that the whole call was refused for these records of the batch; the operator
    /// continues.
    ///
    /// # Errors
    /// Ends the operator.
    fn refused(&mut self, records: &[u32], reason: &str) -> Result<(), Self::Error>;

    /// Learns that the operator failed on these records of the batch.
    ///
    /// # Errors
    /// Ends the operator.
    fn failed(&mut self, records: &[u32], reason: &str) -> Result<(), Self::Error>;
}

/// The reason for which an operator cannot continue.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Lost(String);

/// One instance of an operator, which is restored after failures.
#[derive(Debug)]
pub struct SingleInstance {
    blueprint: Blueprint,
    called: Recoverable,
    counters: Arc<Counters>,
}

impl SingleInstance {
    /// Wraps an instance of a blueprint, in which the state `restored` was restored.
    pub fn new(blueprint: Blueprint, instance: Instance, restored: Option<State>) -> Self {
        let saved = restored.map(|state| Saved { state, kept: 0 });
        Self {
            called: Recoverable::new(&blueprint.component, None, (instance, saved), Vec::new()),
            blueprint,
            counters: Arc::default(),
        }
    }

    /// Returns the operator's own counters.
    pub fn counters(&self) -> std::collections::BTreeMap<String, OperatorCounter> {
        self.counters.of_operator().read()
    }

    /// Passes a batch to an input port. If it fails, its records are retried one by one, and only
    /// those that fail alone are given up.
    ///
    /// # Errors
    /// The instance cannot be restored, or the receiver ends the operator.
    pub fn process<R: Receiver>(
        &mut self,
        port: u32,
        batch: &Frames,
        to: &mut R,
    ) -> Result<(), R::Error> {
        let mut call = SingleCall { operator: self, to };
        without_waiting(call.process(port, batch))?;
        // A snapshot that fails costs nothing: the history is kept.
        let _ = self.called.save_if_due();
        Ok(())
    }

    /// Notifies the operator that time has passed.
    ///
    /// # Errors
    /// The call fails, or the receiver ends the operator.
    pub fn tick<R: Receiver>(&mut self, to: &mut R) -> Result<(), R::Error> {
        self.call(&Task::Tick, to)
    }

    /// Notifies the operator that an input port has ended.
    ///
    /// # Errors
    /// The call fails, or the receiver ends the operator.
    pub fn finish<R: Receiver>(&mut self, port: u32, to: &mut R) -> Result<(), R::Error> {
        self.call(&Task::Finish(port), to)
    }

    /// Returns the operator's state.
    ///
    /// # Errors
    /// The call fails.
    pub fn snapshot(&mut self) -> Result<State, Lost> {
        self.restore()?;
        match self.called.snapshot() {
            Some(Ok(saved)) => Ok(saved.state),
            Some(Err(error)) => Err(Lost(error.to_string())),
            None => Err(Lost(CallError::Poisoned.to_string())),
        }
    }

    fn call<R: Receiver>(&mut self, task: &Task, to: &mut R) -> Result<(), R::Error> {
        self.restore()?;
        let mut call = SingleCall { operator: self, to };
        let called = without_waiting(attempt(&mut call, task, 0, &mut Progress::default()))?;
        called.map_err(|error| Lost(error.to_string()).into())
    }

    /// Restores the instance if it is lost.
    fn restore(&mut self) -> Result<(), Lost> {
        if !self.called.is_lost() {
            return Ok(());
        }
        let restored = self.called.restore(&self.blueprint);
        let restored =
            restored.map_err(|reason| Lost(format!("it cannot be restored: {reason}")))?;
        if restored.forgotten > 0 {
            tracing::error!(
                forgotten = restored.forgotten,
                "continues from {}; records kept since then are lost",
                restored.from
            );
        }
        Ok(())
    }
}

/// Returns the result of a call, none of whose parts waits for anything.
fn without_waiting<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never()
        .expect("a single instance and its receiver do not wait")
}

/// A call of the only instance, whose answers go to a receiver.
struct SingleCall<'c, R> {
    operator: &'c mut SingleInstance,
    to: &'c mut R,
}

impl<R: Receiver> SingleCall<'_, R> {
    async fn process(&mut self, port: u32, batch: &Frames) -> Result<(), R::Error> {
        self.operator.restore()?;
        let mut progress = Progress::default();
        let task = Task::Batch(port, batch.clone());
        let Err(error) = attempt(self, &task, 0, &mut progress).await? else {
            return Ok(());
        };
        let called = &self.operator.called;
        if called.is_worth_retrying(batch, &progress, &error) {
            retry(self, port, batch.clone(), progress).await?;
            return Ok(());
        }
        self.refused_call(&task, &error);
        let rest = not_rejected(&progress, 0..batch.count() as u32);
        self.give_up(&rest, &error)
    }

    /// Gives up records after a failed call.
    fn give_up(&mut self, records: &[u32], error: &CallError) -> Result<(), R::Error> {
        let reason = error.to_string();
        if error.is_fatal() {
            self.to.failed(records, &reason)
        } else {
            self.to.refused(records, &reason)
        }
    }
}

impl<R: Receiver> Caller for SingleCall<'_, R> {
    type End = R::Error;

    fn called(&mut self) -> &mut Recoverable {
        &mut self.operator.called
    }

    fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.operator.counters)
    }

    fn limits(&self) -> &Limits {
        &self.operator.blueprint.setup.limits
    }

    async fn answered(&mut self, _: &Task, _: u32, answer: Processed) -> Result<(), R::Error> {
        self.to.answered(&answer)
    }

    async fn come_back(&mut self, failing: &mut Failing) -> Result<(), R::Error> {
        if !self.operator.called.is_lost() {
            return Ok(());
        }
        let began = thread_cpu_time();
        self.operator.restore()?;
        if self.operator.called.has_calls_to_repeat() {
            // If it fails, the instance is restored without the snapshot.
            let _ = self.operator.called.save();
        }
        failing.add_restore(began);
        Ok(self.operator.restore()?)
    }

    fn refused_call(&mut self, task: &Task, error: &CallError) {
        if matches!(error, CallError::Refused(_)) {
            self.operator.called.note(task, 0);
        }
    }

    async fn failed_alone(&mut self, record: Part<'_>, error: &CallError) -> Result<(), R::Error> {
        self.give_up(&[record.first], error)
    }

    async fn not_tried(
        &mut self,
        rest: Part<'_>,
        progress: &Progress,
        reason: &str,
    ) -> Result<(), R::Error> {
        let records = rest.first..rest.first + rest.records.count() as u32;
        self.to.failed(&not_rejected(progress, records), reason)
    }
}

fn not_rejected(progress: &Progress, of: std::ops::Range<u32>) -> Vec<u32> {
    of.filter(|index| !progress.is_rejected(*index)).collect()
}
