//! The time from `up` to the first record.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::Stdio,
    time::Instant,
};

use crate::{
    measure::{Bound, Case, Figure, Goal, Result, Row},
    process::runner,
};

const MANIFEST: &str = "mosaik: v1
streams: {a: {}, b: {}, c: {}, d: {}}
producers: {made: {from: {generate: {count: 10}}, to: a}}
operators:
  jq: {wasm: 'builtin:jq', from: a, to: b, config: {filter: .}}
  sample: {wasm: 'builtin:sample', from: b, to: c, config: {every: 2}}
  dedupe: {wasm: 'builtin:dedupe', from: c, to: d, config: {by: [seq]}}
consumers: {out: {from: d, to: {stdout: {}}}}
";

fn first_datum(manifest: &Path, cache: &Path) -> Result<f64> {
    let start = Instant::now();
    let mut child = runner()?
        .args(["-q", "up", "--no-watch"])
        .arg(manifest)
        .env("XDG_CACHE_HOME", cache)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(child.stdout.take().ok_or("stdout is piped")?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    output.read_to_string(&mut line)?;
    if !child.wait()?.success() || line.is_empty() {
        return Err("the graph printed nothing".into());
    }
    Ok(took)
}

pub(super) fn row() -> Row {
    let (cold, warm) = ("cold", "warm");
    let quick_start = Case::new(|_| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or("bench/ lies in the repository")?;
        let cache = tempfile::tempdir()?;
        let manifest = root.join("manifests/quickstart.yaml");
        first_datum(&manifest, cache.path())?;
        Ok(Figure::alone(
            "quick start, warm",
            "ms",
            first_datum(&manifest, cache.path())?,
        ))
    });
    let case = Case::new(move |_| {
        let folder = tempfile::tempdir()?;
        let manifest = folder.path().join("m.yaml");
        fs::write(&manifest, MANIFEST)?;
        let cache = folder.path().join("cache");
        Ok(vec![
            Figure::new(cold, "ms", first_datum(&manifest, &cache)?),
            Figure::new(warm, "ms", first_datum(&manifest, &cache)?),
        ])
    });
    Row::new(
        "start",
        "from `up` to the first datum through three built-in operators, their compiled code in the cache or not",
        vec![case, quick_start],
        vec![
            Goal::alone(warm, Bound::AtMost(100.0)),
            Goal::alone(cold, Bound::AtMost(1500.0)),
            Goal::alone("quick start, warm", Bound::AtMost(300.0)),
        ],
    )
}
