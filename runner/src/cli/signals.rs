//! Handling of SIGINT, SIGTERM and SIGHUP from the first instruction of `up` on. A dedicated thread receives the
//! signals, so that they also work while the manifest is compiled or the runtime is blocked.

use std::{
    ffi::c_int,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    iterator::Signals as Caught,
    low_level::emulate_default_handler,
};
use tokio::sync::watch;

use super::Exit;
use crate::connector;

/// Time within which a repeated stop signal counts as the same request: 1 s. GNU `timeout`, for example, signals its
/// child and then the child's process group.
const SAME_REQUEST: Duration = Duration::from_secs(1);
/// Maximum time for the node to act on an immediate stop: 2 s. The process then exits without it.
const GRACE: Duration = Duration::from_secs(2);

/// The request that a signal makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalRequest {
    Reload,
    Stop,
}

/// Number of requests since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Requests {
    stops: u32,
    reloads: u32,
}

/// The requests that have arrived, and those that have been handled.
#[derive(Debug)]
pub(super) struct Signals {
    arrived: watch::Receiver<Requests>,
    taken: Requests,
    phase: Arc<Phase>,
}

/// The state of the process, which determines the effect of a signal.
#[derive(Debug, Default)]
struct Phase {
    /// The command does not handle signals.
    is_default: AtomicBool,
    /// The node has started.
    runs: AtomicBool,
}

impl Signals {
    /// Starts to catch signals.
    ///
    /// # Errors
    /// The system cannot create the required pipe or thread.
    pub(super) fn install() -> io::Result<Self> {
        // A file at its size limit is an error of the write, as a full disk is, and not the end of the process.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let mut caught = Caught::new([SIGINT, SIGTERM, SIGHUP])?;
        let (report, arrived) = watch::channel(Requests::default());
        let phase = Arc::new(Phase::default());
        let shared = Arc::clone(&phase);
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                let mut filter = Filter::default();
                for signal in caught.forever() {
                    if shared.is_default.load(Ordering::Relaxed) {
                        // Ends the process.
                        let _ = emulate_default_handler(signal);
                    } else if filter.is_new(signal, Instant::now()) {
                        shared.act(signal, &report);
                    }
                }
            })?;
        Ok(Self {
            arrived,
            taken: Requests::default(),
            phase,
        })
    }

    /// Restores the default effect of signals, which is to end the process.
    pub(super) fn restore_default(&self) {
        self.phase.is_default.store(true, Ordering::Relaxed);
    }

    /// Records that the node runs. From now on the first stop request drains the node.
    pub(super) fn node_runs(&self) {
        self.phase.runs.store(true, Ordering::Relaxed);
    }

    /// Waits for the next request. Cancel safe.
    pub(super) async fn next(&mut self) -> SignalRequest {
        loop {
            let arrived = *self.arrived.borrow_and_update();
            if arrived.stops > self.taken.stops {
                self.taken.stops += 1;
                return SignalRequest::Stop;
            }
            if arrived.reloads > self.taken.reloads {
                // Reload requests that arrived together count as one.
                self.taken.reloads = arrived.reloads;
                return SignalRequest::Reload;
            }
            if self.arrived.changed().await.is_err() {
                // The thread has ended, which does not happen.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for the next stop request. Keeps reload requests for later. Cancel safe.
    pub(super) async fn stop(&mut self) {
        let taken = self.taken.stops;
        if self
            .arrived
            .wait_for(|arrived| arrived.stops > taken)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
        self.taken.stops += 1;
    }
}

impl Phase {
    /// Reports a request. If the request is to stop immediately, also makes sure that the process exits after
    /// [`GRACE`].
    fn act(self: &Arc<Self>, signal: c_int, report: &watch::Sender<Requests>) {
        let is_stop = signal != SIGHUP;
        if !is_stop {
            connector::reopen_all();
        }
        report.send_modify(|requests| {
            if is_stop {
                requests.stops += 1;
            } else {
                requests.reloads += 1;
            }
        });
        let runs = self.runs.load(Ordering::Relaxed);
        let at_once = is_stop && (!runs || report.borrow().stops > 1);
        if !at_once {
            return;
        }
        let phase = Arc::clone(self);
        let end = move || {
            thread::sleep(GRACE);
            if runs {
                tracing::error!("stopped at once; the node did not answer any more");
                std::process::exit(Exit::Failed as i32);
            }
            // A node that has started in the meantime drains.
            if !phase.runs.load(Ordering::Relaxed) {
                tracing::info!("{NOT_STARTED}");
                std::process::exit(Exit::Success as i32);
            }
        };
        if thread::Builder::new().spawn(end.clone()).is_err() {
            end();
        }
    }
}

/// Log message for a start that was ended by a signal.
pub(super) const NOT_STARTED: &str = "stopped before the node had started";

/// Distinguishes new requests from signals that were sent twice.
#[derive(Debug, Default)]
struct Filter {
    last: Vec<(c_int, Instant)>,
}

impl Filter {
    /// Returns whether a signal is a new request, measured from the last signal that was one. Every SIGHUP is a new
    /// request: repeated reloads are harmless, and a file that was renamed after the first one must be reopened.
    fn is_new(&mut self, signal: c_int, now: Instant) -> bool {
        if signal == SIGHUP {
            return true;
        }
        if let Some((_, last)) = self.last.iter_mut().find(|(known, _)| *known == signal) {
            if now.saturating_duration_since(*last) < SAME_REQUEST {
                return false;
            }
            *last = now;
        } else {
            self.last.push((signal, now));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_signal_within_a_second_is_one_request() {
        let mut filter = Filter::default();
        let start = Instant::now();
        let mut at = |signal, ms| filter.is_new(signal, start + Duration::from_millis(ms));
        assert!(at(SIGTERM, 0));
        assert!(!at(SIGTERM, 1) && !at(SIGTERM, 999));
        assert!(at(SIGINT, 500), "another signal is another request");
        assert!(at(SIGTERM, 1000), "measured from the one that was taken");
        assert!(!at(SIGTERM, 1999));
    }

    #[test]
    fn every_sighup_is_a_request() {
        let (mut filter, now) = (Filter::default(), Instant::now());
        assert!(filter.is_new(SIGHUP, now) && filter.is_new(SIGHUP, now));
    }

    #[tokio::test]
    async fn requests_are_handled_one_by_one() {
        let (report, arrived) = watch::channel(Requests::default());
        let mut signals = Signals {
            arrived,
            taken: Requests::default(),
            phase: Arc::default(),
        };
        signals.node_runs();
        signals.phase.act(SIGHUP, &report);
        signals.phase.act(SIGHUP, &report);
        signals.phase.act(SIGTERM, &report);
        signals.stop().await;
        assert_eq!(signals.next().await, SignalRequest::Reload);
        let more = tokio::time::timeout(Duration::ZERO, signals.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}
