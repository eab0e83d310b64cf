//! Tests reloads under load: they lose no records. Measures how long they pause the edges and
//! prints the figures.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::support::socket::{Desk, by_name, up};
use crate::support::{eventually, write};
use serde_json::Value;

/// Two operators with state. The first passes every tenth record, whose phase reveals lost or
/// duplicated records. The second counts and sums all records up to the end.
const SWAPPED: &str = "mosaik: v1
streams:
  raw: {buffer_size: 65536}
  tenth: {buffer_size: 65536}
  totals: {}
producers:
  count: {from: {generate: {}}, to: raw}
operators:
  sample: {wasm: 'builtin:sample', from: raw, to: tenth, config: {every: 10}}
  total: {wasm: 'builtin:window', from: raw, to: totals, config: {every: year, time: time, aggregate: {n: count, sum: {sum: seq}}}}
consumers:
  tenths: {from: tenth, to: {file: {path: tenths.jsonl}}}
  sums: {from: totals, to: {file: {path: sums.jsonl}}}
";

fn counted(desk: &mut Desk, stage: &str) -> u64 {
    by_name(&desk.status()["stages"], stage)["datums_in"]
        .as_u64()
        .unwrap()
}

/// Returns the median, the 99th percentile and the maximum, in milliseconds.
fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |part: usize| figures[(figures.len() * part / 100).min(figures.len() - 1)];
    (at(50), at(99), at(100))
}

#[test]
fn a_thousand_swaps_of_stateful_operators_lose_nothing() {
    const SWAPS: usize = 1000;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let manifest = write(folder, "m.yaml", SWAPPED);
    let node = up(folder, &["--no-watch"], &manifest);
    let mut desk = Desk::of(folder);
    eventually("records flow", || counted(&mut desk, "sample") > 10_000);
    let (began, before) = (Instant::now(), counted(&mut desk, "sample"));
    let mut pauses = Vec::new();
    let granted = SWAPPED.replace("config: {every", "allow: {random: true}, config: {every");
    for swap in 0..SWAPS {
        let text = if swap % 2 == 0 { &granted } else { SWAPPED };
        write(folder, "m.yaml", text);
        let (reload, _) = desk.reload();
        assert_eq!(reload["outcome"], "applied", "swap {swap}: {reload}");
        assert_eq!(reload["dropped"], 0, "swap {swap}: {reload}");
        let held_up = reload["paused_ms"].as_object().unwrap();
        assert_eq!(held_up.len(), 2, "swap {swap}: {reload}");
        pauses.extend(held_up.values().map(|ms| ms.as_f64().unwrap()));
    }
    let took = began.elapsed();
    let through = counted(&mut desk, "sample") - before;
    let done = node.interrupt();
    assert!(
        done.stderr.contains("nothing was dropped"),
        "{}",
        done.stderr
    );

    // All sent records are received, in order and once each, and the state is that of a run without
    // swaps.
    let sums = fs::read_to_string(folder.join("sums.jsonl")).unwrap();
    let sums: Vec<Value> = sums
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(sums.len(), 1, "{sums:?}");
    let sent = sums[0]["n"].as_u64().unwrap();
    assert_eq!(
        sums[0]["sum"].to_string(),
        (sent * (sent - 1) / 2).to_string()
    );
    let tenths = fs::read_to_string(folder.join("tenths.jsonl")).unwrap();
    let mut count = 0;
    for (at, line) in tenths.lines().enumerate() {
        let wanted = format!("{{\"seq\":{},", at * 10);
        assert!(line.starts_with(&wanted), "line {at} is {line}");
        count += 1;
    }
    assert_eq!(count, sent.div_ceil(10));
    let (median, most, worst) = spread(pauses);
    println!(
        "{SWAPS} swaps of two operators in {took:.1?} while {:.0} records a second flowed to each: {sent} sent, none lost; \
         paused {median:.2} ms in the middle, {most:.2} ms at p99, {worst:.2} ms at worst",
        through as f64 / took.as_secs_f64()
    );
}

