//! Whole graphs, run by the runner from a manifest to their end.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    guest::Guest,
    measure::{Bound, Case, Figure, Goal, Result, Row, Setting},
    process::run_to_end,
};

/// The number of lines or records per millisecond of a measurement.
const LINES_A_MS: usize = 2000;
const LINE: usize = 100;

/// Creates the directory of a case, with an operator that passes records on.
pub(super) fn folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("pass.wasm"), Guest::default().module())?;
    Ok(folder)
}

fn lines(setting: &Setting) -> usize {
    setting.window.as_millis() as usize * LINES_A_MS
}

/// Writes objects of 100 bytes including the newline.
fn write_lines(path: &Path, count: usize) -> Result<()> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    for seq in 0..count {
        let start = format!(r#"{{"seq":{seq},"symbol":"MSFT","price":28.8,"note":""#);
        writeln!(file, "{start:x<width$}\"}}", width = LINE - 3)?;
    }
    Ok(file.flush()?)
}

fn timed(run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64())
}

/// A file through an operator into a file.
pub(super) fn file_to_file() -> Row {
    let (ours, cat) = ("file to file, lines", "cat, lines");
    let case = Case::new(move |setting| {
        let folder = folder()?;
        let at = |name: &str| folder.path().join(name);
        let count = lines(setting);
        write_lines(&at("in.jsonl"), count)?;
        let manifest = at("m.yaml");
        fs::write(
            &manifest,
            "mosaik: v1\nstreams: {a: {buffer_size: 65536}, b: {buffer_size: 65536}}\n\
             producers: {in: {from: {file: {path: in.jsonl}}, to: a}}\n\
             operators: {pass: {wasm: pass.wasm, from: a, to: b}}\n\
             consumers: {out: {from: b, to: {file: {path: out.jsonl}}}}\n",
        )?;
        // Compiled before the measurement, with almost no input.
        fs::write(
            at("warm.yaml"),
            fs::read_to_string(&manifest)?.replace("in.jsonl", "warm.jsonl"),
        )?;
        write_lines(&at("warm.jsonl"), 1)?;
        run_to_end(&at("warm.yaml"))?;
        fs::remove_file(at("out.jsonl"))?;
        let took = timed(|| run_to_end(&manifest))?;
        if fs::metadata(at("in.jsonl"))?.len() != fs::metadata(at("out.jsonl"))?.len() {
            return Err("the file that was written is not as long as the one that was read".into());
        }
        let copied = timed(|| {
            let status = Command::new("cat")
                .arg(at("in.jsonl"))
                .stdout(Stdio::from(fs::File::create(at("copy.jsonl"))?))
                .status()?;
            status
                .success()
                .then_some(())
                .ok_or_else(|| "cat failed".into())
        })?;
        Ok(vec![
            Figure::new(ours, "lines/s", count as f64 / took),
            Figure::new(cat, "lines/s", count as f64 / copied),
        ])
    });
    Row::new(
        "file-to-file",
        "jsonl of 100 B from a file through a pass-through operator into a file, the start included",
        vec![case],
        vec![
            Goal::alone(ours, Bound::AtLeast(1.5e6)),
            Goal::ratio(ours, cat, Bound::Anything),
        ],
    )
}

/// A chain of pass-through operators.
pub(super) fn chain() -> Row {
    const LENGTHS: [usize; 5] = [1, 2, 4, 8, 16];
    let name = |length: usize| format!("{length} operators");
    let cases = LENGTHS.map(|length| {
        Case::new(move |setting| {
            let folder = folder()?;
            let count = lines(setting);
            let manifest = folder.path().join("m.yaml");
            fs::write(&manifest, chain_of(length, count)?)?;
            fs::write(folder.path().join("warm.yaml"), chain_of(length, 1)?)?;
            // The start is included in both, so that the difference is the processing of records.
            run_to_end(&folder.path().join("warm.yaml"))?;
            let started = timed(|| run_to_end(&folder.path().join("warm.yaml")))?;
            let took = timed(|| run_to_end(&manifest))?;
            Ok(Figure::alone(name(length), "s", took - started))
        })
    });
    Row::new(
        "chain",
        "records of 100 B through pass-through operators behind each other, the start taken off",
        cases.into(),
        vec![Goal::ratio(name(16), name(1), Bound::AtMost(18.0))],
    )
}

fn chain_of(length: usize, records: usize) -> Result<String> {
    let mut text = format!(
        "mosaik: v1\nproducers: {{made: {{from: {{generate: {{count: {records}, size: {LINE}}}}}, to: s0}}}}\n\
         consumers: {{out: {{from: s{length}, to: {{file: {{path: /dev/null}}}}}}}}\nstreams:\n"
    );
    for stream in 0..=length {
        writeln!(text, "  s{stream}: {{buffer_size: 65536}}")?;
    }
    text.push_str("operators:\n");
    for operator in 0..length {
        writeln!(
            text,
            "  o{operator}: {{wasm: pass.wasm, from: s{operator}, to: s{}}}",
            operator + 1
        )?;
    }
    Ok(text)
}
