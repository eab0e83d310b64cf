//! The memory used while the sink takes nothing.

use std::{fs, process::Stdio, thread, time::Duration};

use super::graph::folder;
use crate::{
    measure::{Bound, Case, Figure, Goal, Result, Row},
    process::{Process, runner},
};

/// The time for which the sink takes nothing.
const STALL: Duration = Duration::from_mins(1);
const SETTLE: Duration = Duration::from_secs(5);
const BUFFER_BYTES: usize = 1024 * 1024;

pub(super) fn row() -> Row {
    let case = Case::new(|_| {
        let folder = folder()?;
        let manifest = folder.path().join("m.yaml");
        let text = |reader: &str| {
            format!(
                "mosaik: v1\nstreams: {{a: {{buffer_size: 1000000, buffer_bytes: {BUFFER_BYTES}}}, b: {{buffer_size: 1000000, buffer_bytes: {BUFFER_BYTES}}}}}\n\
                 producers: {{made: {{from: {{generate: {{size: 100{reader}}}}}, to: a}}}}\n\
                 operators: {{pass: {{wasm: pass.wasm, from: a, to: b}}}}\n\
                 consumers: {{out: {{from: b, to: {{stdout: {{}}}}}}}}\n"
            )
        };
        fs::write(&manifest, text(""))?;
        let idle = folder.path().join("idle.yaml");
        fs::write(&idle, text(", rate: 1"))?;
        let resident = |manifest: &std::path::Path, wait: Duration| -> Result<(f64, f64)> {
            let mut command = runner()?;
            command
                .args(["-q", "up", "--no-watch"])
                .arg(manifest)
                .stderr(Stdio::null());
            // The reader of its output stops after a few lines.
            let node = Process::start(command)?;
            thread::sleep(SETTLE);
            let before = node.resident_kib()? as f64;
            thread::sleep(wait);
            Ok((before, node.resident_kib()? as f64))
        };
        let (empty, _) = resident(&idle, Duration::ZERO)?;
        let (before, after) = resident(&manifest, STALL)?;
        Ok(vec![
            Figure::new("with empty edges", "KiB", empty),
            Figure::new("with a sink that is stalled, after 5 s", "KiB", before),
            Figure::new("grown in 60 s more", "KiB", after - before),
            Figure::new("held", "KiB", after - empty),
        ])
    });
    Row::new(
        "memory",
        "a generator at full speed, a pass-through operator and a sink that takes nothing for 60 s; two edges of 1 MiB in \
         each of two queues, and a batch in each of three stages",
        vec![case],
        vec![
            Goal::alone("grown in 60 s more", Bound::AtMost(1024.0)),
            Goal::alone("held", Bound::AtMost(16.0 * 1024.0)),
        ],
    )
    .at_most(1)
}
