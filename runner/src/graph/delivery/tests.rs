use std::fmt::Write as _;

use super::*;
use crate::graph::tests::{graph, try_load};

/// Returns a graph with two sources, an operator and two sinks, with these settings of each.
fn manifest(top: &str, streams: &str, operator: &str, sink: &str) -> String {
    format!(
        "mosaik: v1\nnetwork: n\n{top}streams: {{a: {{}}, b: {{{streams}}}}}\n\
         producers: {{make: {{from: {{generate: {{}}}}, to: a}}}}\n\
         operators: {{map: {{wasm: 'builtin:jq', from: a, to: b{operator}}}}}\n\
         consumers: {{out: {{from: b, to: {sink}}}}}\n"
    )
}

const FILE: &str = "{file: {path: out.jsonl}}";
const CHECKPOINT: &str = "checkpoint: {}\n";

fn lines(text: &str) -> Vec<String> {
    let found = graph(text).deliveries();
    found.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn a_path_has_the_class_of_its_weakest_part() {
    let path = "producer make -> operator map -> consumer out: ";
    for (top, operator, sink, expected) in [
        (CHECKPOINT, "", FILE, "exactly once"),
        (
            "",
            "",
            FILE,
            "at least once (producer make: without `checkpoint`, the next start generates all records again)",
        ),
        (
            CHECKPOINT,
            "",
            "{stdout: {}}",
            "at least once (consumer out: printed records cannot be taken back and may be printed again)",
        ),
        (
            CHECKPOINT,
            "",
            "{file: {path: /dev/stdout}}",
            "at least once (consumer out: records written to a device cannot be taken back)",
        ),
        (
            CHECKPOINT,
            ", allow: {http: [example.org]}",
            FILE,
            "at least once (operator map: its HTTP requests may be sent again)",
        ),
        (
            CHECKPOINT,
            ", allow: {dirs: [{path: /tmp, mode: write}]}",
            FILE,
            "at least once (operator map: its writes to folders may be repeated)",
        ),
        (
            CHECKPOINT,
            ", allow: {dirs: [{path: /tmp}], random: true}",
            FILE,
            "exactly once",
        ),
    ] {
        let text = manifest(top, "", operator, sink);
        assert_eq!(lines(&text), [format!("{path}{expected}")], "{text}");
    }
    let stdin = manifest(
        CHECKPOINT,
        "",
        ", allow: {http: [example.org]}",
        "{stdout: {}}",
    );
    let stdin = stdin
        .replace("generate: {}", "stdin: {}")
        .replace("a: {}", "a: {encoding: text}");
    let stdin = stdin.replace("b: {}", "b: {encoding: text}");
    assert_eq!(
        lines(&stdin),
        [format!(
            "{path}at most once (producer make: standard input cannot be read again)"
        )]
    );
}

#[test]
fn a_shared_stream_has_ends_on_other_nodes() {
    let found = graph(&manifest(CHECKPOINT, "scope: network", "", FILE)).deliveries();
    assert_eq!(found.class, DeliveryClass::AtMostOnce);
    let classes = found
        .paths
        .iter()
        .map(|path| (path.path.join(" "), path.class));
    assert_eq!(
        classes.collect::<Vec<_>>(),
        [
            (
                "producer make operator map consumer out".to_owned(),
                DeliveryClass::ExactlyOnce
            ),
            (
                "producer make operator map other nodes".to_owned(),
                DeliveryClass::AtMostOnce
            ),
            (
                "other nodes consumer out".to_owned(),
                DeliveryClass::AtMostOnce
            ),
        ]
    );
    let weakest = found.paths.iter().filter_map(|path| path.weakest.as_ref());
    assert!(weakest.clone().all(|weakest| weakest.part == "stream b"));
    assert_eq!(weakest.count(), 2);
}

#[test]
fn dead_letter_records_have_a_path_of_their_own() {
    let text = manifest(
        CHECKPOINT,
        "",
        ", on_error: {to: bad}",
        "{stdout: {}}, on_error: {to: bad}",
    );
    let text = text.replace("a: {}", "a: {}, bad: {}");
    let text = text.replace(
        "consumers: {",
        "consumers: {keep: {from: bad, to: {file: {path: bad.jsonl}}}, ",
    );
    let printed = "at least once (consumer out: printed records cannot be taken back and may be printed again)";
    assert_eq!(
        lines(&text),
        [
            format!("producer make -> operator map -> consumer out: {printed}"),
            "producer make -> operator map -> consumer out -> consumer keep: exactly once"
                .to_owned(),
            "producer make -> operator map -> consumer keep: exactly once".to_owned(),
        ]
    );
}

/// Returns a chain of operators, two beside each other at each place, with 2^count paths.
fn diamonds(count: usize) -> String {
    let mut streams = String::from("s0: {}");
    let mut operators = String::new();
    for n in 0..count {
        // Writing to a string cannot fail, here and below.
        let _ = write!(streams, ", s{}: {{}}", n + 1);
        for side in ["l", "r"] {
            let _ = writeln!(
                operators,
                "  {side}{n}: {{wasm: 'builtin:jq', from: s{n}, to: s{}}}",
                n + 1
            );
        }
    }
    format!(
        "mosaik: v1\ncheckpoint: {{}}\nstreams: {{{streams}}}\nproducers: {{make: {{from: {{generate: {{}}}}, to: s0}}}}\n\
         operators:\n{operators}consumers: {{out: {{from: s{count}, to: {{file: {{path: o}}}}}}}}\n"
    )
}

#[test]
fn paths_are_counted_beyond_a_limit() {
    let found = graph(&diamonds(3)).deliveries();
    assert_eq!((found.paths.len(), found.more), (8, 0));
    // More paths than 64 bits can count.
    let text = diamonds(70).replace("r69: {", "r69: {allow: {http: [example.org]}, ");
    let found = graph(&text).deliveries();
    assert_eq!(
        (found.paths.len(), found.more),
        (PATHS_MAX, u64::MAX - PATHS_MAX as u64)
    );
    assert_eq!(
        found.class,
        DeliveryClass::AtLeastOnce,
        "also of paths that are not listed"
    );
}

#[test]
fn every_part_that_is_too_weak_is_reported_where_it_stands() {
    let at = |require: &str, streams: &str, sink: &str| {
        let checkpoint = format!("checkpoint: {{require: {require}}}\n");
        let text = manifest(&checkpoint, streams, ", allow: {http: [example.org]}", sink);
        match try_load(&text) {
            Ok(_) => Vec::new(),
            Err(found) => {
                let found = found.render(false);
                let errors = found.lines().filter(|line| line.starts_with("error: "));
                errors
                    .map(|line| line["error: ".len()..].to_owned())
                    .collect()
            }
        }
    };
    assert_eq!(
        at("exactly_once", "", "{stdout: {}}"),
        [
            "operator `map` is at least once, and `checkpoint` requires exactly once",
            "consumer `out` is at least once, and `checkpoint` requires exactly once",
        ]
    );
    assert_eq!(at("at_least_once", "", "{stdout: {}}"), [""; 0]);
    assert_eq!(
        at("at_least_once", "scope: network", FILE),
        ["shared stream `b` is at most once, and `checkpoint` requires at least once"; 2]
    );
}
