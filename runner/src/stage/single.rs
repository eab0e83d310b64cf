//! [`SingleInstance`]: an operator outside a topology, with the retries of an operator stage.

use mosaik_streams::Frames;

use super::{
    Blueprint, Counters, OperatorCounter,
    answers::Answers,
    history::{History, Saved},
    retry::{Failing, is_worth_retrying},
    task::{Progress, Task},
};
use crate::operator::{CallError, Instance, Processed, State, thread_cpu_time};

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
    /// `None` after a failure, until the next call.
    instance: Option<Instance>,
    history: History,
    ended: Vec<u32>,
    counters: Counters,
}

impl SingleInstance {
    /// Takes an instance of a blueprint, which has the state in `restored`.
    pub fn new(blueprint: Blueprint, instance: Instance, restored: Option<State>) -> Self {
        let saved = restored.map(|state| Saved { state, kept: 0 });
        let history = History::new(&blueprint.component, None, saved);
        Self {
            blueprint,
            instance: Some(instance),
            history,
            ended: Vec::new(),
            counters: Counters::default(),
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
        self.come_back()?;
        let mut progress = Progress::default();
        let task = Task::Batch(port, batch.clone());
        if let Err(error) = self.attempt(&task, 0, &mut progress, to)? {
            if is_worth_retrying(&self.history, batch, &progress, &error) {
                self.retry(port, batch.clone(), progress, to)?;
            } else {
                let rest = not_rejected(&progress, 0..batch.count());
                self.give_up(&task, &rest, &error, to)?;
            }
        }
        self.save_if_due();
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
        let state = self.come_back()?.snapshot();
        state.map_err(|error| Lost(error.to_string()))
    }

    fn call<R: Receiver>(&mut self, task: &Task, to: &mut R) -> Result<(), R::Error> {
        self.come_back()?;
        let called = self.attempt(task, 0, &mut Progress::default(), to)?;
        called.map_err(|error| Lost(error.to_string()).into())
    }

    /// Makes one attempt at a task. A fatal error drops the instance.
    fn attempt<R: Receiver>(
        &mut self,
        task: &Task,
        first: u32,
        progress: &mut Progress,
        to: &mut R,
    ) -> Result<Result<(), CallError>, R::Error> {
        let Some(instance) = &mut self.instance else {
            return Ok(Err(CallError::Poisoned));
        };
        let mut answers = Answers::begin(task, first, instance, progress);
        loop {
            let answer = match answers.next(instance, progress) {
                Ok(answer) => answer,
                Err(error) => {
                    if error.is_fatal() {
                        self.instance = None;
                    }
                    return Ok(Err(error));
                }
            };
            if !answer.more {
                let done = task.records() - progress.rejected_among(first, task.records());
                let kept = self.counters.done(done as u64, progress.outcomes);
                self.counters.of_operator().add(&progress.counted);
                if let Task::Finish(port) = task {
                    self.ended.push(*port);
                }
                self.history.note(task, instance.take_clock(), kept);
            }
            to.answered(&answer)?;
            if !answer.more {
                return Ok(Ok(()));
            }
        }
    }

    /// Retries the records of a batch one by one, like an operator stage.
    fn retry<R: Receiver>(
        &mut self,
        port: u32,
        mut rest: Frames,
        mut progress: Progress,
        to: &mut R,
    ) -> Result<(), R::Error> {
        let records = rest.count();
        let mut failing = Failing::new(&self.blueprint.setup.limits);
        progress.restart();
        for index in 0..records {
            let began = thread_cpu_time();
            let is_lost = self.instance.is_none();
            self.come_back()?;
            if is_lost {
                if self.history.is_long() {
                    self.save();
                }
                failing.returned += thread_cpu_time().saturating_sub(began);
            }
            let of_batch = if progress.is_behind() { records } else { 1 };
            self.come_back()?.set_records_min(of_batch);
            let task = Task::Batch(port, rest.split_front(1, usize::MAX));
            let began = thread_cpu_time();
            let attempted = self.attempt(&task, index as u32, &mut progress, to)?;
            if let Some(instance) = &mut self.instance {
                instance.set_records_min(0);
            }
            let Err(error) = attempted else {
                continue;
            };
            failing.add(began, &error);
            let alone = not_rejected(&progress, index..index + 1);
            self.give_up(&task, &alone, &error, to)?;
            if failing.is_over() || progress.is_behind() {
                let reason = format!("not tried: other records of its batch took {failing}");
                let others = not_rejected(&progress, index + 1..records);
                return to.failed(&others, &reason);
            }
        }
        Ok(())
    }

    /// Gives up records after a failed call.
    fn give_up<R: Receiver>(
        &mut self,
        task: &Task,
        records: &[u32],
        error: &CallError,
        to: &mut R,
    ) -> Result<(), R::Error> {
        let reason = error.to_string();
        if error.is_fatal() {
            return to.failed(records, &reason);
        }
        if let (CallError::Refused(_), Some(instance)) = (error, &mut self.instance) {
            self.history.note(task, instance.take_clock(), 0);
        }
        to.refused(records, &reason)
    }

    /// Restores the instance if it is lost.
    fn come_back(&mut self) -> Result<&mut Instance, Lost> {
        let instance = match self.instance.take() {
            Some(instance) => Ok(instance),
            None => self.restored(),
        };
        let cannot = |reason| Lost(format!("it cannot be restored: {reason}"));
        Ok(self.instance.insert(instance.map_err(cannot)?))
    }

    fn restored(&mut self) -> Result<Instance, String> {
        let built = self.blueprint.instantiate();
        let mut instance = built.map_err(|error| error.to_string())?;
        let restored = self.history.restore(&mut instance, &self.ended)?;
        if restored.forgotten > 0 {
            tracing::error!(
                forgotten = restored.forgotten,
                "continues from {}; records kept since then are lost",
                restored.from
            );
        }
        Ok(instance)
    }

    fn save_if_due(&mut self) {
        if self.history.is_due() {
            self.save();
        }
    }

    /// Takes a snapshot. An instance that fails is restored without it.
    fn save(&mut self) {
        if let Some(instance) = &mut self.instance
            && let Err(error) = self.history.take(instance, &self.ended)
            && error.is_fatal()
        {
            self.instance = None;
        }
    }
}

fn not_rejected(progress: &Progress, of: std::ops::Range<usize>) -> Vec<u32> {
    let indexes = of.map(|index| index as u32);
    indexes
        .filter(|index| !progress.is_rejected(*index))
        .collect()
}
