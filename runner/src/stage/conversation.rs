//! Retries a failed batch record by record, so that one bad record costs only that record.

use std::time::Duration;

use mosaik_streams::Frames;

use super::{
    End,
    history::History,
    task::{Progress, Task},
    worker::Worker,
};
use crate::operator::{CallError, Limits, thread_cpu_time};

/// Total CPU time that the failing records of one batch may use, as a multiple of `limits.time`:
/// 10, which is 10 s by default. Successful records do not count.
const FAILING_TIME: u32 = 10;
/// Total CPU time that restoring the instance may use for one batch, as a multiple of the limit of
/// one restore: 10, which is 100 s by default.
const RETURNING_TIME: u32 = 10;
/// Number of records of one batch that may exceed the time limit for waiting on the host: 3.
const WAITS_MAX: u32 = 3;

impl Worker {
    /// Retries the records of a batch one by one. Each is passed to an instance that has processed
    /// exactly the successful records before it. The policy applies to those that fail.
    pub(super) async fn retry(
        &mut self,
        port: u32,
        batch: Frames,
        mut progress: Progress,
        error: &CallError,
    ) -> Result<(), End> {
        let records = batch.count();
        tracing::warn!(
            operator = self.shared.name,
            "failed on a batch of {records} records, retries them one by one: {error}"
        );
        let mut failing = Failing::new(&self.shared.blueprint.setup.limits);
        progress.restart();
        let mut rest = batch;
        let mut failed = 0;
        for index in 0..records {
            self.come_back(&mut failing).await?;
            if self.shared.handoff.is_abandoned() {
                return Err(End::Stopped);
            }
            let record = rest.split_front(1, usize::MAX);
            // A record that was rejected before the batch failed is already counted and handled. It
            // is only repeated for the instance's state.
            let is_rejected = progress.is_rejected(index as u32);
            if let Some(instance) = &mut self.instance {
                // Output that was handed on before the batch failed was computed within the time
                // limit of the whole batch.
                let of_batch = if progress.is_behind() { records } else { 1 };
                instance.set_records_min(of_batch);
            }
            let task = Task::Batch(port, record.clone());
            let began = thread_cpu_time();
            let attempted = self.attempt(&task, index as u32, &mut progress).await?;
            if let Some(instance) = &mut self.instance {
                instance.set_records_min(0);
            }
            let Err(error) = attempted else {
                continue;
            };
            failing.add(began, &error);
            if error.is_fatal() {
                self.instance = None;
            } else {
                self.note_refusal(&task, &error);
            }
            if !is_rejected {
                failed += 1;
                let record: Vec<_> = record.iter().collect();
                self.lost(port, &record, &error.to_string()).await?;
            }
            if failing.is_over() || progress.is_behind() {
                let reason = format!(
                    "not tried: {failed} of the first {} records of its batch failed, which took {failing}",
                    index + 1,
                );
                let records = progress.not_rejected(index as u32 + 1, &rest);
                let lost = self.lost(port, &records, &reason).await;
                self.backoff.failed();
                return lost;
            }
        }
        if failed == 0
            && matches!(
                error,
                CallError::TimedOut { .. } | CallError::WaitedTooLong { .. }
            )
        {
            self.batch_max.was_too_slow(records);
            tracing::warn!(
                operator = self.shared.name,
                "each of the {records} records was in time, all together were not: it gets fewer at once from now on; \
                 `limits.time` can be raised, or `batch_size` of its edges lowered"
            );
        }
        if failed == records {
            let pause = self.backoff.failed();
            tracing::error!(
                operator = self.shared.name,
                ?pause,
                "failed on each of the {records} records of a batch; starting a new instance"
            );
        } else {
            self.backoff.succeeded();
        }
        Ok(())
    }

    /// Restores the instance if it is lost and takes a snapshot immediately, so that the next
    /// failure in this batch does not repeat all calls since the last snapshot.
    async fn come_back(&mut self, failing: &mut Failing) -> Result<(), End> {
        if self.instance.is_some() {
            return Ok(());
        }
        let began = thread_cpu_time();
        self.rebuild()?;
        self.revive().await?;
        if self.history.is_long() {
            self.save();
        }
        failing.returned += thread_cpu_time().saturating_sub(began);
        self.revive().await
    }
}

/// Returns true if retrying the records one by one can save some of them. A single record cannot be
/// split, and a partly handed-on answer cannot be repeated if the guest has external effects.
pub(super) fn is_worth_retrying(
    history: &History,
    batch: &Frames,
    progress: &Progress,
    error: &CallError,
) -> bool {
    let is_splittable = error.is_fatal() || matches!(error, CallError::BatchTooLarge { .. });
    let can_repeat = history.can_repeat() || !progress.has_handed_on();
    batch.count() > 1 && is_splittable && can_repeat
}

/// The CPU time and waits that the failures of one batch have used.
pub(super) struct Failing {
    took: Duration,
    took_max: Duration,
    /// CPU time used to restore the instance.
    pub(super) returned: Duration,
    returned_max: Duration,
    waits: u32,
}

impl Failing {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            took: Duration::ZERO,
            took_max: limits.call_time_max.saturating_mul(FAILING_TIME),
            returned: Duration::ZERO,
            returned_max: limits.state_time_max().saturating_mul(RETURNING_TIME),
            waits: 0,
        }
    }

    /// Adds a failed record whose attempt began at the thread's CPU time `began`.
    pub(super) fn add(&mut self, began: Duration, error: &CallError) {
        self.took += thread_cpu_time().saturating_sub(began);
        self.waits += u32::from(matches!(error, CallError::WaitedTooLong { .. }));
    }

    pub(super) fn is_over(&self) -> bool {
        self.took > self.took_max || self.returned > self.returned_max || self.waits >= WAITS_MAX
    }
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.1?} of CPU time, and {:.1?} to restore the instance",
            self.took, self.returned
        )
    }
}
