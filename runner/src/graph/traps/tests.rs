//! Each kind of warning, with a manifest that causes it and the closest ones that do not.

use std::{collections::BTreeMap, fs};

use crate::graph::{load, tests::Described};

const CSV: &str = "city,celsius\nOslo,3\nBergen,5\n";
const JSONL: &str = "{\"city\":\"Oslo\",\"at\":{\"hour\":3}}\n{\"city\":\"Bergen\"}\n{\"cut\":";

/// Returns the warnings for a manifest with these stages.
fn warnings(stages: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mosaik.yaml");
    fs::write(folder.path().join("in.csv"), CSV).unwrap();
    fs::write(folder.path().join("in.jsonl"), JSONL).unwrap();
    let text = format!(
        "mosaik: v1\nnetwork: net\n{stages}\nconsumers: {{print: {{from: last, to: {{stdout: {{}}}}}}}}\n"
    );
    fs::write(&file, &text).unwrap();
    let loaded = load(&file, &BTreeMap::new(), &Described);
    let loaded = loaded.unwrap_or_else(|wrong| panic!("{text}\n{wrong}"));
    let warnings = loaded.warnings.iter();
    warnings.map(|found| found.message.clone()).collect()
}

/// Returns the warnings for an operator between a source and a sink.
fn operator(source: &str, settings: &str) -> Vec<String> {
    warnings(&format!(
        "streams: {{first: {{}}, last: {{}}}}\nproducers: {{read: {{from: {{{source}}}, to: first}}}}\n\
         operators: {{it: {{from: first, to: last, {settings}}}}}"
    ))
}

/// Returns the warnings for two operators, one after the other.
fn chain(first: &str, second: &str) -> Vec<String> {
    warnings(&format!(
        "streams: {{first: {{}}, between: {{}}, last: {{}}}}\nproducers: {{read: {{from: {{generate: {{}}}}, to: first}}}}\n\
         operators: {{one: {{from: first, to: between, {first}}}, two: {{from: between, to: last, {second}}}}}"
    ))
}

/// Returns the warnings for a consumer's criteria on a source.
fn criteria(source: &str, criteria: &str) -> Vec<String> {
    warnings(&format!(
        "streams: {{first: {{}}, last: {{}}}}\nproducers: {{read: {{from: {{{source}}}, to: first}}}}\n\
         operators: {{it: {{wasm: 'builtin:jq', from: {{stream: first, criteria: {criteria}}}, to: last}}}}"
    ))
}

const GENERATE: &str = "generate: {}";
const FOLLOW: &str = "file: {path: in.jsonl, follow: true}";

#[track_caller]
fn one(warnings: &[String], text: &str) {
    assert!(
        matches!(warnings, [only] if only.contains(text)),
        "expected one warning of `{text}`: {warnings:?}"
    );
}

