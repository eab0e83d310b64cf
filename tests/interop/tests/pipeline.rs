//! A YAML graph between two native services: reads a stream of one and serves a stream to the other.

use std::process::Stdio;

use serde_json::json;
use tokio::process::{Child, Command};

use crate::common::{Peer, build, guest::Guest};

/// Runs a manifest until dropped.
fn up(manifest: &std::path::Path) -> Child {
    Command::new(build::runner())
        .arg("up")
        .arg(manifest)
        .env("XDG_STATE_HOME", manifest.with_file_name("state"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the runner starts")
}

#[tokio::test]
async fn a_native_service_feeds_a_graph_that_feeds_a_native_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut source = Peer::start("pipeline").await;
    let mut sink = Peer::start("pipeline").await;
    source.ask(json!({"produce": {"stream": "readings"}})).await;
    sink.ask(json!({"consume": {"stream": "chosen"}})).await;
    std::fs::write(
        folder.path().join("pass.wasm"),
        Guest::default().component(),
    )
    .expect("it is written");
    let text = format!(
        "
mosaik: v1
network: pipeline
node:
  bootstrap: [\"{}\", \"{}\"]
streams:
  # The schema goes as far as anybody looks.
  readings: {{scope: network, encoding: postcard, schema: {{seq: u64, symbol: string}}}}
  chosen: {{scope: network, encoding: postcard, schema: {{seq: u64, symbol: string}}}}
operators:
  pass:
    wasm: pass.wasm
    from: {{stream: readings, criteria: {{seq: {{gte: 100}}}}}}
    to: chosen
",
        source.addr(),
        sink.addr(),
    );
    let manifest = folder.path().join("graph.yaml");
    std::fs::write(&manifest, text).expect("it is written");
    let _node = up(&manifest);
    sink.ask(json!({"connected": {"stream": "chosen", "count": 1}}))
        .await;
    source
        .ask(json!({"connected": {"stream": "readings", "count": 1}}))
        .await;
    source
        .ask(json!({"send": {"stream": "readings", "from": 0, "count": 2_100}}))
        .await;
    let received = sink
        .ask(json!({"received": {"stream": "chosen", "at_least": 2_000}}))
        .await;
    assert_eq!(
        received,
        json!({"count": 2_000, "in_order": true, "ended": false})
    );
}