#[test]
fn a_storm_of_writes_ends_at_the_last_valid_file() {
    const STORM: Duration = Duration::from_secs(30);
    const WRITES_A_SECOND: u32 = 200;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let base = "mosaik: v1
streams:
  raw: {}
  kept: {}
  other: {}
producers:
  count: {from: {generate: {rate: 1000}}, to: raw}
operators:
  change: {wasm: 'builtin:jq', from: raw, to: other, config: {filter: '.edit = 0'}}
  keep: {wasm: 'builtin:jq', from: raw, to: kept, config: {filter: '.seq'}}
consumers:
  kept: {from: kept, to: {file: {path: kept.txt}}}
  other: {from: other, to: {file: {path: other.jsonl}}}
";
    let manifest = write(folder, "m.yaml", base);
    let node = up(folder, &[], &manifest);
    let mut desk = Desk::of(folder);
    eventually("records flow", || counted(&mut desk, "keep") > 100);
    let connections = |desk: &mut Desk| -> Vec<Value> {
        let status = desk.status();
        let edges = status["edges"].as_array().unwrap().iter();
        edges
            .map(|edge| edge["producers"][0]["connection"].clone())
            .collect()
    };
    let before = connections(&mut desk);
    let resident = node.resident_kib();
    let began = Instant::now();
    let (mut write_at, mut last) = (began, 0);
    for edit in 1u32.. {
        if began.elapsed() >= STORM {
            break;
        }
        if edit % 5 == 0 {
            // Half of a file, or an invalid one.
            let broken = if edit % 2 == 0 {
                &base[..100]
            } else {
                "mosaik: v1\nstreams: [\n"
            };
            write(folder, "m.yaml", broken);
        } else {
            let text = base.replace(".edit = 0", &format!(".edit = {edit}"));
            if edit % 3 == 0 {
                write(folder, "m.new", text);
                fs::rename(folder.join("m.new"), &manifest).unwrap();
            } else {
                write(folder, "m.yaml", text);
            }
            last = edit;
        }
        write_at += Duration::from_secs(1) / WRITES_A_SECOND;
        std::thread::sleep(write_at.saturating_duration_since(Instant::now()));
    }
    write(
        folder,
        "m.yaml",
        base.replace(".edit = 0", &format!(".edit = {last}")),
    );
    let other = folder.join("other.jsonl");
    eventually("the last valid file has taken effect", || {
        let text = fs::read_to_string(&other).unwrap();
        let lines: Vec<_> = text.lines().collect();
        lines
            .last()
            .is_some_and(|line| line.contains(&format!("\"edit\":{last}}}")))
    });
    let grown = node.resident_kib().saturating_sub(resident);
    assert_eq!(connections(&mut desk), before, "an edge was created again");
    let generations = desk.status()["generation"].as_u64().unwrap();
    println!(
        "{last} writes in {STORM:?}, one in five wrong: {generations} generations, the last file is in effect; memory grew by {grown} KiB"
    );
    assert!(grown < 32 * 1024, "memory grew by {grown} KiB");
    let done = node.interrupt();
    assert!(
        done.stderr.contains("nothing was dropped"),
        "{}",
        done.stderr
    );
    // The unchanged stages were never restarted and missed no records.
    let kept = fs::read_to_string(folder.join("kept.txt")).unwrap();
    assert!(
        kept.lines()
            .enumerate()
            .all(|(at, line)| line == at.to_string())
    );
}

/// Returns the number of threads and of file descriptors, and the resident memory in KiB.
fn usage(pid: u32) -> (usize, usize, u64) {
    let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let resident = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (count("task"), count("fd"), resident)
}

