//! The cost of operators: calls, the same code in the sandbox and natively, and compilation.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use mosaik_runner::{
    components::BUILTINS,
    operator::{
        Binding, Component, Engine, EngineConfig, Grants, Instance, Limits, LoadLimits, NoEvents,
        Setup,
    },
};
use mosaik_streams::Frames;
use mosaik_wasm_sdk::Driver;

use crate::{
    guest::Guest,
    measure::{Bound, Case, Figure, Goal, Result, Row, Setting},
};

/// The number of records in a batch.
const BATCH: usize = 256;
const A_DATUM: &str = "ns a record";

pub(crate) fn engine() -> Result<Engine> {
    Ok(Engine::new(EngineConfig::default())?)
}

pub(crate) fn open(component: &Component, config: &str) -> Result<Instance> {
    let description = component.description();
    let bind = |ports: &[String]| {
        let ports = ports.iter().map(|port| Binding {
            port: port.clone(),
            stream: "s".into(),
            encoding: "json".into(),
        });
        ports.collect()
    };
    Ok(component.instantiate(Setup {
        name: "bench".into(),
        config: config.into(),
        secrets: Vec::new(),
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

/// Returns the nanoseconds per record of a function that processes a batch, measured for a quarter of the window.
fn a_datum(setting: &Setting, mut batch: impl FnMut() -> Result<()>) -> Result<f64> {
    let (start, mut records) = (Instant::now(), 0);
    while start.elapsed() < setting.window / 4 {
        for _ in 0..16 {
            batch()?;
            records += BATCH;
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / records as f64)
}

/// A call that returns its batch, compared with the necessary copies into the guest's memory and back.
pub(super) fn call() -> Row {
    let beyond = "beyond the copies";
    let case = Case::new(move |setting| {
        let component = engine()?.load(&Guest::default().module(), LoadLimits::default())?;
        let mut instance = open(&component, "{}")?;
        let batch: Frames = (0..BATCH).map(|_| vec![b'x'; 100]).collect();
        let mut inside = vec![0; batch.wire_len()];
        let call = a_datum(setting, || {
            black_box(instance.process(0, &batch)?);
            Ok(())
        })?;
        let copies = a_datum(setting, || {
            black_box(&mut inside).copy_from_slice(batch.as_wire());
            black_box(inside.clone());
            Ok(())
        })?;
        Ok(vec![
            Figure::new("a call", A_DATUM, call),
            Figure::new("two copies", A_DATUM, copies),
            Figure::new(beyond, A_DATUM, call - copies),
        ])
    });
    Row::new(
        "operator-call",
        "a call of a component with 256 records of 100 B that it returns",
        vec![case],
        vec![Goal::alone(beyond, Bound::AtMost(15.0))],
    )
}

/// `jq` in the sandbox, compared with the same code compiled natively.
pub(super) fn jq() -> Row {
    const FILTER: &str = r#"{"filter":".price * 2"}"#;
    const DATUM: &[u8] = br#"{"symbol":"MSFT","date":"2010-03-01","price":28.8,"volume":1200345,"exchange":"NASDAQ.."}"#;
    let (inside, outside) = ("jq, in the sandbox", "jq, natively");
    let case = Case::new(move |setting| {
        let batch: Frames = (0..BATCH).map(|_| DATUM.to_vec()).collect();
        let mut builtins = BUILTINS.iter();
        let (_, bytes) = builtins
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
        let in_sandbox = a_datum(setting, || {
            black_box(sandboxed.process(0, &batch)?);
            Ok(())
        })?;
        let natively = a_datum(setting, || {
            let answer = native.process(0, batch.as_wire().to_vec());
            black_box(answer.map_err(mosaik_wasm_sdk::Error::into_reason)?);
            Ok(())
        })?;
        Ok(vec![
            Figure::new(inside, A_DATUM, in_sandbox),
            Figure::new(outside, A_DATUM, natively),
        ])
    });
    Row::new(
        "operator-jq",
        "`.price * 2` on an object of 89 bytes",
        vec![case],
        vec![Goal::ratio(inside, outside, Bound::AtMost(1.6))],
    )
}

/// Each built-in operator, compiled and loaded from the cache of compiled code.
pub(super) fn compiling() -> Row {
    let cached = |name: &str| format!("{name}, from the cache");
    let cases = BUILTINS.iter().map(|(name, bytes)| {
        Case::new(move |_| {
            let folder = tempfile::tempdir()?;
            let load = || -> Result<f64> {
                // A separate engine, as in a new process.
                let engine = Engine::new(EngineConfig {
                    cache_dir: Some(folder.path().join("cache")),
                })?;
                let start = Instant::now();
                black_box(engine.load(bytes, LoadLimits::default())?);
                Ok(start.elapsed().as_secs_f64() * 1e3)
            };
            Ok(vec![
                Figure::new(format!("{name}, compiled"), "ms", load()?),
                Figure::new(cached(name), "ms", load()?),
            ])
        })
    });
    let goals = BUILTINS
        .iter()
        .map(|(name, _)| Goal::alone(cached(name), Bound::AtMost(5.0)));
    Row::new(
        "operator-load",
        "loading each built-in operator",
        cases.collect(),
        goals.collect(),
    )
}
