//! Tests damaged binaries: for any bytes, the loader answers in time and with little memory.
//!
//! `MOSAIK_MUTATIONS=1000000 cargo test --release --workspace --test mutation -- --nocapture` tries
//! the given number of cases; the default is at most 4000 cases within 6 s.
//! `MOSAIK_MUTATION_FROM=N` starts at case `N`: the damage to a binary depends only on the number
//! of the case.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/guest.rs"]
#[expect(
    dead_code,
    reason = "each of the tests that share it uses a part of it"
)]
mod guest;
#[path = "support/usage.rs"]
mod usage;

use std::{
    env,
    str::FromStr,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use guest::Guest;
use mosaik_runner::operator::{
    Binding, Engine, EngineConfig, Grants, Limits, LoadError, LoadLimits, NoEvents, Setup,
};
use mosaik_streams::Frames;

/// Default number of cases: 4000.
const CASES: u64 = 4000;
/// Time limit for the default number of cases: 6 s.
const TIME: Duration = Duration::from_secs(6);
/// Time after which a case counts as hung: 10 minutes, far more than any case took, even on a busy
/// machine.
const HUNG: Duration = Duration::from_mins(10);
/// Maximum CPU time of one case, including that of the guest: 10 s. The slowest of a million cases
/// took 1/100 of this.
const CPU_MAX: Duration = Duration::from_secs(10);
/// Maximum memory growth during one case, in KiB.
const MEMORY_KIB_MAX: u64 = 256 * 1024;
/// Maximum memory growth after all cases, in KiB.
const LEFT_KIB_MAX: u64 = 128 * 1024;

/// The result of one case.
struct Tried {
    what: &'static str,
    cpu: Duration,
    wall: Duration,
    /// Peak growth of the process during the case, in KiB.
    peak_kib: u64,
}

/// The maximum over all cases, and the number of its case.
#[derive(Default)]
struct Most<T>(T, u64);

impl<T: PartialOrd> Most<T> {
    fn note(&mut self, value: T, case: u64) {
        if value > self.0 {
            *self = Self(value, case);
        }
    }
}

#[test]
fn damaged_binaries_are_refused_or_run_but_never_panic_or_hang() {
    let wanted = number("MOSAIK_MUTATIONS");
    let first = number("MOSAIK_MUTATION_FROM").unwrap_or(0);
    let cases = first..first + wanted.unwrap_or(CASES);
    let (answer, answers) = mpsc::sync_channel(64);
    let worker = {
        let cases = cases.clone();
        thread::spawn(move || {
            let bench = Bench::new();
            bench.try_case(0);
            let before = usage::resident_kib();
            for case in cases {
                if answer.send(bench.try_case(case)).is_err() {
                    break;
                }
            }
            bench.still_works();
            usage::resident_kib().saturating_sub(before)
        })
    };
    let (start, mut ends) = (Instant::now(), std::collections::BTreeMap::new());
    let (mut cpu, mut wall, mut peak) = (Most::default(), Most::default(), Most::default());
    let mut tried = 0_u64;
    for case in cases {
        if wanted.is_none() && start.elapsed() > TIME {
            break;
        }
        let one = match answers.recv_timeout(HUNG) {
            Ok(one) => one,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("case {case} hangs"),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                std::panic::resume_unwind(worker.join().unwrap_err())
            }
        };
        assert!(one.cpu < CPU_MAX, "case {case} took {:?}", one.cpu);
        assert!(
            one.peak_kib < MEMORY_KIB_MAX,
            "case {case} took {} KiB",
            one.peak_kib
        );
        cpu.note(one.cpu, case);
        wall.note(one.wall, case);
        peak.note(one.peak_kib, case);
        *ends.entry(one.what).or_insert(0_u64) += 1;
        tried += 1;
        if case % 50_000 == 49_999 {
            println!("{tried} after {:?}: {ends:?}", start.elapsed());
        }
    }
    drop(answers);
    let left = worker.join().unwrap();
    println!(
        "{tried} tried in {:?}: {ends:?}\nat most {:?} of processor time (case {}), {:?} by the clock (case {}), {} KiB (case {}); \
         {left} KiB left behind",
        start.elapsed(),
        cpu.0,
        cpu.1,
        wall.0,
        wall.1,
        peak.0,
        peak.1
    );
    assert!(tried >= 100, "only {tried} were tried");
    assert!(
        ends.len() > 3,
        "damage of all kinds ends in more than {ends:?}"
    );
    assert!(left < LEFT_KIB_MAX, "{left} KiB are left behind");
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(u64::from_str(&text).expect("a number of cases"))
}

