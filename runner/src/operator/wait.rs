//! Runs guest calls that wait for the host: for a file, a timer or a response.
//!
//! A call is a future, so that a call that waits in the host can be cancelled at its time limit.
//! The epoch cannot do this, because it interrupts only guest code. The awaited operations run on a
//! separate small runtime, which starts with the first operator with grants. Files that never
//! answer (a FIFO) block only its threads.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};

/// Number of threads for timers and connections: 1.
const WORKERS: usize = 1;
/// Number of threads for files and names: 32. This also limits the concurrent reads and lookups of
/// all operators together.
const BLOCKING_MAX: usize = 32;

/// The runtime, once it is needed. Dropping it abandons the operations that cannot be stopped.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<Option<Runtime>>);

impl Waits {
    /// Returns the runtime and starts it if it does not run yet.
    pub(super) fn handle(&self) -> io::Result<Handle> {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let started = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING_MAX)
            .thread_name("operator-wait")
            .enable_io()
            .enable_time()
            .build()?;
        Ok(runtime.insert(started).handle().clone())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let runtime = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs a guest call that uses only host functions that do not wait.
pub(super) fn run<R>(call: impl Future<Output = R>) -> R {
    futures::executor::block_on(call)
}

/// Runs a call that may wait for the host, for at most `limit` in total; returns `None` if it
/// waited longer. The guest's computation between two waits does not count.
pub(super) fn run_within<R>(
    runtime: &Handle,
    limit: Duration,
    call: impl Future<Output = R>,
) -> Option<R> {
    let _entered = runtime.enter();
    futures::executor::block_on(async {
        let mut call = pin!(call);
        let mut alarm = pin!(tokio::time::sleep(limit));
        let mut left = limit;
        let mut since: Option<Instant> = None;
        poll_fn(|cx| {
            if let Some(since) = since.take() {
                left = left.saturating_sub(since.elapsed());
            }
            if let Poll::Ready(said) = call.as_mut().poll(cx) {
                return Poll::Ready(Some(said));
            }
            // The alarm would not ring at once: its clock has a resolution of 1 ms and rounds up.
            if left.is_zero() {
                return Poll::Ready(None);
            }
            let now = Instant::now();
            since = Some(now);
            alarm.as_mut().reset((now + left).into());
            alarm.as_mut().poll(cx).map(|()| None)
        })
        .await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waiting_counts() {
        let waits = Waits::default();
        let runtime = waits.handle().unwrap();
        let busy = run_within(&runtime, Duration::from_secs(2), async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                std::thread::sleep(Duration::from_millis(800));
            }
            7
        });
        assert_eq!(busy, Some(7));
        let idle = run_within(&runtime, Duration::from_millis(300), async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert_eq!(idle, None::<()>);
    }

    #[test]
    fn a_call_that_waits_is_cancelled_when_its_alarm_rings() {
        let waits = Waits::default();
        let runtime = waits.handle().unwrap();
        for _ in 0..20 {
            let mut polls = 0;
            let call = poll_fn(|_| {
                polls += 1;
                Poll::<()>::Pending
            });
            assert_eq!(run_within(&runtime, Duration::from_millis(3), call), None);
            assert_eq!(polls, 2);
        }
    }
}
