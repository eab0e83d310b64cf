//! Handles rejected records and failed calls of an operator: applies the policy and restores the
//! instance.

use mosaik_streams::Frames;

use super::{
    End, OnError,
    conversation::attempt,
    convert::Port,
    dead_letter::{self, dead_letters},
    task::{Progress, Task},
    worker::Worker,
};
use crate::operator::{CallError, Rejected};

/// Number of times that a tick or the end of an input is retried: 2.
const STATE_CALL_RETRIES: u32 = 2;

impl Worker {
    /// Applies the policy to single rejected records, whose indexes start at `first`. The caller
    /// has already counted them.
    pub(super) async fn refused(
        &mut self,
        (port, batch, first): (Port, &Frames, u32),
        rejected: &[Rejected],
    ) -> Result<(), End> {
        let Some(reason) = rejected.first().map(|rejected| &rejected.reason) else {
            return Ok(());
        };
        let reasons = rejected.iter().map(|rejected| rejected.reason.as_str());
        self.warn("rejected", reasons);
        if matches!(self.shared.on_error, OnError::Stop) {
            return Err(End::Failed(format!("rejected a record: {reason}")));
        }
        self.restart |= matches!(self.shared.on_error, OnError::Restart);
        let mut records = (first..).zip(batch.iter());
        let refused = rejected.iter().filter_map(|rejected| {
            let (_, bytes) = records.find(|(index, _)| *index == rejected.index)?;
            Some((bytes, rejected.reason.as_str()))
        });
        self.dispose(port, rejected.len(), refused).await
    }

