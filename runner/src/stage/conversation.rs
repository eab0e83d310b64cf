//! The conversation with an instance: calls it with a task, passes on the parts of its answer, and
//! retries a failed batch record by record. Shared by the stages of a node and `run-operator`.

use std::{fmt, sync::Arc, time::Duration};

use mosaik_streams::Frames;

use super::{
    Counters,
    answers::Answers,
    recoverable::Recoverable,
    task::{Progress, Task},
};
use crate::operator::{CallError, Limits, Processed, thread_cpu_time};

/// Total CPU time that the failing records of one batch may use, as a multiple of `limits.time`:
/// 10, which is 10 s by default. Successful records do not count.
const FAILING_TIME: u32 = 10;
/// Total CPU time that restoring the instance may use for one batch, as a multiple of the limit of
/// one restore: 10, which is 100 s by default.
const RETURNING_TIME: u32 = 10;
/// Number of records of one batch that may exceed the time limit for waiting on the host: 3.
const WAITS_MAX: u32 = 3;

/// The caller of an instance: receives the answers, and decides on the records that fail.
pub(super) trait Caller {
    /// The reason to end early.
    type End;

    /// Returns the instance.
    fn called(&mut self) -> &mut Recoverable;

    /// Returns the counters for the outcomes of records.
    fn counters(&self) -> Arc<Counters>;

    /// Returns the limits of the instance.
    fn limits(&self) -> &Limits;

    /// Learns that a task is complete, before the last part of its answer arrives. `done` of its
    /// records are not rejected.
    fn completed(&mut self, done: usize) {
        let _ = done;
    }

    /// Receives a part of the answer to a task whose first record has the index `first` in its
    /// batch. It is the last one unless the answer has [`more`](Processed::more).
    async fn answered(
        &mut self,
        task: &Task,
        first: u32,
        answer: Processed,
    ) -> Result<(), Self::End>;

    /// Restores the instance if it is lost, and adds the CPU time to `failing`.
    async fn come_back(&mut self, failing: &mut Failing) -> Result<(), Self::End>;

    /// Learns that the instance refused a whole call, and continues.
    fn refused_call(&mut self, task: &Task, error: &CallError);

    /// Gives up a record that failed alone.
    async fn failed_alone(&mut self, record: Part<'_>, error: &CallError) -> Result<(), Self::End>;

    /// Gives up the rest of a batch, which is not tried any more, except for the records that are
    /// rejected already.
    async fn not_tried(
        &mut self,
        rest: Part<'_>,
        progress: &Progress,
        reason: &str,
    ) -> Result<(), Self::End>;
}

/// A part of a batch.
pub(super) struct Part<'b> {
    /// The input port.
    pub(super) port: u32,
    /// The index of its first record in the batch.
    pub(super) first: u32,
    pub(super) records: &'b Frames,
}

/// Makes one attempt at a task whose first record has the index `first` in its batch. On success,
/// counts the reported outcomes and adds the call to the history. An instance that fails is lost.
pub(super) async fn attempt<C: Caller>(
    caller: &mut C,
    task: &Task,
    first: u32,
    progress: &mut Progress,
) -> Result<Result<(), CallError>, C::End> {
    let Some(instance) = caller.called().instance() else {
        return Ok(Err(CallError::Poisoned));
    };
    let mut answers = Answers::begin(task, first, instance, progress);
    loop {
        let Some(instance) = caller.called().instance() else {
            return Ok(Err(CallError::Poisoned));
        };
        let answer = match answers.next(instance, progress) {
            Ok(answer) => answer,
            Err(error) => {
                if error.is_fatal() {
                    if !task.has_records() {
                        // The next attempt gets the same clock values, so that it repeats the
                        // output that this attempt has handed on.
                        progress.clock = instance.take_clock();
                    }
                    caller.called().lose();
                }
                return Ok(Err(error));
            }
        };
        let more = answer.more;
        if !more {
            // From here on, the fate of the output is counted as output.
            let counters = caller.counters();
            let done = caller.called().complete(task, first, progress, &counters);
            caller.completed(done);
        }
        caller.answered(task, first, answer).await?;
        if !more {
            return Ok(Ok(()));
        }
    }
}

/// The outcome of a retry.
pub(super) enum Retried {
    /// Each record was tried, and this number failed.
    All { failed: usize },
    /// The failures used up their time, and the other records were not tried.
    Part,
}

/// Retries the records of a batch one by one, so that one bad record costs only that record. Each
/// is passed to an instance that has processed exactly the successful records before it.
pub(super) async fn retry<C: Caller>(
    caller: &mut C,
    port: u32,
    mut rest: Frames,
    mut progress: Progress,
) -> Result<Retried, C::End> {
    let records = rest.count();
    let mut failing = Failing::new(caller.limits());
    let mut failed = 0;
    progress.restart();
    for index in 0..records {
        caller.come_back(&mut failing).await?;
        let record = rest.split_front(1, usize::MAX);
        if let Some(instance) = caller.called().instance() {
            // Output that was handed on before the batch failed was computed within the time limit
            // of the whole batch.
            let of_batch = if progress.is_behind() { records } else { 1 };
            instance.set_records_min(of_batch);
        }
        let task = Task::Batch(port, record.clone());
        let began = thread_cpu_time();
        let attempted = attempt(caller, &task, index as u32, &mut progress).await?;
        if let Some(instance) = caller.called().instance() {
            instance.set_records_min(0);
        }
        let Err(error) = attempted else {
            continue;
        };
        failing.add(began, &error);
        if !error.is_fatal() {
            caller.refused_call(&task, &error);
        }
        // A rejected record is already counted and handled. It is only repeated for the state.
        if !progress.is_rejected(index as u32) {
            failed += 1;
            let alone = Part {
                port,
                first: index as u32,
                records: &record,
            };
            caller.failed_alone(alone, &error).await?;
        }
        if failing.is_over() || progress.is_behind() {
            let tried = index + 1;
            let reason = format!(
                "not tried: {failed} of the first {tried} records of its batch failed, which took {failing}"
            );
            let rest = Part {
                port,
                first: tried as u32,
                records: &rest,
            };
            caller.not_tried(rest, &progress, &reason).await?;
            return Ok(Retried::Part);
        }
    }
    Ok(Retried::All { failed })
}

/// The CPU time and waits that the failures of one batch have used.
pub(super) struct Failing {
    took: Duration,
    took_max: Duration,
    /// CPU time used to restore the instance.
    returned: Duration,
    returned_max: Duration,
    waits: u32,
}

impl Failing {
    fn new(limits: &Limits) -> Self {
        Self {
            took: Duration::ZERO,
            took_max: limits.call_time_max.saturating_mul(FAILING_TIME),
            returned: Duration::ZERO,
            returned_max: limits.state_time_max().saturating_mul(RETURNING_TIME),
            waits: 0,
        }
    }

    /// Adds a failed record whose attempt began at the thread's CPU time `began`.
    fn add(&mut self, began: Duration, error: &CallError) {
        self.took += thread_cpu_time().saturating_sub(began);
        self.waits += u32::from(matches!(error, CallError::WaitedTooLong { .. }));
    }

    /// Adds a restore that began at the thread's CPU time `began`.
    pub(super) fn add_restore(&mut self, began: Duration) {
        self.returned += thread_cpu_time().saturating_sub(began);
    }

    fn is_over(&self) -> bool {
        self.took > self.took_max || self.returned > self.returned_max || self.waits >= WAITS_MAX
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1?} of CPU time, and {:.1?} to restore the instance",
            self.took, self.returned
        )
    }
}
