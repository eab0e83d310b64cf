//! The streams in which the output of a stage ends.

use super::*;

/// Returns the names of the shared streams in which the output of a source ends.
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
    // A local reader of a shared stream counts as a reader.
    assert_eq!(ends(&print("b"), "network"), ["b", "c"]);
}

#[test]
fn binary_content_is_refused_unless_the_stream_is_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("in");
    std::fs::write(&source, b"\x1f\x8b\x08").unwrap();
    for (encoding, fits) in [("json", false), ("text", false), ("bytes", true)] {
        let loaded = try_load(&format!(
            "mosaik: v1\nstreams: {{a: {{encoding: {encoding}}}}}\n\
             producers: {{p: {{from: {{file: {{path: {}, format: lines}}}}, to: a}}}}\n\
             consumers: {{c: {{from: a, to: {{stdout: {{}}}}}}}}\n",
            source.display()
        ));
        assert_eq!(loaded.is_ok(), fits, "{encoding}: {loaded:?}");
        let wrong = loaded
            .err()
            .map(|wrong| wrong.to_string())
            .unwrap_or_default();
        assert_eq!(wrong.contains("it is compressed by gzip"), !fits, "{wrong}");
    }
}
