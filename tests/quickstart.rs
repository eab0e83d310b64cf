//! Tests the README's first command: its numbers against an independent computation of the same
//! file, and its summary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use crate::support::{root, run, runner};

/// Computes the yearly averages from the file: sums as exact integers of hundredths, with no code
/// shared with the runner.
fn expected(symbols: Option<&[&str]>) -> BTreeMap<(String, i64), f64> {
    let mut sums: BTreeMap<(String, i64), (i64, i64)> = BTreeMap::new();
    let mut reader = csv::Reader::from_path(root().join("manifests/data/stocks.csv")).unwrap();
    for row in reader.records() {
        let row = row.unwrap();
        let year = row[1].rsplit(' ').next().unwrap().parse().unwrap();
        let (whole, part) = row[2].split_once('.').unwrap_or((&row[2], "0"));
        let cents =
            whole.parse::<i64>().unwrap() * 100 + format!("{part:0<2}").parse::<i64>().unwrap();
        if symbols.is_none_or(|symbols| symbols.contains(&&row[0])) {
            let sum = sums.entry((row[0].to_owned(), year)).or_default();
            *sum = (sum.0 + cents, sum.1 + 1);
        }
    }
    sums.into_iter()
        .map(|(key, (cents, count))| (key, (cents as f64 / count as f64).round() / 100.0))
        .collect()
}

fn printed(stdout: &str) -> BTreeMap<(String, i64), f64> {
    let mut averages = BTreeMap::new();
    for line in stdout.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let key = (
            value["symbol"].as_str().unwrap().to_owned(),
            value["year"].as_i64().unwrap(),
        );
        let twice = averages.insert(key, value["average"].as_f64().unwrap());
        assert_eq!(twice, None, "printed twice: {line}");
    }
    averages
}

#[test]
fn the_quick_start_prints_every_yearly_average_and_ends() {
    let done = run(["up".into(), root().join("manifests/quickstart.yaml")]);
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(printed(&done.stdout), expected(None));
    let rows = csv::Reader::from_path(root().join("manifests/data/stocks.csv"))
        .unwrap()
        .records()
        .count();
    let line = |name: &str| {
        done.stderr
            .lines()
            .find(|line| line.contains(name))
            .unwrap_or_else(|| panic!("{}", done.stderr))
            .to_owned()
    };
    assert!(
        line(" stocks ").contains(&format!("{rows} in")),
        "{}",
        done.stderr
    );
    assert!(
        line(" yearly ").contains(&format!("{rows} in")),
        "{}",
        done.stderr
    );
    let lines = expected(None).len();
    assert!(
        line(" print ").contains(&format!("{lines} out")),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("nothing was dropped"),
        "{}",
        done.stderr
    );
}

#[test]
fn every_example_passes_the_check() {
    for example in [
        "quickstart.yaml",
        "follow.yaml",
        "two-nodes/feed.yaml",
        "two-nodes/desk.yaml",
        "native/pipeline.yaml",
    ] {
        let path = root().join("manifests").join(example);
        let done = run(["check".into(), path]);
        assert!(done.status.success(), "{example}:\n{}", done.stderr);
        assert_eq!(done.stderr, "", "{example} has warnings");
    }
}

#[test]
fn the_schema_beside_the_examples_is_the_one_that_is_printed() {
    let kept = std::fs::read_to_string(root().join("manifests/mosaik.schema.json")).unwrap();
    let printed = run(["schema"]).stdout;
    assert!(
        kept == printed,
        "run `cargo run -- schema > manifests/mosaik.schema.json`"
    );
}

#[test]
fn a_closed_reader_of_stdout_is_reported_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let many = "mosaik: v1\nstreams: {a: {}}\nproducers: {make: {from: {generate: {count: 1000000}}, to: a}}\n\
                consumers: {print: {from: a, to: {stdout: {}}}}\n";
    let manifest = crate::support::write(folder.path(), "many.yaml", many);
    let mut node = runner()
        .arg("up")
        .arg(manifest)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(node.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    drop(stdout);
    let mut log = String::new();
    node.stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert_eq!(node.wait().unwrap().code(), Some(0), "{log}");
    assert!(
        log.contains(" not written because the reader of stdout closed it, nothing was lost"),
        "{log}"
    );
    assert!(!log.contains("as configured"), "{log}");
}
