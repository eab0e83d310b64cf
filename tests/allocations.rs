//! Tests the allocations per record on the way through a graph: from a connector over edges through
//! an operator into a file, there are none.

#[path = "support/allocations.rs"]
mod allocations;
#[expect(dead_code, reason = "others use the rest of it")]
#[path = "support/guest.rs"]
mod guest;

use std::{fs, path::Path, sync::Arc, time::Duration};

use guest::Guest;
use mosaik_runner::{
    components::Library,
    declare::ProcessEnvironment,
    graph,
    operator::{Engine, EngineConfig},
    topology::{Node, Settings},
};

const DATUMS: u64 = 200_000;
const WRITES: &str = "the folder can be written to";
const LIMIT: Duration = Duration::from_mins(2);

/// Returns the allocations of a whole run that reads, processes and writes this number of records.
async fn run(folder: &Path, datums: u64) -> u64 {
    let from = folder.join("in.jsonl");
    let line = format!("{{\"text\":\"{}\"}}\n", "x".repeat(88));
    fs::write(&from, line.repeat(datums.try_into().expect("they fit"))).expect(WRITES);
    let manifest = folder.join("m.yaml");
    let text = "mosaik: v1\nstreams: {a: {buffer_size: 65536}, b: {buffer_size: 65536}}\n\
                producers: {read: {from: {file: {path: in.jsonl}}, to: a}}\n\
                operators: {pass: {wasm: pass.wasm, from: a, to: b}}\n\
                consumers: {write: {from: b, to: {file: {path: out.jsonl}}}}\n";
    fs::write(&manifest, text).expect(WRITES);
    let library = Arc::new(Library::new(
        Engine::new(EngineConfig::default()).expect("it starts"),
    ));
    let loaded = graph::load(&manifest, &ProcessEnvironment, &*library)
        .unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let settings = Settings {
        manifest,
        state_folder: folder.join("state"),
        fresh: false,
        name: None,
    };
    let _ = fs::remove_file(folder.join("out.jsonl"));
    let before = allocations::so_far();
    let mut node = Node::start(loaded.graph, library, &settings)
        .await
        .expect("it starts");
    tokio::time::timeout(LIMIT, node.done())
        .await
        .expect("it ends");
    node.shutdown(LIMIT).await;
    let allocated = allocations::so_far() - before;
    let bytes = |name: &str| fs::read(folder.join(name)).expect("it is there");
    assert!(
        bytes("in.jsonl") == bytes("out.jsonl"),
        "it passes all through"
    );
    allocated
}

// The only test in this binary: another test would be counted too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datum_on_its_way_through_a_graph_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pass.wasm"), Guest::default().module()).unwrap();
    let few = run(folder.path(), DATUMS).await;
    let many = run(folder.path(), 2 * DATUMS).await;
    // The costs of starting and ending are the same in both runs.
    let each = many.saturating_sub(few) as f64 / DATUMS as f64;
    assert!(each < 0.05, "{each} allocations for a datum: {few}, {many}");
}
