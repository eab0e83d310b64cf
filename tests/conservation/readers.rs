//! Tests a reader that disconnects, such as `head`: the stages before it end, and their records do
//! not count as lost.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::support::{LIMIT, runner, write};

#[test]
fn a_closed_pipe_ends_the_stages_before_it() {
    for (on_error, dead) in [
        ("skip", ""),
        (
            "{to: dead}",
            "  dead: {from: dead, to: {file: {path: dead.jsonl}}}\n",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let stream = if dead.is_empty() { "" } else { ", dead: {}" };
        let text = format!(
            "mosaik: v1\nstreams: {{a: {{}}, b: {{}}{stream}}}\n\
             producers:\n  make: {{from: {{generate: {{}}}}, to: a}}\n\
             operators:\n  op: {{wasm: 'builtin:jq', from: a, to: b, on_error: {on_error}, \
             config: {{filter: 'if .seq % 100 == 7 then error else . end'}}}}\n\
             consumers:\n  print: {{from: b, to: {{stdout: {{}}}}}}\n{dead}"
        );
        let manifest = write(folder.path(), "m.yaml", text);
        let mut command = runner();
        command.args(["up", "--log", "json"]).arg(manifest);
        let mut node = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(node.stderr.take().unwrap());
        let log = std::thread::spawn(move || {
            let mut lines = Vec::new();
            let mut line = String::new();
            while log.read_line(&mut line).is_ok_and(|read| read > 0) {
                lines.push(std::mem::take(&mut line));
            }
            lines.concat()
        });
        let mut first = String::new();
        // Dropping this reader closes its end of the pipe.
        let mut out = BufReader::new(node.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        drop(out);
        let until = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = node.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > until {
                node.kill().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let log = log.join().unwrap();
        let code = status.and_then(|status| status.code());
        assert_eq!(code, Some(0), "on_error: {on_error}\n{log}");
        assert!(first.contains("seq"), "{first}");
    }
}
