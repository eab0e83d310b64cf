//! What an operator's stage does when its guest refuses datums or fails: the policy applied, the next instance built.

use mosaik_streams::{Frames, FramesProducer};

use super::{Counters, End, OnError, convert::Port, recovery::letters, worker::Worker};
use crate::operator::{CallError, Rejected};

impl Worker {
    /// Applies the policy to single datums of a batch that were refused; they are counted already.
    pub(super) async fn refused(
        &mut self,
        port: Port,
        batch: &Frames,
        rejected: &[Rejected],
    ) -> Result<(), End> {
        let Some(first) = rejected.first() else {
            return Ok(());
        };
        self.complain(rejected.len(), &first.reason);
        match &self.outfit.on_error {
            OnError::Skip => Ok(()),
            OnError::Stop => Err(End::Failed(format!("refused a datum: {}", first.reason))),
            OnError::Restart => {
                self.restart = true;
                Ok(())
            }
            OnError::To(stream) => {
                let mut datums = batch.iter().enumerate();
                let refused = rejected.iter().filter_map(|rejected| {
                    let (_, bytes) = datums.find(|(index, _)| *index == rejected.index as usize)?;
                    Some((bytes, rejected.reason.as_str()))
                });
                let letters = letters(&self.outfit.name, self.port_name(port), refused);
                self.send_letters(stream, letters).await
            }
        }
    }

    /// Applies the policy to a batch during which the guest failed, but for those of its datums that were `rejected`
    /// before, and gives the instance up.
    pub(super) async fn failed(
        &mut self,
        batch: Option<(u32, &Frames)>,
        rejected: &[u32],
        error: CallError,
    ) -> Result<(), End> {
        let reason = error.to_string();
        self.restart = false;
        let restarts = matches!(
            (&error, &self.outfit.on_error),
            (CallError::Refused(_), OnError::Restart)
        );
        if error.is_fatal() || restarts {
            self.instance = None;
            let pause = self.recovery.failed();
            tracing::error!(
                operator = self.outfit.name,
                ?pause,
                "failed: {reason}; a new instance follows"
            );
        }
        self.lost(batch, rejected, &reason).await
    }

    pub(super) async fn lost(
        &mut self,
        batch: Option<(u32, &Frames)>,
        rejected: &[u32],
        reason: &str,
    ) -> Result<(), End> {
        let count = batch.map_or(0, |(_, batch)| batch.count() - rejected.len());
        self.outfit.counters.failed(count);
        if count > 0 {
            self.complain(count, reason);
        }
        match (&self.outfit.on_error, batch) {
            (OnError::Stop, _) => Err(End::Failed(reason.to_owned())),
            (OnError::To(stream), Some((port, batch))) => {
                let rest = (0..).zip(batch.iter());
                let rest = rest.filter(|(index, _)| !rejected.contains(index));
                let letters = letters(
                    &self.outfit.name,
                    self.port_name(Port::Input(port)),
                    rest.map(|(_, datum)| (datum, reason)),
                );
                self.send_letters(stream, letters).await
            }
            _ => Ok(()),
        }
    }

    /// Letters count at the stream they go to, not as this operator's output; those that do not get there count here.
    async fn send_letters(
        &self,
        stream: &FramesProducer,
        (mut letters, too_large): (Frames, u64),
    ) -> Result<(), End> {
        self.outfit.counters.skipped(too_large, 0);
        let sent = self
            .outfit
            .handoff
            .send_rest(stream, &mut letters, &Counters::default())
            .await;
        self.outfit.counters.undelivered(letters.count());
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

    fn complain(&mut self, count: usize, reason: &str) {
        if self.complaints.due() {
            tracing::warn!(
                operator = self.outfit.name,
                "refused {count} of a batch's datums, the first: {reason}"
            );
        }
    }

    /// Builds the next instance after a failure, from the last snapshot if there is one.
    pub(super) fn rebuild(&mut self) -> Result<(), End> {
        let built = self
            .outfit
            .blueprint
            .instantiate()
            .map_err(|error| error.to_string())
            .and_then(|mut instance| {
                let start = self.recovery.restore(&mut instance)?;
                Ok((instance, start))
            });
        match built {
            Ok((instance, start)) => {
                tracing::info!(
                    operator = self.outfit.name,
                    "goes on with a new instance from {start}"
                );
                self.instance = Some(instance);
                self.untold.clone_from(&self.ended);
                self.outfit.counters.restarted();
                Ok(())
            }
            Err(reason) if matches!(self.outfit.on_error, OnError::Stop) => {
                Err(End::Failed(reason))
            }
            Err(reason) => {
                let pause = self.recovery.failed();
                tracing::error!(
                    operator = self.outfit.name,
                    ?pause,
                    "cannot be built anew: {reason}"
                );
                Ok(())
            }
        }
    }
    /// Keeps what the instance knows now, if it was called since it was last asked. One that refuses goes on, with what
    /// was kept before.
    pub(super) async fn checkpoint(&mut self) -> Result<(), End> {
        let Some(instance) = self.instance.as_mut().filter(|_| self.changed) else {
            return Ok(());
        };
        self.changed = false;
        match instance.snapshot() {
            Ok(state) => {
                tracing::debug!(operator = self.outfit.name, bytes = state.len(), "saved");
                self.recovery.save(Some(state));
                Ok(())
            }
            Err(CallError::Refused(reason)) => {
                tracing::warn!(
                    operator = self.outfit.name,
                    "does not save what it knows: {reason}"
                );
                Ok(())
            }
            Err(error) => self.failed(None, &[], error).await,
        }
    }
}
