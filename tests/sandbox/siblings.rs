//! Measures the cost of a hostile component for the operators beside it: their throughput with it
//! and without it, alternately, in one run.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use mosaik_runner::operator::{Component, LoadLimits, NoEvents};
use mosaik_streams::Frames;

use super::alone;
use super::cases::{At, CASES, Case};
use super::guest::Guest;
use super::lab::{Lab, setup};

/// Minimum share of its throughput that a sibling keeps while a hostile operator runs: one half.
/// Throughput is measured in batches per time not spent waiting for a CPU, because other processes
/// cause such waits. Waits for locks and memory count. Two threads that share the caches of a core
/// slow each other down.
const SHARE_MIN: f64 = 0.5;
/// Minimum duration of a throughput measurement, without waits for a CPU: 30 ms, in which at least
/// 50 batches pass.
const WINDOW: Duration = Duration::from_millis(30);
const BATCHES: u64 = 50;
/// Time limit for a measurement on a busy machine: 1 minute.
const PATIENCE: Duration = Duration::from_mins(1);
/// Number of measurements of a share below the minimum: 20, because the other load of the machine is
/// unknown.
const TRIES: usize = 20;

#[test]
fn siblings_keep_their_throughput() {
    let _turn = alone();
    let lab = Lab::new();
    let beat = Arc::new(Beat::default());
    let sibling = {
        let module = Guest::default().module();
        let component = lab.engine.load(&module, LoadLimits::default()).unwrap();
        let beat = Arc::clone(&beat);
        thread::spawn(move || work(&component, &beat))
    };
    while beat.thread.load(Relaxed) == 0 {
        thread::yield_now();
    }
    let (mut least, mut sum, mut count) = ((f64::MAX, ""), 0.0, 0_u32);
    for case in CASES {
        // Compiled before: the cost of the compiler is measured in another test.
        let component = match case.at {
            At::Load => None,
            _ => Some(lab.load(case).unwrap()),
        };
        let mut share = 0.0_f64;
        for _ in 0..TRIES {
            share = share.max(share_beside(&lab, case, component.as_ref(), &beat));
            if share >= SHARE_MIN {
                break;
            }
        }
        println!("{:24} {:5.0} %", case.name, share * 100.0);
        assert!(
            share >= SHARE_MIN,
            "beside {} a sibling keeps {:.0} % of its throughput",
            case.name,
            share * 100.0
        );
        if share < least.0 {
            least = (share, case.name);
        }
        sum += share.min(1.0);
        count += 1;
    }
    beat.stop.store(true, Relaxed);
    sibling.join().unwrap();
    println!(
        "the least is {:.0} %, beside {}; on average {:.0} %",
        least.0 * 100.0,
        least.1,
        sum / f64::from(count) * 100.0
    );
}

/// The progress of a sibling.
#[derive(Default)]
struct Beat {
    /// The thread on which it runs.
    thread: AtomicU32,
    batches: AtomicU64,
    stop: AtomicBool,
}

impl Beat {
    /// Measures the batches per second from now on, without the time that it waited for a CPU.
    fn rate(&self) -> f64 {
        let look = || (Instant::now(), self.waited(), self.batches.load(Relaxed));
        let (start, waited, batches) = look();
        loop {
            thread::sleep(WINDOW / 10);
            let now = look();
            let wall = now.0.saturating_duration_since(start);
            let time = wall.saturating_sub(now.1.saturating_sub(waited));
            let done = now.2 - batches;
            if time >= WINDOW && done >= BATCHES {
                return done as f64 / time.as_secs_f64();
            }
            assert!(
                wall < PATIENCE,
                "the sibling does not run: {done} in {wall:?}"
            );
        }
    }

    /// Returns the total time for which its thread has waited for a CPU.
    fn waited(&self) -> Duration {
        let path = format!("/proc/self/task/{}/schedstat", self.thread.load(Relaxed));
        let text = fs::read_to_string(path).unwrap();
        let nanos = text.split_whitespace().nth(1).unwrap();
        Duration::from_nanos(nanos.parse().unwrap())
    }
}

/// Passes batches through a well-behaved operator at full speed.
fn work(component: &Component, beat: &Beat) {
    let thread = rustix::thread::gettid().as_raw_pid();
    beat.thread.store(thread.cast_unsigned(), Relaxed);
    let setup = setup(Arc::new(NoEvents), 16 << 20, Duration::from_secs(10));
    let mut honest = component.instantiate(setup).unwrap();
    let batch: Frames = (0..64).map(|_| [b'x'; 64]).collect();
    while !beat.stop.load(Relaxed) {
        let processed = honest.process(0, &batch).unwrap();
        assert_eq!(processed.outputs.len(), 1);
        beat.batches.fetch_add(1, Relaxed);
    }
}

/// Returns the sibling's rate while a hostile operator is opened and called repeatedly, divided by
/// its rate without one.
fn share_beside(lab: &Lab, case: &Case, component: Option<&Component>, beat: &Beat) -> f64 {
    let alone = beat.rate();
    let stop = AtomicBool::new(false);
    let beside = thread::scope(|scope| {
        let started = Arc::new(AtomicBool::new(false));
        let running = Arc::clone(&started);
        let stop = &stop;
        scope.spawn(move || {
            running.store(true, Relaxed);
            while !stop.load(Relaxed) {
                match component {
                    Some(component) => drop(lab.run_loaded(case, component)),
                    None => drop(lab.run(case)),
                }
            }
        });
        while !started.load(Relaxed) {
            thread::yield_now();
        }
        let rate = beat.rate();
        stop.store(true, Relaxed);
        rate
    });
    beside / alone.max(f64::MIN_POSITIVE)
}
