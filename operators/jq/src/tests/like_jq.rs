//! Compares the answers of the operator with those of jq 1.8 on the filters of `cases`. The README lists the
//! differences.

use super::*;
use mosaik_datum::canonical;
use std::fmt::Write as _;

#[derive(serde::Deserialize)]
struct Case {
    input: String,
    filter: String,
    outputs: Option<Vec<String>>,
}

/// The answers in a form that is equal for equal values; `None` if the record or the filter is rejected.
fn answers(case: &Case) -> Option<Vec<String>> {
    let mut harness = open(&case.filter).ok()?;
    harness.send(0, [&case.input]).unwrap();
    harness
        .rejected
        .is_empty()
        .then(|| harness.take_text().unwrap())
}

fn equal_form(outputs: &[String]) -> Vec<String> {
    let one = |text: &String| {
        let mut to = Vec::new();
        let written = canonical::write(serde_json::from_str(text).unwrap(), &mut to);
        written.map(|()| String::from_utf8(to).unwrap())
    };
    outputs
        .iter()
        .map(|text| one(text).unwrap_or_else(|_| text.clone()))
        .collect()
}

fn cell(outputs: Option<&[String]>) -> String {
    let text = match outputs {
        None => "rejected".to_owned(),
        Some([]) => "nothing".to_owned(),
        Some(outputs) => format!("`{}`", outputs.join(" ")),
    };
    let short: String = text.chars().take(90).collect();
    let cut = if short.len() < text.len() { "…`" } else { "" };
    (short + cut).replace('|', "\\|")
}

#[test]
fn the_readme_lists_every_difference_from_jq() {
    let lines = include_str!("../../cases/jq-1.8.jsonl").lines();
    let cases: Vec<Case> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut rows = String::new();
    let mut differing = 0;
    for case in &cases {
        let own = answers(case);
        let same = own.as_deref().map(equal_form) == case.outputs.as_deref().map(equal_form);
        if !same {
            differing += 1;
            let filter = case.filter.replace('|', "\\|");
            let input = case.input.replace('|', "\\|");
            let (jq, here) = (cell(case.outputs.as_deref()), cell(own.as_deref()));
            writeln!(rows, "| `{filter}` | `{input}` | {jq} | {here} |").unwrap();
        }
    }
    assert!(cases.len() >= 300);
    let table = format!(
        "Of {} filters, {differing} are answered otherwise:\n\n| filter | input | jq 1.8 | here |\n|---|---|---|---|\n{rows}",
        cases.len()
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (before, rest) = readme.split_once("<!-- differences -->\n").unwrap();
    let (found, after) = rest.split_once("<!-- end -->\n").unwrap();
    if std::env::var_os("MOSAIK_BLESS").is_some() {
        let blessed = format!("{before}<!-- differences -->\n{table}<!-- end -->\n{after}");
        std::fs::write(path, blessed).unwrap();
    } else {
        assert_eq!(found, table, "run this test with MOSAIK_BLESS=1");
    }
}
