//! What an operator's stage does when its guest refuses records or fails: the policy applied, the instance brought back.

use mosaik_streams::{Frames, FramesProducer};

use super::{
    Counters, End, OnError,
    convert::Port,
    dead_letter::letters,
    task::{Progress, Task},
    worker::Worker,
};
use crate::operator::{CallError, Rejected};

impl Worker {
    /// Applies the policy to single records that were refused, whose indexes count from `first` on; they are counted
    /// already.
    pub(super) async fn refused(
        &mut self,
        (port, batch, first): (Port, &Frames, u32),
        rejected: &[Rejected],
    ) -> Result<(), End> {
        let Some(reason) = rejected.first().map(|rejected| &rejected.reason) else {
            return Ok(());
        };
        self.complain("rejected", rejected.len(), reason);
        if matches!(self.outfit.on_error, OnError::Stop) {
            return Err(End::Failed(format!("rejected a record: {reason}")));
        }
        self.restart |= matches!(self.outfit.on_error, OnError::Restart);
        let mut records = (first..).zip(batch.iter());
        let refused = rejected.iter().filter_map(|rejected| {
            let (_, bytes) = records.find(|(index, _)| *index == rejected.index)?;
            Some((bytes, rejected.reason.as_str()))
        });
        self.dispose(port, rejected.len(), refused).await
    }

