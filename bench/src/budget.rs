//! Counts the instructions of hot functions with callgrind, and compares them with `budgets.json`.
//!
//! Unlike time, instruction counts do not depend on the load of the machine. They depend on the compiler and on the
//! processor: the budgets are for AVX2, the most that Valgrind supports. On other machines, bless first and compare
//! with that.

use std::{collections::BTreeMap, fs, hint::black_box, path::PathBuf, process::Command};

use mosaik_runner::operator::LoadLimits;
use mosaik_streams::{Criteria, Encoding, Frames, FramesConsumer, FramesProducer, Network, Scope};

use crate::{guest::Guest, measure::Result, part::throughput::batch, rows};

/// The maximum relative difference of a count.
const TOLERANCE: f64 = 0.03;
/// The number of repetitions, over which variations average out.
const TIMES: usize = 64;
const CONSUMERS: usize = 10;
const FRAME_MAX: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Budgets {
    /// Save the counts as the new budgets.
    #[arg(long)]
    bless: bool,
    /// Count only the functions whose name starts with this.
    #[arg(long, default_value = "")]
    only: String,
}

/// The measured work: runs once and returns the number of units.
type Work = Box<dyn FnMut() -> Result<usize>>;
/// Prepares the work.
type Prepare = fn() -> Result<Work>;

/// The cases: the name, the description of the figure, and the preparation.
const CASES: [(&str, &str, Prepare); 4] = [
    (
        "frame scan",
        "a record of 100 B, validated and iterated as received",
        frame_scan,
    ),
    (
        "fan-out",
        "a batch of 64 KiB, from the producer to each of 10 local consumers",
        fan_out,
    ),
    (
        "criteria",
        "a record of 200 B of JSON, evaluated on one field",
        criteria,
    ),
    (
        "operator call",
        "a record of 100 B in a batch of 256, to a component and back",
        operator_call,
    ),
];

fn kept_in() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "budgets.json"]
        .iter()
        .collect()
}

/// Counts all cases and compares them. Returns false if one differs.
pub(crate) fn check(what: &Budgets, say: impl Fn(&str)) -> Result<bool> {
    let path = kept_in();
    let mut kept: BTreeMap<String, f64> = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) if what.bless => BTreeMap::new(),
        Err(error) => return Err(format!("{}: {error}", path.display()).into()),
    };
    let mut all_within = true;
    let cases = CASES
        .iter()
        .filter(|(name, ..)| name.starts_with(&what.only));
    for (name, about, _) in cases {
        let counted = count(name)?;
        let line = match kept.get(*name).filter(|_| !what.bless) {
            _ if what.bless => {
                let instructions = (counted * 100.0).round() / 100.0;
                kept.insert((*name).to_owned(), instructions);
                "kept".to_owned()
            }
            None => {
                all_within = false;
                "has no budget".to_owned()
            }
            Some(budget) => {
                let change = counted / budget - 1.0;
                let within = change.abs() <= TOLERANCE;
                all_within &= within;
                let verdict = if within { "within" } else { "BEYOND" };
                format!("{:>+6.1} %  {verdict}", change * 100.0)
            }
        };
        say(&format!("{name:<14} {counted:>9.1}  {line}  ({about})\n"));
    }
    if what.bless {
        let mut text = serde_json::to_string_pretty(&kept)?;
        text.push('\n');
        fs::write(&path, text)?;
    }
    Ok(all_within)
}

/// Returns the instructions per unit of a case, counted by callgrind in a process of this program.
fn count(name: &str) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let valgrind = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*budget*measured*"])
        .arg(format!(
            "--callgrind-out-file={}",
            folder.path().join("out").display()
        ))
        .arg(std::env::current_exe()?)
        .args(["part", "counted", name])
        .output()
        .map_err(|error| format!("valgrind cannot be run ({error}); install it"))?;
    let (said, log) = (
        String::from_utf8_lossy(&valgrind.stdout),
        String::from_utf8_lossy(&valgrind.stderr),
    );
    let number = |text: &str, word: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.contains(word))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    match (number(&said, "did"), number(&log, "Collected")) {
        (Some(units), Some(instructions)) if units > 0.0 && instructions > 0.0 => {
            Ok(instructions / units)
        }
        _ => Err(format!("{name} was not counted:\n{log}").into()),
    }
}

/// Runs a case, a few times before and then during the measurement. Returns the number of units.
pub(crate) fn counted(name: &str) -> Result<usize> {
    let case = CASES.iter().find(|(case, ..)| *case == name);
    let (.., prepare) = case.ok_or("there is no such case")?;
    let mut work = prepare()?;
    for _ in 0..TIMES / 4 {
        work()?;
    }
    measured(&mut *work)
}

/// The function whose instructions are counted.
#[inline(never)]
fn measured(work: &mut dyn FnMut() -> Result<usize>) -> Result<usize> {
    let mut units = 0;
    for _ in 0..TIMES {
        units += black_box(&mut *work)()?;
    }
    Ok(units)
}

fn frame_scan() -> Result<Work> {
    let wire = batch(100, false).into_wire();
    Frames::from_wire(wire.clone(), FRAME_MAX)?;
    Ok(Box::new(move || {
        let frames = Frames::from_wire(black_box(&wire).clone(), FRAME_MAX)?;
        let bytes: usize = frames.iter().map(<[u8]>::len).sum();
        black_box(bytes);
        Ok(frames.count())
    }))
}

fn fan_out() -> Result<Work> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (network, producer, mut consumers) = runtime.block_on(async {
        let network = Network::builder("bench").lazy(true).build().await?;
        let streams = network.streams();
        let consumer = |_| streams.consumer_frames("s").with_scope(Scope::Node).build();
        let consumers = (0..CONSUMERS)
            .map(consumer)
            .collect::<std::result::Result<Vec<FramesConsumer>, _>>()?;
        let producer: FramesProducer = streams
            .producer_frames("s")
            .with_scope(Scope::Node)
            .online_when(|channel| channel.minimum_of(CONSUMERS))
            .build()?;
        producer.when().online().await;
        Ok::<_, Box<dyn std::error::Error>>((network, producer, consumers))
    })?;
    let batch = batch(100, false);
    Ok(Box::new(move || {
        let _network = &network;
        runtime.block_on(async {
            producer.send_frames(batch.clone()).await?;
            for consumer in &mut consumers {
                black_box(consumer.recv_frames(usize::MAX).await);
            }
            Ok(CONSUMERS)
        })
    }))
}

fn criteria() -> Result<Work> {
    let criteria: Criteria = serde_json::from_str(r#"{"kind":0}"#)?;
    let selector = criteria.selector(&Encoding::Json)?;
    let batch = batch(200, true);
    Ok(Box::new(move || {
        black_box(selector.select(black_box(&batch)));
        Ok(batch.count())
    }))
}

fn operator_call() -> Result<Work> {
    let component =
        rows::operators::engine()?.load(&Guest::default().module(), LoadLimits::default())?;
    let mut instance = rows::operators::open(&component, "{}")?;
    let batch: Frames = (0..256).map(|_| vec![b'x'; 100]).collect();
    Ok(Box::new(move || {
        black_box(instance.process(0, &batch)?);
        Ok(batch.count())
    }))
}
