//! The single OS thread that measures guest calls: it advances the engine's epoch while any call
//! runs, and sleeps otherwise.
//!
//! Compiled guests check the epoch at every loop and function entry, and trap once their deadline
//! has passed. A call therefore needs no system call and no timer of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::EngineWeak;

/// Interval at which the epoch advances while a guest runs: 5 ms. A deadline is met to within one
/// or two intervals.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Number of ticks without a call before the thread parks: 40. With steady traffic, the thread
/// never has to be woken.
const IDLE_TICKS: u32 = 40;

/// Starts the thread, wakes it for calls, and ends it on drop.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    /// Number of calls in flight.
    active: AtomicUsize,
    /// True if a call began since the thread's last check.
    touched: AtomicBool,
    /// True if the thread is parked, or about to park.
    parked: AtomicBool,
    /// True if the thread has to end.
    stopped: AtomicBool,
}

impl Ticker {
    /// Starts the thread. It holds a weak reference to the engine and also ends with it.
    pub(super) fn start(engine: EngineWeak) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        let handle = thread::Builder::new()
            .name("operator-epoch".into())
            .spawn(move || run(&ticking, &engine))?;
        Ok(Self {
            shared,
            thread: handle.thread().clone(),
        })
    }

    /// Keeps the epoch advancing until the guard is dropped.
    pub(super) fn enter(&self) -> InCall<'_> {
        if !self.shared.touched.load(Ordering::Relaxed) {
            self.shared.touched.store(true, Ordering::Relaxed);
        }
        // Sequentially consistent with the thread's own store and load: either the thread sees this
        // call and does not park, or this call sees that the thread is parked and wakes it.
        self.shared.active.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        InCall {
            shared: &self.shared,
        }
    }

    #[cfg(test)]
    pub(super) fn is_parked(&self) -> bool {
        self.shared.parked.load(Ordering::SeqCst)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A guest call in flight.
#[derive(Debug)]
pub(super) struct InCall<'a> {
    shared: &'a Shared,
}

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        self.shared.active.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns the deadline of a call with this time limit, in epochs from now. Includes one extra
/// epoch, because the epoch may advance right after the start of the call.
pub(super) fn ticks(time: Duration) -> u64 {
    let ticks = time.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks)
        .unwrap_or(u64::MAX / 4)
        .min(u64::MAX / 4)
        + 1
}

fn run(shared: &Shared, engine: &EngineWeak) {
    let mut idle = 0;
    while !shared.stopped.load(Ordering::SeqCst) {
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.increment_epoch();
        drop(engine);
        let busy = shared.touched.swap(false, Ordering::Relaxed)
            || shared.active.load(Ordering::Relaxed) > 0;
        idle = if busy { 0 } else { idle + 1 };
        if idle >= IDLE_TICKS {
            idle = 0;
            shared.parked.store(true, Ordering::SeqCst);
            if shared.active.load(Ordering::SeqCst) == 0 && !shared.stopped.load(Ordering::SeqCst) {
                thread::park();
            }
            shared.parked.store(false, Ordering::SeqCst);
        }
        thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Waits at most 1 min for `condition`.
    #[track_caller]
    fn wait_for(what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(
                start.elapsed() < Duration::from_mins(1),
                "waited in vain until {what}"
            );
            thread::yield_now();
        }
    }

    #[test]
    fn the_ticker_parks_without_calls_and_wakes_for_one() {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = wasmtime::Engine::new(&config).unwrap();
        let ticker = Ticker::start(engine.weak()).unwrap();
        for _ in 0..2 {
            wait_for("the ticker parks", || ticker.is_parked());
            let call = ticker.enter();
            wait_for("the ticker wakes", || !ticker.is_parked());
            drop(call);
        }
        let shared = Arc::clone(&ticker.shared);
        drop(ticker);
        wait_for("the thread ends", || Arc::strong_count(&shared) == 1);
    }

    #[test]
    fn a_deadline_is_never_shorter_than_the_time_given() {
        assert_eq!(ticks(Duration::ZERO), 1);
        assert_eq!(ticks(TICK), 2);
        assert_eq!(ticks(TICK + Duration::from_nanos(1)), 3);
        assert!(ticks(Duration::MAX) < u64::MAX / 2);
    }
}
