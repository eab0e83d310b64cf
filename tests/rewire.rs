//! Tests reloads that stop stages: records in flight arrive, and stages that had stopped for lack
//! of others start again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use crate::support::socket::{Desk, by_name, up};
use crate::support::{eventually, guest::Guest, write};

fn taken(desk: &mut Desk, stage: &str) -> u64 {
    by_name(&desk.status()["stages"], stage)["datums_in"]
        .as_u64()
        .unwrap()
}

/// Checks that a file contains the numbers from 0 on, and returns their count.
fn unbroken(file: &Path) -> usize {
    let lines = fs::read_to_string(file).unwrap();
    for (seq, line) in lines.lines().enumerate() {
        let wanted = format!("{{\"seq\":{seq},");
        assert!(line.starts_with(&wanted), "line {seq} is {line}");
    }
    lines.lines().count()
}

/// Runs at full speed, so that every edge is full whenever a stage is stopped.
const CHAIN: &str = "mosaik: v1
streams: {raw: {}, one: {buffer_size: 5000}, two: {buffer_size: 5000}, other: {}}
producers:
  count: {from: {generate: {}}, to: raw}
  slowly: {from: {generate: {rate: 1}}, to: other}
operators:
  first: {wasm: pass.wasm, from: raw, to: one}
  second: {wasm: pass.wasm, from: one, to: two}
consumers:
  file: {from: two, to: {file: {path: out.jsonl}}}
  others: {from: other, to: {file: {path: other.jsonl}}}
";

/// The remaining part of the graph.
const REST: &str = "mosaik: v1
streams: {other: {}}
producers:
  slowly: {from: {generate: {rate: 1}}, to: other}
consumers:
  others: {from: other, to: {file: {path: other.jsonl}}}
";

#[test]
fn streams_recreated_or_removed_under_load_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "pass.wasm", Guest::default().module());
    let manifest = write(folder, "m.yaml", CHAIN);
    let node = up(folder, &["--no-watch"], &manifest);
    let mut desk = Desk::of(folder);
    for round in 0..6 {
        let before = taken(&mut desk, "file");
        eventually("records flow", || {
            taken(&mut desk, "file") > before + 20_000
        });
        // Other streams between the same stages.
        let text = if round % 2 == 0 {
            CHAIN.replace("one", "uno").replace("two", "dos")
        } else {
            CHAIN.to_owned()
        };
        write(folder, "m.yaml", text);
        let (reload, _) = desk.reload();
        assert_eq!(reload["outcome"], "applied", "round {round}: {reload}");
        assert_eq!(reload["dropped"], 0, "round {round}: {reload}");
    }
    // Remove the whole pipeline: its sent records are written.
    write(folder, "m.yaml", REST);
    let (reload, took) = desk.reload();
    assert_eq!(reload["outcome"], "applied", "{reload}");
    assert_eq!(reload["dropped"], 0, "{reload}");
    let done = node.interrupt();
    assert!(
        done.stderr.contains("nothing was dropped"),
        "{}",
        done.stderr
    );
    let count = unbroken(&folder.join("out.jsonl"));
    println!(
        "{count} records went through streams that were created again 6 times and removed in {took:.1?}, none lost"
    );
}

#[test]
fn code_whose_ports_are_in_another_order_is_swapped_in_with_the_right_streams() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // `in` precedes `out` among its outputs, and it answers on the second one.
    let two_outputs = Guest {
        describe: "
    (i64.store (i32.const 128) (i64.const 0x2_0000_0010))
    (i64.store (i32.const 136) (i64.const 0x2_0000_0010))
    (i64.store (i32.const 144) (i64.const 0x3_0000_0020))
    (i64.store (i32.const 160) (i64.const 0x1_0000_0080))
    (i64.store (i32.const 168) (i64.const 0x2_0000_0088))
    (i64.store (i32.const 176) (i64.const 0x2_0000_0030))
    (i32.store (i32.const 184) (i32.const 7))
    (i32.const 160)",
        process: "(call $answer (i32.const 1) (local.get $ptr) (local.get $len) (i32.const 0))",
        ..Guest::default()
    };
    write(folder, "pass.wasm", Guest::default().module());
    write(folder, "two.wasm", two_outputs.module());
    let text = "mosaik: v1
streams: {raw: {}, out: {}}
producers: {count: {from: {generate: {rate: 2000}}, to: raw}}
operators: {o: {wasm: pass.wasm, from: raw, to: {out: out}}}
consumers: {file: {from: out, to: {file: {path: out.jsonl}}}}
";
    let manifest = write(folder, "m.yaml", text);
    let node = up(folder, &["--no-watch"], &manifest);
    let mut desk = Desk::of(folder);
    for code in ["two.wasm", "pass.wasm"] {
        let before = taken(&mut desk, "file");
        eventually("records flow", || taken(&mut desk, "file") > before + 500);
        write(folder, "m.yaml", text.replace("pass.wasm", code));
        let (reload, _) = desk.reload();
        assert_eq!(reload["outcome"], "applied", "{reload}");
        let swapped = reload["steps"].as_array().unwrap().iter();
        let mut swapped = swapped.filter(|step| step["change"] == "swap");
        assert_eq!(swapped.next().unwrap()["what"], "operator o", "{reload}");
        let at = taken(&mut desk, "file");
        eventually("records flow on", || taken(&mut desk, "file") > at + 500);
    }
    let done = node.interrupt();
    assert!(
        done.stderr.contains("nothing was dropped"),
        "{}",
        done.stderr
    );
    unbroken(&folder.join("out.jsonl"));
}

#[test]
fn repairing_an_operator_restarts_the_stages_it_had_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = "mosaik: v1
streams: {raw: {}, out: {}, other: {}}
producers:
  count: {from: {generate: {rate: 500}}, to: raw}
  slowly: {from: {generate: {rate: 1}}, to: other}
operators: {o: {wasm: 'builtin:jq', from: raw, to: out, config: {filter: '.seq | error'}, on_error: stop}}
consumers:
  file: {from: out, to: {file: {path: out.jsonl}}}
  others: {from: other, to: {file: {path: other.jsonl}}}
";
    let manifest = write(folder, "m.yaml", text);
    let node = up(folder, &["--no-watch"], &manifest);
    node.logged("producer count stops: its output has no reader any more");
    let mut desk = Desk::of(folder);
    eventually("it has stopped", || {
        by_name(&desk.status()["stages"], "count")["state"] != "running"
    });
    write(folder, "m.yaml", text.replace(".seq | error", "."));
    let (reload, _) = desk.reload();
    assert_eq!(reload["outcome"], "applied", "{reload}");
    eventually("records flow", || taken(&mut desk, "file") > 100);
}