/// The environment in which cases are tried.
struct Bench {
    engine: Engine,
    seeds: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let guest = Guest::default();
        let busy = Guest {
            fields: "(table 2 funcref) (elem (i32.const 0) func $answer $nothing) (func $start (nop)) (start $start)",
            process: "(block $b (loop $l (br_if $b (i32.eqz (local.get $len))) (br_table $b $b (local.get $port)))) \
                      (drop (memory.grow (i32.const 1))) (call_indirect (result i32) (i32.const 1))",
            ..Guest::default()
        };
        let small = "(component (import \"mosaik:operator/host@1.0.0\" (instance (export \"now\" (func (result u64)))))
            (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\")))
            (component $c (import \"g\" (func $g)) (export \"h\" (func $g)))
            (instance $n (instantiate $c (with \"g\" (func $f)))) (export \"tick\" (func $n \"h\")))";
        Self {
            engine: Engine::new(EngineConfig::default()).unwrap(),
            seeds: vec![
                guest.component(),
                guest.module(),
                busy.component(),
                busy.module(),
                wat::parse_str(small).unwrap(),
            ],
        }
    }

    fn try_case(&self, case: u64) -> Tried {
        let bytes = self.damaged(case);
        usage::reset_peak();
        let (memory, cpu, wall) = (usage::resident_kib(), usage::process_cpu(), Instant::now());
        let what = self.run(&bytes, case);
        Tried {
            what,
            cpu: usage::process_cpu().saturating_sub(cpu),
            wall: wall.elapsed(),
            peak_kib: usage::peak_kib().saturating_sub(memory),
        }
    }

    /// Loads a binary and runs it if it can be loaded. Returns how it ended.
    fn run(&self, bytes: &[u8], case: u64) -> &'static str {
        let limits = LoadLimits {
            describe_time_max: Duration::from_millis(20),
            ..LoadLimits::default()
        };
        let component = match self.engine.load(bytes, limits) {
            Ok(component) => component,
            Err(LoadError::Internal(panic)) => panic!("case {case} panicked: {panic}"),
            Err(LoadError::NotWasm(_)) => return "not wasm",
            Err(LoadError::NoComponentType) => return "no type",
            Err(LoadError::Encode(_)) => return "not encoded",
            Err(LoadError::Invalid(_)) => return "invalid",
            Err(LoadError::TooComplex(_)) => return "too complex",
            Err(LoadError::Imports { .. } | LoadError::ModuleImports(_)) => {
                return "foreign imports";
            }
            Err(LoadError::MissingExports(_)) => return "missing exports",
            Err(LoadError::World(_)) => return "other world",
            Err(LoadError::Describe(_)) => return "describe failed",
            Err(LoadError::Description(_)) => return "described wrongly",
            Err(other) => panic!("case {case}: {other}"),
        };
        let Ok(mut instance) = component.instantiate(setup()) else {
            return "not opened";
        };
        let batch: Frames = [b"one".as_slice(), b"", b"three"].into_iter().collect();
        let all = [
            instance.process(0, &batch).is_ok(),
            instance.resume().is_ok(),
            instance.tick().is_ok(),
            instance.snapshot().is_ok(),
        ];
        if all.contains(&false) {
            "call failed"
        } else {
            "ran"
        }
    }

    fn still_works(&self) {
        let engine = &self.engine;
        let component = engine
            .load(&Guest::default().module(), LoadLimits::default())
            .unwrap();
        let batch = Frames::single(b"one");
        let mut instance = component.instantiate(setup()).unwrap();
        assert_eq!(instance.process(0, &batch).unwrap().outputs, [(0, batch)]);
    }

    /// Returns one of the seeds, damaged according to the number of the case.
    fn damaged(&self, case: u64) -> Vec<u8> {
        let mut rng = Rng(case);
        let mut bytes = self.pick(&mut rng).clone();
        for _ in 0..=rng.below(4) {
            self.damage(&mut bytes, &mut rng);
        }
        bytes
    }

    fn pick(&self, rng: &mut Rng) -> &Vec<u8> {
        &self.seeds[rng.below(self.seeds.len())]
    }

    fn damage(&self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        if bytes.len() < 32 {
            return;
        }
        let at = 8 + rng.below(bytes.len() - 24);
        let len = 1 + rng.below(8);
        match rng.below(10) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next() as u8,
            2 => bytes[at] = 0xff,
            3 => drop(bytes.drain(at..at + len)),
            4 => {
                let copy = bytes[at..at + len].to_vec();
                bytes.splice(at..at, copy);
            }
            5 => bytes.truncate(bytes.len() - len),
            // The largest number in the encoding of WebAssembly.
            6 => bytes[at..at + 5].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
            7 => bytes[at] = bytes[at].wrapping_add(1 + 254 * (rng.below(2) as u8)),
            // Move a piece.
            8 => {
                let to = 8 + rng.below(bytes.len() - 24);
                let copy = bytes[at..at + len].to_vec();
                bytes[to..to + len].copy_from_slice(&copy);
            }
            // Copy a piece of another binary.
            _ => {
                let other = self.pick(rng);
                let from = rng.below(other.len());
                let end = other.len().min(from + rng.below(200));
                bytes.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
}

fn setup() -> Setup {
    let binding = |port: &str| Binding {
        port: port.into(),
        stream: "s".into(),
        encoding: "bytes".into(),
    };
    let limit = Duration::from_millis(20);
    Setup {
        name: "damaged".into(),
        config: "{}".into(),
        secrets: Vec::new(),
        inputs: vec![binding("in")],
        outputs: vec![binding("out")],
        limits: Limits {
            memory_bytes_max: 16 << 20,
            call_time_max: limit,
            open_time_max: Some(limit),
            ..Limits::default()
        },
        events: Arc::new(NoEvents),
        grants: Grants::default(),
    }
}

/// SplitMix64: the same damage in every run.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