    /// Drops records or files them as dead letters, as the policy says. Those that the manifest does not speak of count as
    /// lost.
    async fn dispose<'r>(
        &self,
        port: Port,
        count: usize,
        records: impl Iterator<Item = (&'r [u8], &'r str)>,
    ) -> Result<(), End> {
        match &self.outfit.on_error {
            OnError::Skip { explicit: false } => {
                self.outfit.counters.uncovered(count);
                Ok(())
            }
            OnError::To(stream) => {
                let letters = letters(&self.outfit.name, self.port_name(port), records);
                self.send_letters(stream, letters).await
            }
            OnError::Skip { .. } | OnError::Stop | OnError::Restart => Ok(()),
        }
    }

    /// Handles a task that failed. An instance that is lost comes back as it was, and a batch is tried again record by
    /// record.
    pub(super) async fn failed(
        &mut self,
        task: Task,
        progress: Progress,
        error: CallError,
    ) -> Result<(), End> {
        self.restart = false;
        let is_fatal = error.is_fatal();
        if is_fatal {
            self.instance = None;
        }
        match task {
            Task::Tick => self.tick_failed(&error),
            Task::Finish(port) => self.finish_failed(port, &error).await,
            Task::Batch(port, batch) if self.is_worth_retrying(&batch, &progress, &error) => {
                self.retry(port, batch, progress, &error).await
            }
            Task::Batch(port, batch) => {
                if is_fatal {
                    let pause = self.backoff.failed();
                    self.report_loss(&error, pause);
                } else {
                    self.note_refusal(port, &batch, &error);
                }
                let rest = progress.not_rejected(0, &batch);
                self.lost(port, &rest, &error.to_string()).await
            }
        }
    }

    /// A guest that refuses a batch by a word goes on, unless the policy wants another instance.
    fn note_refusal(&mut self, port: u32, batch: &Frames, error: &CallError) {
        if !matches!(error, CallError::Refused(_)) {
            return;
        }
        if matches!(self.outfit.on_error, OnError::Restart) {
            self.instance = None;
            let pause = self.backoff.failed();
            self.report_loss(error, pause);
        } else if let Some(instance) = &mut self.instance {
            let clock = instance.take_clock();
            self.history
                .note(&Task::Batch(port, batch.clone()), clock, 0);
        }
    }

    pub(super) fn report_loss(&self, error: &CallError, pause: std::time::Duration) {
        tracing::error!(
            operator = self.outfit.name,
            ?pause,
            "failed: {error}; a new instance follows"
        );
    }

    fn tick_failed(&mut self, error: &CallError) -> Result<(), End> {
        if error.is_fatal() {
            let pause = self.backoff.failed();
            self.report_loss(error, pause);
        } else {
            tracing::warn!(operator = self.outfit.name, "refused a tick: {error}");
        }
        match self.outfit.on_error {
            OnError::Stop => Err(End::Failed(error.to_string())),
            _ => Ok(()),
        }
    }

    /// Tries once more with the instance as it was. If that fails too, what the state holds is forgotten.
    async fn finish_failed(&mut self, port: u32, error: &CallError) -> Result<(), End> {
        let pause = self.backoff.failed();
        self.report_loss(error, pause);
        let mut again = error.clone();
        if error.is_fatal() {
            self.revive().await?;
            let mut progress = Progress::default();
            match self.attempt(&Task::Finish(port), 0, &mut progress).await? {
                Ok(()) => return Ok(()),
                Err(error) => again = error,
            }
        }
        let forgotten = self.history.give_up();
        self.outfit.counters.forgot(forgotten);
        tracing::error!(
            operator = self.outfit.name,
            forgotten,
            "could not finish, and what its state held is lost: {again}"
        );
        if again.is_fatal() {
            self.instance = None;
            self.backoff.failed();
        }
        match self.outfit.on_error {
            OnError::Stop => Err(End::Failed(again.to_string())),
            _ => Ok(()),
        }
    }

    /// Gives up records that the guest failed on: they go by the policy.
    pub(super) async fn lost(
        &mut self,
        port: u32,
        records: &[&[u8]],
        reason: &str,
    ) -> Result<(), End> {
        if records.is_empty() {
            return Ok(());
        }
        self.outfit.counters.failed(records.len());
        self.accounted += records.len();
        self.complain("failed on", records.len(), reason);
        if matches!(self.outfit.on_error, OnError::Stop) {
            return Err(End::Failed(reason.to_owned()));
        }
        let failed = records.iter().map(|record| (*record, reason));
        self.dispose(Port::Input(port), records.len(), failed).await
    }

    /// Letters count at the stream they go to, not as this operator's output; those that do not get there count here.
    async fn send_letters(
        &self,
        stream: &FramesProducer,
        (mut letters, too_large): (Frames, u64),
    ) -> Result<(), End> {
        self.outfit.counters.skipped(too_large, 0);
        let count = letters.count();
        let sent = self
            .outfit
            .handoff
            .send_rest(stream, &mut letters, &Counters::default())
            .await;
        let undelivered = letters.count();
        self.outfit
            .counters
            .dead_letters(count - undelivered, undelivered);
        sent
    }

    fn port_name(&self, port: Port) -> &str {
        let description = self.outfit.blueprint.component.description();
        let name = match port {
            Port::Input(port) => description.inputs.get(port as usize),
            Port::Output(port) => description.outputs.get(port as usize),
        };
        name.map_or("", String::as_str)
    }

    fn complain(&mut self, what: &str, count: usize, reason: &str) {
        if self.complaints.due() {
            let s = if count == 1 { "" } else { "s" };
            tracing::warn!(
                operator = self.outfit.name,
                "{what} {count} record{s}: {reason}"
            );
        }
    }

    /// Builds the next instance after a failure, as the lost one was.
    pub(super) fn rebuild(&mut self) -> Result<(), End> {
        let built = self
            .outfit
            .blueprint
            .instantiate()
            .map_err(|error| error.to_string())
            .and_then(|mut instance| {
                let restored = self.history.restore(&mut instance)?;
                Ok((instance, restored))
            });
        match built {
            Ok((instance, restored)) => {
                self.instance = Some(instance);
                self.outfit.counters.restarted();
                self.outfit.counters.forgot(restored.forgotten);
                if restored.forgotten > 0 {
                    tracing::error!(
                        operator = self.outfit.name,
                        forgotten = restored.forgotten,
                        "continues with a new instance from {}; records kept since then are lost",
                        restored.from
                    );
                } else {
                    tracing::info!(
                        operator = self.outfit.name,
                        "continues with a new instance from {}",
                        restored.from
                    );
                }
                Ok(())
            }
            Err(reason) if matches!(self.outfit.on_error, OnError::Stop) => {
                Err(End::Failed(reason))
            }
            Err(reason) => {
                let pause = self.backoff.failed();
                tracing::error!(
                    operator = self.outfit.name,
                    ?pause,
                    "cannot be brought back yet: {reason}"
                );
                Ok(())
            }
        }
    }

    /// Takes a snapshot if it is time. An instance that refuses or fails keeps its history.
    pub(super) fn save_if_due(&mut self) {
        if self.history.is_due() {
            self.save();
        }
    }

    pub(super) fn save(&mut self) {
        let Some(instance) = &mut self.instance else {
            return;
        };
        let Err(error) = self.history.take(instance, &self.ended) else {
            return;
        };
        tracing::warn!(
            operator = self.outfit.name,
            "no snapshot of its state: {error}"
        );
        if error.is_fatal() {
            self.instance = None;
            self.backoff.failed();
        }
    }

    /// Gives up what is held. What the state holds is forgotten, unless it lives on or all inputs have ended, so that
    /// the instance could flush.
    pub(super) fn end(&mut self, kept: bool) {
        self.give_up();
        let inputs = &self.outfit.blueprint.component.description().inputs;
        let bound = &self.outfit.blueprint.setup.inputs;
        let has_finished = (0..).zip(inputs).all(|(port, name)| {
            self.ended.contains(&port) || !bound.iter().any(|binding| binding.port == *name)
        });
        if !kept && !has_finished {
            let forgotten = self.history.give_up();
            self.outfit.counters.forgot(forgotten);
        }
    }
}