#[track_caller]
fn none(warnings: &[String]) {
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn instances_that_keep_state_want_a_key() {
    let keeps = "wasm: 'builtin:dedupe', config: {by: seq}, instances: 4";
    one(
        &operator(GENERATE, keeps),
        "keeps state, which is divided among its 4 instances",
    );
    none(&operator(GENERATE, &format!("{keeps}, key: seq")));
    none(&operator(GENERATE, "wasm: 'builtin:dedupe', instances: 1"));
    none(&operator(GENERATE, "wasm: 'builtin:jq', instances: 4"));
    let sample = "wasm: 'builtin:sample', instances: 4, config:";
    none(&operator(GENERATE, &format!("{sample} {{fraction: 0.5}}")));
    one(
        &operator(GENERATE, &format!("{sample} {{every: 2}}")),
        "keeps state",
    );
}

#[test]
fn bounds_of_state_fit_memory_and_each_other() {
    let with = |name: &str, config: &str, memory: &str| {
        operator(
            GENERATE,
            &format!("wasm: 'builtin:{name}', config: {{{config}}}, limits: {{memory: {memory}}}"),
        )
    };
    let more = "may need more than its memory limit";
    for (name, config) in [
        ("dedupe", "max_bytes: 16MiB"),
        ("sample", "every: 2, by: seq, max_bytes: 16MiB"),
        ("join", "max_records: 20000, max_bytes: 4MiB"),
        ("window", "max_keys: 100000, aggregate: {n: count}"),
        ("enrich", "max_rows: 100000"),
    ] {
        none(&with(name, config, "64MiB"));
        one(&with(name, config, "8MiB"), more);
    }
    one(&with("window", "max_windows: 1000000", "64MiB"), more);
    none(&with("window", "max_windows: 1000000", "1GiB"));
    none(&with("window", "every: 1h", "8MiB"));
    one(
        &with("dedupe", "max_keys: 1000000", "64MiB"),
        "cannot hold 1000000 keys",
    );
    one(
        &with("dedupe", "max_keys: 1000000, max_bytes: 64MiB", "1GiB"),
        "cannot hold",
    );
    none(&with(
        "dedupe",
        "max_keys: 1000000, max_bytes: 128MiB",
        "1GiB",
    ));
    none(&with("jq", "max_bytes: 1GiB", "64MiB"));
}

#[test]
fn windows_and_joins_behind_keyed_instances_want_lateness() {
    let instances = "wasm: 'builtin:window', instances: 4, key: symbol";
    let late = "receives records out of order";
    let window = |config: &str| format!("wasm: 'builtin:window', config: {{{config}}}");
    one(&chain(instances, &window("time: at, by: city")), late);
    one(
        &chain(instances, &window("time: at, by: symbol, watermark: all")),
        late,
    );
    one(
        &chain(
            "wasm: 'builtin:jq', instances: 2, key: a",
            &window("time: at"),
        ),
        late,
    );
    // The records of one key stay in order, lateness is set, or the host's time applies.
    none(&chain(instances, &window("time: at, by: [city, symbol]")));
    none(&chain(instances, &window("time: at, lateness: 0s")));
    none(&chain(instances, &window("every: 1h")));
    none(&chain(
        "wasm: 'builtin:jq', instances: 2",
        &window("time: at"),
    ));
    none(&chain("wasm: 'builtin:window'", &window("time: at")));
}

#[test]
fn a_window_of_a_followed_file_wants_a_tick() {
    let window = "wasm: 'builtin:window', config: {time: at";
    one(
        &operator(FOLLOW, &format!("{window}}}")),
        "closes its last windows only when",
    );
    one(
        &operator(FOLLOW, &format!("{window}, idle: 1m}}")),
        "has `idle` but no `tick`",
    );
    none(&operator(
        FOLLOW,
        &format!("{window}, idle: 1m}}, tick: 1s"),
    ));
    none(&operator(FOLLOW, "wasm: 'builtin:window', tick: 1s"));
    one(
        &operator(FOLLOW, "wasm: 'builtin:window'"),
        "closes its last windows",
    );
    none(&operator("file: {path: in.jsonl}", &format!("{window}}}")));
    none(&operator(FOLLOW, "wasm: 'builtin:jq'"));
}

#[test]
fn criteria_name_fields_that_records_have() {
    let jsonl = "file: {path: in.jsonl}";
    let csv = "file: {path: in.csv}";
    let missing = |field: &str| format!("no record has the field `{field}`");
    one(&criteria(jsonl, "{town: Oslo}"), &missing("town"));
    one(
        &criteria(jsonl, "{city: Oslo, at.minute: 3}"),
        &missing("at.minute"),
    );
    one(
        &criteria(csv, "[{celsius: {gte: 3}}, {fahrenheit: {gte: 3}}]"),
        &missing("fahrenheit"),
    );
    one(&criteria(GENERATE, "{pad: x}"), &missing("pad"));
    none(&criteria(jsonl, "{city: Oslo, at.hour: 3}"));
    none(&criteria(csv, "{city: Oslo, celsius: {lt: 3}}"));
    none(&criteria(
        "generate: {size: 100}",
        "{pad: x, seq: {gte: 1}}",
    ));
    // These conditions match records without the field.
    none(&criteria(jsonl, "{gone: {exists: false}}"));
    none(&criteria(jsonl, "{error: {not: fatal}}"));
    // These sources cannot be inspected.
    none(&criteria(
        "file: {path: not-yet.jsonl, follow: true}",
        "{town: Oslo}",
    ));
    none(&criteria("stdin: {format: jsonl}", "{town: Oslo}"));
    one(&criteria(FOLLOW, "{town: Oslo}"), &missing("town"));
}

#[test]
fn criteria_on_streams_with_remote_writers_are_not_checked() {
    let stages = |scope: &str, more: &str| {
        warnings(&format!(
            "streams: {{first: {{scope: {scope}}}, last: {{}}}}\nproducers: {{read: {{from: {{generate: {{}}}}, to: first}}}}\n\
             operators: {{it: {{wasm: 'builtin:jq', from: {{stream: first, criteria: {{town: Oslo}}}}, to: last{more}}}}}"
        ))
    };
    one(&stages("node", ""), "no record has the field `town`");
    none(&stages("network", ""));
}