#[test]
fn ten_thousand_reloads_leave_nothing_behind() {
    const RELOADS: usize = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = |n: usize| {
        format!(
            "mosaik: v1\nstreams: {{raw: {{buffer_size: {}}}, out: {{}}}}\nproducers: {{count: {{from: {{generate: {{rate: 100}}}}, to: raw}}}}\n\
             operators: {{o: {{wasm: 'builtin:jq', from: raw, to: out, config: {{filter: '.n = {n}'}}}}}}\n\
             consumers: {{{}: {{from: out, to: {{file: {{path: {}}}}}}}}}\n",
            n % 7 + 10,
            if n.is_multiple_of(10) {
                "other"
            } else {
                "file"
            },
            Path::new("out.jsonl").display(),
        )
    };
    let manifest = write(folder, "m.yaml", text(0));
    let node = up(folder, &["--no-watch"], &manifest);
    let mut desk = Desk::of(folder);
    let began = Instant::now();
    let mut warm = None;
    for reload in 1..=RELOADS {
        write(folder, "m.yaml", text(reload));
        let (done, _) = desk.reload();
        assert_eq!(done["outcome"], "applied", "{done}");
        if reload == RELOADS / 10 {
            warm = Some(usage(node.pid()));
        }
    }
    let took = began.elapsed();
    let (threads, files, resident) = warm.unwrap();
    let after = usage(node.pid());
    println!(
        "{RELOADS} reloads in {took:.1?}; after a tenth of them and after all: {threads} and {} threads, {files} and {} files, \
         {resident} and {} KiB",
        after.0, after.1, after.2
    );
    assert!(after.0 <= threads + 2, "threads: {threads}, {}", after.0);
    assert!(after.1 <= files + 2, "files: {files}, {}", after.1);
    assert!(
        after.2 <= resident + 16 * 1024,
        "KiB: {resident}, {}",
        after.2
    );
}

/// Pseudorandom numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

/// Returns a manifest that reads some of four shared streams in varying ways.
fn random_reader(dice: &mut Dice, head: &str) -> String {
    let (mut streams, mut operators, mut consumers) = (Vec::new(), Vec::new(), Vec::new());
    let edge = |dice: &mut Dice, stream: u64| {
        let criteria = ["{}", "{seq: {gte: 3}}", "{value: {lt: 0.5}}"][dice.below(3) as usize];
        let size = 100 + dice.below(3);
        format!("{{stream: s{stream}, buffer_size: {size}, criteria: {criteria}}}")
    };
    let mut used = [false; 4];
    for stage in 0..4 {
        if stage > 0 && dice.below(4) == 0 {
            continue;
        }
        let stream = (stage + dice.below(8) / 7) % 4;
        used[stream as usize] = true;
        let from = edge(dice, stream);
        if stage % 2 == 0 {
            let (n, time) = (dice.below(3), 1 + dice.below(2));
            streams.push(format!(
                "  l{stage}: {{buffer_size: {}}}\n",
                50 + dice.below(2)
            ));
            operators.push(format!(
                "  o{stage}: {{wasm: 'builtin:jq', from: {from}, to: l{stage}, config: {{filter: '.n = {n}'}}, limits: {{time: {time}s}}}}\n"
            ));
            consumers.push(format!(
                "  k{stage}: {{from: l{stage}, to: {{file: {{path: k{stage}.jsonl}}}}}}\n"
            ));
        } else {
            let path = dice.below(2);
            consumers.push(format!(
                "  c{stage}: {{from: {from}, to: {{file: {{path: c{stage}-{path}.jsonl}}}}}}\n"
            ));
        }
    }
    for stream in (0..4).filter(|stream| used[*stream]) {
        streams.push(format!(
            "  s{stream}: {{scope: network, backoff: {{max: {}s}}}}\n",
            5 + dice.below(2)
        ));
    }
    let (streams, consumers) = (streams.concat(), consumers.concat());
    let operators = match operators.concat() {
        none if none.is_empty() => none,
        some => format!("operators:\n{some}"),
    };
    let tag = dice.below(3);
    format!(
        "{}streams:\n{streams}{operators}consumers:\n{consumers}",
        head.replace("TAG", &format!("t{tag}"))
    )
}

