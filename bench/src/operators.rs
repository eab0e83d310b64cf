//! What operators cost: a graph with a pass-through operator against the same one without, the host's share of a call,
//! `jq` in the sandbox against the same code outside of it, and what compiling takes. Each figure is the median of five,
//! and what is compared is measured in turns.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    hint::black_box,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use mosaik_runner::{
    operator::{
        Binding, Component, Engine, EngineConfig, Grants, Instance, Limits, LoadLimits, NoEvents,
        Setup,
    },
    topology::BUILTINS,
};
use mosaik_streams::Frames;
use mosaik_wasm_sdk::Driver;

use crate::guest::Guest;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RUNS: usize = 5;
/// Datums through a graph, of 100 bytes each.
const DATUMS: u64 = 3_000_000;
/// Datums in a batch for what is measured a call.
const BATCH: usize = 256;
/// Calls in a measurement.
const CALLS: u32 = 2000;

/// Measures all of it.
pub(crate) fn measure() -> Result<String> {
    let mut report = String::new();
    graphs(&mut report)?;
    host_share(&mut report)?;
    jq(&mut report)?;
    compiling(&mut report)?;
    Ok(report)
}

fn median<T: PartialOrd + Copy>(mut of: Vec<T>) -> Result<T> {
    of.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    of.get(of.len() / 2)
        .copied()
        .ok_or_else(|| "nothing was measured".into())
}

/// The same graph with and without an operator that hands on what it gets.
fn graphs(report: &mut String) -> Result<()> {
    let binary = std::env::current_exe()?.with_file_name("mosaik-runner");
    let folder = tempfile::tempdir()?;
    let write = |name: &str, bytes: &[u8]| -> Result<_> {
        let path = folder.path().join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    };
    write("pass.wasm", &Guest::default().module())?;
    let graph = |operator: &str, from: &str| {
        format!(
            "mosaik: v1\nnetwork: bench\nstreams: {{a: {{}}{}}}\n\
             producers:\n  made: {{from: {{generate: {{count: {DATUMS}, size: 100}}}}, to: a}}\n{operator}\
             consumers:\n  out: {{from: {from}, to: {{file: {{path: /dev/null}}}}}}\n",
            if operator.is_empty() { "" } else { ", b: {}" }
        )
    };
    let pass = "operators:\n  pass: {wasm: pass.wasm, from: a, to: b}\n";
    let with = write("with.yaml", graph(pass, "b").as_bytes())?;
    let without = write("without.yaml", graph("", "a").as_bytes())?;
    let run = |manifest: &Path| -> Result<Duration> {
        let start = Instant::now();
        let status = Command::new(&binary)
            .args(["-q", "up"])
            .arg(manifest)
            .stdin(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("{} failed", manifest.display()).into());
        }
        Ok(start.elapsed())
    };
    run(&with)?;
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (alone, passed) = (run(&without)?, run(&with)?);
        ratios.push(alone.as_secs_f64() / passed.as_secs_f64());
        rates.push(DATUMS as f64 / passed.as_secs_f64() / 1e6);
    }
    writeln!(
        report,
        "a pass-through operator over datums of 100 B: {:.0} % of the graph without it, {:.1} M datums/s",
        median(ratios)? * 100.0,
        median(rates)?
    )?;
    Ok(())
}

fn engine() -> Result<Engine> {
    Ok(Engine::new(EngineConfig::default())?)
}

fn open(component: &Component, config: &str) -> Result<Instance> {
    let description = component.description();
    let bind = |ports: &[String]| {
        ports
            .iter()
            .map(|port| Binding {
                port: port.clone(),
                stream: "s".into(),
                encoding: "json".into(),
            })
            .collect()
    };
    Ok(component.instantiate(Setup {
        name: "bench".into(),
        config: config.into(),
        inputs: bind(&description.inputs),
        outputs: bind(&description.outputs),
        limits: Limits {
            call_time_max: Duration::from_secs(10),
            ..Limits::default()
        },
        grants: Grants::default(),
        events: Arc::new(NoEvents),
    })?)
}

