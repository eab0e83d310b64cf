//! [`Delivery`]: what all sinks have in common. It makes attempts and pauses between them, and applies the policy to
//! records that are not written. A connector makes a single attempt, and tells errors that pass from permanent ones.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};

use super::{
    Counters, End, Handoff, OnError, convert::RateLimitedWarnings, dead_letter,
    dead_letter::Refusal, rows::Rows,
};
use crate::connector::{Position, Sink, SinkError, SinkErrorKind, Unwritten};

/// The policy of a sink.
#[derive(Debug, Clone)]
pub struct SinkPolicy {
    /// The pauses between attempts.
    pub retry: Retry,
    /// The policy for records that are not written. Without one in the manifest, records that do not fit the format
    /// count as lost, and the sink fails when writing fails.
    pub on_error: OnError,
}

/// The pauses between attempts to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first pause. Each later one is twice as long as the one before.
    pub initial: Duration,
    /// The longest pause.
    pub max: Duration,
    /// The time without any record written after which records are given up; `None` for no end.
    pub max_elapsed: Option<Duration>,
}

/// A record that does not fit the format or the schema.
#[derive(Debug)]
pub(super) struct Misfit<'r> {
    pub(super) record: &'r [u8],
    pub(super) reason: String,
    pub(super) code: &'static str,
}

/// A time without any record written.
#[derive(Debug)]
struct Failing {
    since: Instant,
    pause: Duration,
    /// The code of the error that was logged last.
    logged: Option<String>,
}

/// A sink with its policy.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) name: String,
    pub(super) sink: Box<dyn Sink>,
    pub(super) policy: watch::Receiver<SinkPolicy>,
    pub(super) counters: Arc<Counters>,
    pub(super) handoff: Handoff,
    warnings: RateLimitedWarnings,
    failing: Option<Failing>,
}

impl Delivery {
    pub(super) fn new(
        name: String,
        sink: Box<dyn Sink>,
        policy: watch::Receiver<SinkPolicy>,
        counters: Arc<Counters>,
        handoff: Handoff,
    ) -> Self {
        counters.set_obstacle(None);
        Self {
            name,
            sink,
            policy,
            counters,
            handoff,
            warnings: RateLimitedWarnings::default(),
            failing: None,
        }
    }

    /// Waits until everything accepted is written.
    pub(super) async fn close(&mut self) -> Result<(), End> {
        let closed = self.sink.close().await;
        self.counters.set_obstacle(None);
        closed.map_err(|error| ended_by(&error))
    }

    /// Syncs the written records, and returns the position behind them; see [`Sink::sync`]. Every
    /// error ends the stage, also one that passes, because the synced position is then unknown.
    pub(super) async fn sync(&mut self) -> Result<Option<Position>, End> {
        tokio::select! {
            biased;
            // Triggered when everything written is durable, or when that failed.
            synced = self.sink.sync() => synced.map_err(|error| ended_by(&error)),
            // Triggered when the time limit for the stage to end has passed.
            () = self.handoff.abandoned() => Err(End::Stopped),
        }
    }

    /// Waits until a reload changes the policy. Cancel safe.
    pub(super) async fn policy_changed(&mut self) {
        changed(&mut self.policy).await;
    }

    /// Writes records, or applies the policy to them. Counts each of them.
    pub(super) async fn write(&mut self, mut rows: Rows) -> Result<(), End> {
        let done = self.write_all(&mut rows).await;
        self.counters.undelivered(rows.count());
        done
    }

    /// Applies the policy to records that do not fit the format or the schema.
    pub(super) async fn refuse(&mut self, refused: &[Misfit<'_>]) -> Result<(), End> {
        let Some(first) = refused.first() else {
            return Ok(());
        };
        self.counters.invalid(refused.len());
        self.warn(refused.iter().map(|misfit| misfit.reason.as_str()));
        let on_error = self.policy.borrow_and_update().on_error.clone();
        match &on_error {
            OnError::Skip { explicit: false } => {
                self.counters.uncovered(refused.len());
                Ok(())
            }
            OnError::Skip { explicit: true } | OnError::Restart => Ok(()),
            OnError::Stop => Err(End::Failed(format!("left out a record: {}", first.reason))),
            OnError::To(_) => {
                let refused = refused.iter().map(|misfit| Refusal {
                    record: misfit.record,
                    reason: &misfit.reason,
                    code: misfit.code,
                    attempts: 0,
                });
                self.send(&on_error, refused).await
            }
        }
    }

    async fn write_all(&mut self, rest: &mut Rows) -> Result<(), End> {
        // The number of records in an attempt, and of attempts to write the first of them.
        let (mut size, mut attempts) = (usize::MAX, 0);
        while rest.count() > 0 {
            let part = rest.rows.clone().split_front(size, usize::MAX);
            attempts += 1;
            let written = tokio::select! {
                biased;
                // Triggered when the attempt has ended.
                written = self.sink.write(&part) => written,
                // Triggered when the time limit for the stage to end has passed.
                () = self.handoff.abandoned() => {
                    let written = self.sink.give_up(&part).await;
                    self.wrote(rest, written);
                    return Err(End::Stopped);
                }
            };
            let Err(Unwritten { written, error }) = written else {
                self.wrote(rest, part.count());
                self.recovered();
                attempts = 0;
                size = size.saturating_mul(2);
                continue;
            };
            if written > 0 {
                self.wrote(rest, written);
                attempts = 1;
            }
            let left = part.count() - written;
            match error.kind() {
                SinkErrorKind::Closed | SinkErrorKind::Broken => return Err(ended_by(&error)),
                SinkErrorKind::Passing => {
                    if self.pause(&error).await? {
                        continue;
                    }
                    self.reject(rest.split_front(left), &error, attempts)
                        .await?;
                    attempts = 0;
                }
                SinkErrorKind::Permanent => {
                    self.check_goes_on(&error)?;
                    if left > 1 {
                        // Finds the records that cannot be written.
                        size = left / 2;
                        continue;
                    }
                    self.reject(rest.split_front(1), &error, attempts).await?;
                    attempts = 0;
                }
            }
        }
        Ok(())
    }

    /// Counts the first records as written.
    fn wrote(&mut self, rest: &mut Rows, count: usize) {
        let written = rest.split_front(count);
        self.counters.gave(count, written.rows.payload_len());
        self.counters.passed(count);
        if let Some(failing) = self.failing.as_mut().filter(|_| count > 0) {
            failing.since = Instant::now();
        }
    }

    fn recovered(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!(consumer = self.name, "writes again");
            self.counters.set_obstacle(None);
        }
    }