#[test]
fn five_hundred_random_edits_do_what_their_plans_say_and_keep_what_does_not_change() {
    const EDITS: usize = 500;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [writer_port, reader_port] = crate::support::free_ports();
    let [(writer_key, writer_id), (reader_key, reader_id)] =
        [crate::support::identity(), crate::support::identity()];
    let head = |key: &str, port: u16, peer: &str, peer_port: u16| {
        format!(
            "mosaik: v1\nnetwork: edits\nnode: {{secret_key: '{key}', listen: ['127.0.0.1:{port}'], tags: [TAG], \
             bootstrap: ['{peer}@127.0.0.1:{peer_port}']}}\n"
        )
    };
    let streams: Vec<_> = (0..4)
        .map(|n| format!("  s{n}: {{scope: network}}\n"))
        .collect();
    let producers =
        (0..4).map(|n| format!("  p{n}: {{from: {{generate: {{rate: 300}}}}, to: s{n}}}\n"));
    let producers: Vec<_> = producers.collect();
    let writer = format!(
        "{}streams:\n{}producers:\n{}",
        head(&writer_key, writer_port, &reader_id, reader_port),
        streams.concat(),
        producers.concat()
    );
    let writer = write(folder, "writer.yaml", writer);
    let other = folder.join("other");
    let _writing = up(&other, &["--no-watch"], &writer);
    let head = head(&reader_key, reader_port, &writer_id, writer_port);
    let mut dice = Dice(7);
    let manifest = write(folder, "reader.yaml", random_reader(&mut dice, &head));
    let _reading = up(folder, &["--no-watch"], &manifest);
    let mut desk = Desk::of(folder);
    let (mut kept, mut changed) = (0, 0);
    for edit in 0..EDITS {
        let text = random_reader(&mut dice, &head);
        write(folder, "reader.yaml", &text);
        let before = desk.status();
        let plan = desk.ask(&serde_json::json!({"verb": "plan", "path": manifest}));
        let (reload, _) = desk.reload();
        let steps = plan["steps"]
            .as_array()
            .unwrap_or_else(|| panic!("edit {edit}: {plan}\n{text}"));
        if reload["outcome"] == "unchanged" {
            assert!(
                steps.iter().all(|step| step["change"] == "keep"),
                "edit {edit}: {plan}"
            );
            continue;
        }
        assert_eq!(
            reload["outcome"], "applied",
            "edit {edit}: {reload}\n{text}"
        );
        assert_eq!(reload["steps"], plan["steps"], "edit {edit}");
        changed += 1;
        let after = desk.status();
        let lives_on = |what: &str| {
            let mut step = steps.iter().filter(|step| step["what"] == what);
            step.any(|step| matches!(step["change"].as_str(), Some("keep" | "retune" | "swap")))
        };
        for edge in after["edges"].as_array().unwrap() {
            if !lives_on(edge["stage"].as_str().unwrap()) {
                continue;
            }
            let mut edges = before["edges"].as_array().unwrap().iter();
            let was =
                edges.find(|was| was["stage"] == edge["stage"] && was["port"] == edge["port"]);
            for connection in was.unwrap()["producers"].as_array().unwrap() {
                if connection["state"] == "connected" {
                    let mut now = edge["producers"].as_array().unwrap().iter();
                    let same = now.any(|now| now["connection"] == connection["connection"]);
                    assert!(same, "edit {edit}: {was:?} is now {edge}\n{plan}");
                    kept += 1;
                }
            }
        }
    }
    println!(
        "{EDITS} random edits, {changed} of them changes: each did what its plan said; {kept} times a connection lived on that did not have to go"
    );
    assert!(kept > EDITS, "hardly anything was connected");
}