/// Nanoseconds a datum of what is done once a batch.
fn a_datum(mut batch: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..CALLS {
        batch()?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS) / BATCH as f64)
}

/// A call that hands back its batch, against the copies that it takes: into the guest's memory and out of it.
fn host_share(report: &mut String) -> Result<()> {
    let component = engine()?.load(&Guest::default().module(), LoadLimits::default())?;
    let mut instance = open(&component, "{}")?;
    let batch: Frames = (0..BATCH).map(|_| vec![b'x'; 100]).collect();
    let mut inside = vec![0; batch.wire_len()];
    let (mut calls, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        calls.push(a_datum(|| {
            black_box(instance.process(0, &batch)?);
            Ok(())
        })?);
        copies.push(a_datum(|| {
            black_box(&mut inside).copy_from_slice(batch.as_wire());
            black_box(inside.clone());
            Ok(())
        })?);
    }
    let (call, copy) = (median(calls)?, median(copies)?);
    writeln!(
        report,
        "a call with {BATCH} datums of 100 B that come back: {call:.1} ns a datum, of which copying {copy:.1} ns, the host {:.1} ns",
        call - copy
    )?;
    Ok(())
}

/// `jq` in the sandbox, against the same code compiled for this machine.
fn jq(report: &mut String) -> Result<()> {
    const FILTER: &str = r#"{"filter":".price * 2"}"#;
    let datum = br#"{"symbol":"MSFT","date":"2010-03-01","price":28.8,"volume":1200345,"exchange":"NASDAQ.."}"#;
    let batch: Frames = (0..BATCH).map(|_| datum.to_vec()).collect();
    let (_, bytes) = BUILTINS
        .iter()
        .find(|(name, _)| *name == "jq")
        .ok_or("there is no jq")?;
    let component = engine()?.load(bytes, LoadLimits::default())?;
    let mut sandboxed = open(&component, FILTER)?;
    let binding = |port: &str| mosaik_wasm_sdk::Binding {
        port: port.into(),
        stream_name: "s".into(),
        encoding: "json".into(),
    };
    let mut native = Driver::<mosaik_operator_jq::JqOperator>::new();
    native
        .open(FILTER, &[binding("in")], &[binding("out")])
        .map_err(mosaik_wasm_sdk::Error::into_reason)?;
    let (mut inside, mut outside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        inside.push(a_datum(|| {
            black_box(sandboxed.process(0, &batch)?);
            Ok(())
        })?);
        outside.push(a_datum(|| {
            let answer = native.process(0, batch.as_wire().to_vec());
            black_box(answer.map_err(mosaik_wasm_sdk::Error::into_reason)?);
            Ok(())
        })?);
        ratios.extend(
            inside
                .last()
                .zip(outside.last())
                .map(|(inside, outside)| inside / outside),
        );
    }
    writeln!(
        report,
        "jq `.price * 2` on an object of {} bytes: {:.0} ns, natively {:.0} ns, {:.2} times",
        datum.len(),
        median(inside)?,
        median(outside)?,
        median(ratios)?
    )?;
    Ok(())
}

/// Each built-in operator, compiled and taken from the cache of compiled code.
fn compiling(report: &mut String) -> Result<()> {
    for (name, bytes) in BUILTINS {
        let (mut cold, mut cached) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let folder = tempfile::tempdir()?;
            let load = || -> Result<Duration> {
                // An engine of its own, as a process has.
                let engine = Engine::new(EngineConfig {
                    cache_dir: Some(folder.path().join("cache")),
                })?;
                let start = Instant::now();
                black_box(engine.load(bytes, LoadLimits::default())?);
                Ok(start.elapsed())
            };
            cold.push(load()?);
            cached.push(load()?);
        }
        writeln!(
            report,
            "{name}, {} KB: compiled in {:.0?}, from the cache in {:.1?}",
            bytes.len() / 1000,
            median(cold)?,
            median(cached)?
        )?;
    }
    Ok(())
}