    /// Drops records or sends them as dead-letter records, according to the policy. Without a
    /// policy in the manifest, they count as lost.
    async fn dispose<'r>(
        &self,
        port: Port,
        count: usize,
        records: impl Iterator<Item = (&'r [u8], &'r str)>,
    ) -> Result<(), End> {
        match &self.shared.on_error {
            OnError::Skip { explicit: false } => {
                self.shared.counters.uncovered(count);
                Ok(())
            }
            OnError::To(stream) => {
                let letters = dead_letters(&self.shared.name, self.port_name(port), records);
                let shared = &self.shared;
                dead_letter::send(stream, letters, &shared.handoff, &shared.counters).await
            }
            OnError::Skip { .. } | OnError::Stop | OnError::Restart => Ok(()),
        }
    }

    /// Handles a failed task. A lost instance is restored to its previous state, and a batch is
    /// retried record by record.
    pub(super) async fn failed(
        &mut self,
        task: Task,
        progress: Progress,
        error: CallError,
    ) -> Result<(), End> {
        self.restart = false;
        match task {
            Task::Tick | Task::Finish(_) => self.state_call_failed(task, progress, error).await,
            Task::Batch(port, batch)
                if self.called.is_worth_retrying(&batch, &progress, &error) =>
            {
                self.retry(port, batch, progress, &error).await
            }
            Task::Batch(port, batch) => {
                if error.is_fatal() {
                    let pause = self.backoff.failed();
                    self.report_failure(&error, pause);
                } else {
                    self.note_refusal(&Task::Batch(port, batch.clone()), &error);
                }
                let rest = progress.not_rejected(0, &batch);
                self.lost(port, &rest, &error.to_string()).await
            }
        }
    }

    /// Handles an explicit refusal by the guest: its instance continues, unless the policy asks for
    /// a new one.
    pub(super) fn note_refusal(&mut self, task: &Task, error: &CallError) {
        if !matches!(error, CallError::Refused(_)) {
            return;
        }
        if matches!(self.shared.on_error, OnError::Restart) {
            self.called.lose();
            let pause = self.backoff.failed();
            self.report_failure(error, pause);
        } else {
            self.called.note(task, 0);
        }
    }

    fn report_failure(&self, error: &CallError, pause: std::time::Duration) {
        tracing::error!(
            operator = self.shared.name,
            ?pause,
            "failed: {error}; starting a new instance"
        );
    }

    /// Handles a tick or the end of an input that failed. If a part of its answer was handed on, it
    /// is retried with the restored instance, which continues after that part. If the retries fail
    /// too, the state no longer matches the output, and the records in it count as forgotten.
    async fn state_call_failed(
        &mut self,
        task: Task,
        mut progress: Progress,
        mut error: CallError,
    ) -> Result<(), End> {
        let is_tick = matches!(task, Task::Tick);
        for _ in 0..STATE_CALL_RETRIES {
            let is_partial = progress.has_handed_on();
            let is_next_tick_enough = is_tick && !is_partial;
            let can_repeat = self.called.can_repeat() || !is_partial;
            if !error.is_fatal() || is_next_tick_enough || !can_repeat {
                break;
            }
            let pause = self.backoff.failed();
            self.report_failure(&error, pause);
            self.revive().await?;
            progress.restart();
            match attempt(self, &task, 0, &mut progress).await? {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
        if !error.is_fatal() {
            let what = if is_tick {
                "a tick"
            } else {
                "the end of an input"
            };
            tracing::warn!(operator = self.shared.name, "refused {what}: {error}");
            self.note_refusal(&task, &error);
        } else if is_tick && !progress.has_handed_on() {
            let pause = self.backoff.failed();
            self.report_failure(&error, pause);
        } else {
            self.give_up_state(&task, &error);
        }
        match self.shared.on_error {
            OnError::Stop => Err(End::Failed(error.to_string())),
            _ => Ok(()),
        }
    }

    /// Discards the state: the next instance starts with an empty one.
    fn give_up_state(&mut self, task: &Task, error: &CallError) {
        self.called.lose();
        self.backoff.failed();
        let forgotten = self.called.forget();
        self.shared.counters.forgot(forgotten);
        let what = match task {
            Task::Finish(port) => {
                self.ends_due.push(*port);
                "finish"
            }
            _ => "tick",
        };
        tracing::error!(
            operator = self.shared.name,
            forgotten,
            "could not {what}, and its state is lost: {error}"
        );
    }

    /// Applies the policy to records on which the guest failed.
    pub(super) async fn lost(
        &mut self,
        port: u32,
        records: &[&[u8]],
        reason: &str,
    ) -> Result<(), End> {
        if records.is_empty() {
            return Ok(());
        }
        self.shared.counters.failed(records.len());
        self.accounted += records.len();
        self.warn("failed on", records.iter().map(|_| reason));
        if matches!(self.shared.on_error, OnError::Stop) {
            return Err(End::Failed(reason.to_owned()));
        }
        let failed = records.iter().map(|record| (*record, reason));
        self.dispose(Port::Input(port), records.len(), failed).await
    }

    fn port_name(&self, port: Port) -> &str {
        let description = self.shared.blueprint.component.description();
        let name = match port {
            Port::Input(port) => description.inputs.get(port as usize),
            Port::Output(port) => description.outputs.get(port as usize),
        };
        name.map_or("", String::as_str)
    }

    fn warn<'r>(&mut self, what: &str, reasons: impl Iterator<Item = &'r str>) {
        for line in self.warnings.add_all(what, reasons) {
            tracing::warn!(operator = self.shared.name, "{line}");
        }
    }

    /// Builds the next instance after a failure and restores the state of the lost one.
    pub(super) fn rebuild(&mut self) -> Result<(), End> {
        match self.called.restore(&self.shared.blueprint) {
            Ok(restored) => {
                self.shared.counters.restarted();
                self.shared.counters.forgot(restored.forgotten);
                if restored.forgotten > 0 {
                    tracing::error!(
                        operator = self.shared.name,
                        forgotten = restored.forgotten,
                        "continues with a new instance from {}; records kept since then are lost",
                        restored.from
                    );
                } else {
                    tracing::info!(
                        operator = self.shared.name,
                        "continues with a new instance from {}",
                        restored.from
                    );
                }
                Ok(())
            }
            Err(reason) if matches!(self.shared.on_error, OnError::Stop) => {
                Err(End::Failed(reason))
            }
            Err(reason) => {
                let pause = self.backoff.failed();
                tracing::error!(
                    operator = self.shared.name,
                    ?pause,
                    "cannot be restored yet: {reason}"
                );
                Ok(())
            }
        }
    }

    /// Takes a snapshot if one is due. An instance that refuses or fails keeps its history.
    pub(super) fn save_if_due(&mut self) {
        let saved = self.called.save_if_due();
        self.note_saved(saved);
    }

    /// Takes a snapshot. An instance that refuses or fails keeps its history.
    pub(super) fn save(&mut self) {
        let saved = self.called.save();
        self.note_saved(saved);
    }

    fn note_saved(&mut self, saved: Result<(), CallError>) {
        let Err(error) = saved else {
            return;
        };
        tracing::warn!(
            operator = self.shared.name,
            "cannot take a snapshot of its state: {error}"
        );
        if error.is_fatal() {
            self.backoff.failed();
        }
    }

    /// Gives up queued output. The records in the state count as forgotten, unless the state is
    /// kept or all inputs have ended, so that the instance could flush.
    pub(super) fn end(&mut self, kept: bool) {
        self.give_up();
        let inputs = &self.shared.blueprint.component.description().inputs;
        let bound = &self.shared.blueprint.setup.inputs;
        let has_finished = (0..).zip(inputs).all(|(port, name)| {
            self.called.has_ended(port) || !bound.iter().any(|binding| binding.port == *name)
        });
        if !kept && !has_finished {
            let forgotten = self.called.forget();
            self.shared.counters.forgot(forgotten);
        }
    }
}
