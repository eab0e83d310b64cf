//! The cost of a waiting node: for its file to grow, and for streams that no node offers.

use std::{fs, path::Path, process::Stdio, thread, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use mosaik_streams::{Network, discovery};

use crate::{
    measure::{Bound, Case, Figure, Goal, Result, Row, Setting},
    process::{Process, cpu_time, runner},
};

const HANDLES: u32 = 100;
const SETTLE: Duration = Duration::from_secs(2);

/// Scales a measurement of a few seconds to 10 s.
fn in_ten_seconds(used: Duration, window: Duration) -> f64 {
    used.as_secs_f64() * 1e3 / window.as_secs_f64() * 10.0
}

pub(super) fn row() -> Row {
    let follow = Case::new(|setting| {
        let folder = tempfile::tempdir()?;
        let manifest = folder.path().join("m.yaml");
        fs::write(
            &manifest,
            "mosaik: v1\nnetwork: idle\nstreams: {a: {}, b: {}}\n\
             producers:\n  tail: {from: {file: {path: in.jsonl, follow: true}}, to: a}\n\
             operators:\n  same: {wasm: 'builtin:jq', from: a, to: b, config: {filter: .}}\n\
             consumers:\n  out: {from: b, to: {stdout: {}}}\n",
        )?;
        fs::write(folder.path().join("in.jsonl"), "{}\n")?;
        let mut command = runner()?;
        command
            .args(["-q", "up"])
            .arg(&manifest)
            .stderr(Stdio::null());
        let node = Process::start(command)?;
        thread::sleep(SETTLE);
        let window = setting.window * 2;
        let before = node.cpu_time()?;
        thread::sleep(window);
        let used = node.cpu_time()?.saturating_sub(before);
        Ok(vec![
            Figure::new(
                "a node that follows a file, CPU in 10 s",
                "ms",
                in_ten_seconds(used, window),
            ),
            Figure::new(
                "a node that follows a file, memory",
                "KiB",
                node.resident_kib()? as f64,
            ),
        ])
    });
    let handles = Case::new(|setting| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let used = runtime.block_on(wait(setting))?;
        Ok(Figure::alone(
            "100 producers and 100 consumers offline, CPU in 10 s",
            "ms",
            used,
        ))
    });
    Row::new(
        "waiting",
        "a node that follows a file which does not grow; producers and consumers that wait for each other in vain",
        vec![follow, handles],
        vec![
            Goal::alone("a node that follows a file, CPU in 10 s", Bound::AtMost(10.0)),
            Goal::alone("a node that follows a file, memory", Bound::AtMost(40e3)),
        ],
    )
    .at_most(1)
}

/// Lets two nodes wait for each other's streams, none of which match.
async fn wait(setting: &Setting) -> Result<f64> {
    let one = Network::new("idle").await?;
    let config = discovery::Config::builder().with_bootstrap(one.local().addr());
    let other = Network::builder("idle")
        .with_discovery(config)
        .build()
        .await?;
    for number in 0..HANDLES {
        let id = format!("offline {number}");
        let producer = one.streams().producer::<u32>().with_stream_id(id.as_str());
        let mut producer = producer.build()?;
        tokio::spawn(async move { producer.send(number).await });
        let id = format!("wanted {number}");
        let consumer = other
            .streams()
            .consumer::<u32>()
            .with_stream_id(id.as_str());
        let mut consumer = consumer.build();
        tokio::spawn(async move { consumer.next().await });
    }
    let (process, window) = (Path::new("/proc/self"), setting.window * 2);
    tokio::time::sleep(SETTLE).await;
    let before = cpu_time(process)?;
    tokio::time::sleep(window).await;
    Ok(in_ten_seconds(
        cpu_time(process)?.saturating_sub(before),
        window,
    ))
}