    /// Waits before the next attempt. Returns false if there is none, because the time for attempts has passed.
    async fn pause(&mut self, error: &SinkError) -> Result<bool, End> {
        let Retry {
            initial,
            max,
            max_elapsed,
        } = self.policy.borrow_and_update().retry;
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: Instant::now(),
            pause: initial,
            logged: None,
        });
        let pause = failing.pause.min(max);
        let left = max_elapsed.map(|max| max.saturating_sub(failing.since.elapsed()));
        self.counters.set_obstacle(Some(error.reason_first()));
        let code = error.code();
        let is_new = failing.logged.as_deref() != Some(&*code);
        if left.is_some_and(|left| left.is_zero()) {
            self.check_goes_on(error)?;
            return Ok(false);
        }
        if is_new {
            let until = max_elapsed.map_or_else(
                || "until it succeeds".to_owned(),
                |max| format!("for {max:?}"),
            );
            tracing::warn!(consumer = self.name, "{error}; retrying {until}");
            failing.logged = Some(code.into_owned());
        }
        failing.pause = (pause * 2).min(max);
        let policy = &mut self.policy;
        tokio::select! {
            biased;
            // Triggered when the time limit for the stage to end has passed.
            () = self.handoff.abandoned() => Err(End::Stopped),
            // Triggered when a reload changes the policy.
            () = changed(policy) => Ok(true),
            // Triggered when the pause is over.
            () = sleep(left.map_or(pause, |left| pause.min(left))) => Ok(true),
        }
    }

    /// Fails the stage unless the policy allows to go on without a record.
    fn check_goes_on(&self, error: &SinkError) -> Result<(), End> {
        match self.policy.borrow().on_error {
            OnError::Stop | OnError::Skip { explicit: false } => {
                Err(End::Failed(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Applies the policy to records that could not be written.
    async fn reject(
        &mut self,
        rejected: Rows,
        error: &SinkError,
        attempts: u64,
    ) -> Result<(), End> {
        let count = rejected.count();
        if error.kind() == SinkErrorKind::Passing {
            self.counters.failed(count);
        } else {
            self.counters.rejected(count);
        }
        let reason = error.to_string();
        self.warn(std::iter::repeat_n(reason.as_str(), count));
        let on_error = self.policy.borrow_and_update().on_error.clone();
        let code = error.code();
        let refused = rejected.records.iter().map(|record| Refusal {
            record,
            reason: &reason,
            code: &code,
            attempts,
        });
        self.send(&on_error, refused).await
    }

    /// Sends dead-letter records, if the policy names a stream for them.
    async fn send(
        &mut self,
        on_error: &OnError,
        refused: impl Iterator<Item = Refusal<'_>>,
    ) -> Result<(), End> {
        let OnError::To(stream) = on_error else {
            return Ok(());
        };
        let letters = dead_letter::of_consumer(&self.name, refused);
        let sent = dead_letter::send(stream, letters, &self.handoff, &self.counters).await;
        match sent {
            // A reload has taken the stream away. The rest is counted.
            Err(End::Failed(_)) if self.policy.has_changed().unwrap_or_default() => Ok(()),
            sent => sent,
        }
    }

    fn warn<'r>(&mut self, reasons: impl Iterator<Item = &'r str>) {
        for line in self.warnings.add_all("left out", reasons) {
            tracing::warn!(consumer = self.name, "{line}");
        }
    }
}

/// Returns the end of a stage whose sink cannot go on.
fn ended_by(error: &SinkError) -> End {
    match error.kind() {
        SinkErrorKind::Closed => End::Closed,
        _ => End::Failed(error.to_string()),
    }
}

/// Waits until the policy changes. Cancel safe.
async fn changed(policy: &mut watch::Receiver<SinkPolicy>) {
    if policy.changed().await.is_err() {
        // The node is gone, and stops the stage.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
