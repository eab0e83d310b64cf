//! Where the output of a stage ends.

use super::*;

/// What a source leads to, by the names of shared streams.
fn ends(consumers: &str, second: &str) -> Vec<String> {
    let graph = graph(&format!(
        "mosaik: v1\nnetwork: n\nstreams: {{a: {{}}, b: {{scope: network}}, c: {{scope: {second}}}}}\n\
         producers: {{in: {{from: {{generate: {{}}}}, to: a}}}}\n\
         operators:\n  one: {{wasm: 'builtin:jq', from: a, to: b}}\n  two: {{wasm: 'builtin:jq', from: a, to: c}}\n\
         {consumers}"
    ));
    let source = graph.stages().next().unwrap();
    let ends = graph.shared_ends(source);
    ends.iter().map(ToString::to_string).collect()
}

#[test]
fn a_source_leads_to_shared_streams_or_to_a_consumer_of_this_node() {
    assert_eq!(ends("", "network"), ["b", "c"]);
    let print = |stream| format!("consumers: {{out: {{from: {stream}, to: {{stdout: {{}}}}}}}}");
    assert!(ends(&print("c"), "node").is_empty());
    assert!(ends(&print("a"), "network").is_empty());
    // Who reads a shared stream here counts as its reader.
    assert_eq!(ends(&print("b"), "network"), ["b", "c"]);
}
