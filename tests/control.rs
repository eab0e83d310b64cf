//! Tests of queries and commands to a running node, with the verbs of the binary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod finding;

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

use crate::support::socket::{alone, ask, by_name, sockets, up};
use crate::support::{Done, Node, eventually, write};
use serde_json::Value;

/// A manifest that counts forever, at a moderate rate, through an operator.
const COUNT: &str = "mosaik: v1
streams:
  raw: {}
  odd: {}
producers:
  count: {from: {generate: {rate: 500}}, to: raw}
operators:
  keep: {wasm: 'builtin:jq', from: raw, to: odd, config: {filter: 'select(.seq % 2 == 1)'}}
consumers:
  file: {from: odd, to: {file: {path: out.jsonl}}}
";

/// A node with its own sockets.
struct Counting {
    folder: tempfile::TempDir,
    manifest: PathBuf,
    node: Node,
}

impl Counting {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = write(folder.path(), "count.yaml", text);
        let node = up(folder.path(), &["--no-watch"], &manifest);
        Self {
            folder,
            manifest,
            node,
        }
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.manifest).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(&self.manifest, text.replace(from, to)).unwrap();
    }

    fn ask(&self, args: &[&str]) -> Done {
        ask(self.folder.path(), args)
    }

    fn json(&self, args: &[&str]) -> Value {
        let done = self.ask(args);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }
}

#[test]
fn status_shows_rates_of_every_edge() {
    let counting = Counting::start(COUNT);
    let mut status = Value::Null;
    eventually("all stages have seen records", || {
        status = counting.json(&["status", "--json"]);
        by_name(&status["stages"], "file")["datums_out"].as_u64() > Some(100)
    });
    assert_eq!(status["generation"], 1);
    assert_eq!(status["pid"], counting.node.pid());
    assert_eq!(status["peer"], Value::Null);
    let keep = by_name(&status["stages"], "keep");
    assert_eq!(
        (&keep["role"], &keep["state"]),
        (&"operator".into(), &"running".into())
    );
    let rate = keep["rate_in"].as_f64().unwrap();
    assert!(
        (100.0..1500.0).contains(&rate),
        "500 a second are read as {rate}"
    );
    let edges = status["edges"].as_array().unwrap();
    let edge = edges
        .iter()
        .find(|edge| edge["stage"] == "operator keep")
        .unwrap();
    assert_eq!(
        (&edge["stream"], &edge["online"]),
        (&"raw".into(), &true.into())
    );
    assert_eq!(edge["producers"][0]["peer"], Value::Null);
    assert_eq!(by_name(&status["streams"], "odd")["written"], true);

    let text = counting.ask(&["status"]).stdout;
    for part in [
        "count.yaml, generation 1, up ",
        "raw -> operator keep",
        "online",
        "/s",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    // A manifest also identifies its node.
    let same = counting.ask(&["status", counting.manifest.to_str().unwrap()]);
    assert!(same.status.success(), "{same:?}");
}

#[test]
fn status_lists_stages_in_the_order_of_the_flow() {
    let counting = Counting::start(
        "mosaik: v1
streams: {a: {}, b: {}, c: {}, d: {}}
producers: {z: {from: {generate: {rate: 10}}, to: b}}
operators:
  m: {wasm: 'builtin:jq', from: d, to: a, config: .}
  n: {wasm: 'builtin:jq', from: c, to: d, config: .}
  o: {wasm: 'builtin:jq', from: b, to: c, config: .}
consumers: {k: {from: a, to: {file: {path: out.jsonl}}}}
",
    );
    let status = counting.json(&["status", "--json"]);
    let stages = status["stages"].as_array().unwrap().iter();
    let names: Vec<_> = stages
        .map(|stage| stage["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["z", "o", "n", "m", "k"]);
    let text = counting.ask(&["status"]).stdout;
    let places: Vec<_> = [
        "producer  z",
        "operator  o",
        "operator  n",
        "operator  m",
        "consumer  k",
    ]
    .iter()
    .map(|stage| {
        text.find(stage)
            .unwrap_or_else(|| panic!("{stage} is missing:\n{text}"))
    })
    .collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn a_plan_lists_the_steps_of_the_reload() {
    let counting = Counting::start(COUNT);
    let manifest = counting.manifest.to_str().unwrap();
    assert_eq!(
        counting.ask(&["plan", manifest]).stdout,
        "nothing changes\n"
    );
    counting.edit("% 2 == 1", "% 2 == 0");
    counting.edit("raw: {}", "raw: {buffer_size: 77}");
    let text = counting.ask(&["plan", manifest]).stdout;
    assert!(
        text.contains("swap     operator keep (config, buffer_size: 1024 → 77)\n"),
        "{text}"
    );
    assert!(
        text.contains("retune   stream raw (buffer_size: 1024 → 77)\n"),
        "{text}"
    );
    assert!(text.contains("keep     consumer file\n"), "{text}");
    let plan = counting.json(&["plan", manifest, "--json"]);
    assert_eq!(
        counting.json(&["status", "--json"])["generation"],
        1,
        "a plan changes nothing"
    );

    let reload = counting.json(&["reload", "--json"]);
    assert_eq!(reload["steps"], plan);
    assert_eq!(
        (&reload["outcome"], &reload["generation"]),
        (&"applied".into(), &2.into())
    );
    assert_eq!(reload["dropped"], 0);
    assert!(reload["paused_ms"]["operator keep"].as_f64().unwrap() < 10_000.0);
    let status = counting.json(&["status", "--json"]);
    assert_eq!(status["reloads"][0]["text"], reload["text"]);
    let edges = status["edges"].as_array().unwrap();
    let edge = edges
        .iter()
        .find(|edge| edge["stage"] == "operator keep")
        .unwrap();
    assert_eq!(edge["buffer_size"], 77);

    let again = counting.ask(&["reload"]);
    assert_eq!(
        again.stdout,
        "nothing has changed; generation 2 continues\n"
    );
}

#[test]
fn an_invalid_manifest_is_reported_to_the_client_and_changes_nothing() {
    let counting = Counting::start(COUNT);
    counting.edit("from: raw", "from: rwa");
    let text = fs::read_to_string(&counting.manifest).unwrap();
    let lines = text.lines().zip(1..);
    let place = lines
        .filter_map(|(line, number)| Some((number, line.find("rwa")? + 1)))
        .map(|(line, column)| format!("count.yaml:{line}:{column}"))
        .next()
        .unwrap();
    for verb in ["plan", "reload"] {
        let done = counting.ask(&[verb, counting.manifest.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(1), "{done:?}");
        assert!(done.stderr.contains("unknown stream `rwa`"), "{done:?}");
        assert!(
            done.stderr.contains(&place),
            "the place {place} is missing: {done:?}"
        );
    }
    let status = counting.json(&["status", "--json"]);
    assert_eq!(status["generation"], 1);
    assert_eq!(status["reloads"][0]["outcome"], "refused");
    let text = counting.ask(&["status"]).stdout;
    assert!(
        text.contains("REFUSED") && text.contains("unknown stream `rwa`"),
        "{text}"
    );
}

#[test]
fn a_tap_filters_stops_at_its_limit_and_slows_nothing() {
    let counting = Counting::start(COUNT);
    let shown = counting.ask(&["tap", "raw", "--where", "{seq: {gte: 3}}", "--limit", "5"]);
    assert!(shown.status.success(), "{shown:?}");
    let seen: Vec<u64> = shown
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(seen.len(), 5);
    assert!(
        seen.iter().all(|seq| *seq >= 3) && seen.is_sorted(),
        "{seen:?}"
    );

    let wrong = counting.ask(&["tap", "raw", "--where", "{seq: {gtee: 3}}"]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(
        wrong.stderr.contains("criteria:1"),
        "the place is missing: {wrong:?}"
    );
    let nothing = counting.ask(&["tap", "rwa", "--limit", "1"]);
    assert_eq!(nothing.status.code(), Some(3));
    assert!(nothing.stderr.contains("no stream `rwa`"), "{nothing:?}");
}

#[test]
fn a_tap_continues_across_a_reload_that_recreates_its_stream() {
    let shared = COUNT
        .replace("mosaik: v1", "mosaik: v1\nnetwork: tap-test")
        .replace("odd: {}", "odd: {scope: network}");
    let counting = Counting::start(&shared);
    let mut command = alone(counting.folder.path());
    command.args(["tap", "odd"]);
    let tap = Node::spawn(command);
    tap.stdout_line("an odd number", |line| line.contains("\"seq\":"));
    counting.edit("odd: {scope: network}", "odd: {scope: network, id: other}");
    counting.edit("% 2 == 1)", "% 2 == 1) | .new = true");
    let reload = counting.json(&["reload", "--json"]);
    assert_eq!(reload["outcome"], "applied", "{reload}");
    tap.stdout_line("a datum of the new operator", |line| line.contains("new"));
    // The tap ends together with the node.
    let down = counting.ask(&["down"]);
    assert!(down.status.success(), "{down:?}");
    let tap = tap.wait();
    assert!(
        tap.status.success() && tap.stderr.contains("the node has stopped"),
        "{tap:?}"
    );
    let ended = counting.node.wait();
    assert!(
        ended.status.success() && ended.stderr.contains("nothing was dropped"),
        "{ended:?}"
    );
}

#[test]
fn an_unread_tap_misses_records_and_blocks_nothing() {
    let counting = Counting::start(&COUNT.replace("{generate: {rate: 500}}", "{generate: {}}"));
    // A client that sends requests and never reads.
    let mut client = UnixStream::connect(&sockets(counting.folder.path())[0]).unwrap();
    let request = br#"{"verb":"tap","stream":"raw"}"#;
    client
        .write_all(&u32::try_from(request.len()).unwrap().to_be_bytes())
        .unwrap();
    client.write_all(request).unwrap();
    let taken = || {
        by_name(&counting.json(&["status", "--json"])["stages"], "keep")["datums_in"]
            .as_u64()
            .unwrap()
    };
    let before = taken();
    eventually("the pipeline has gone on by 200,000 records", || {
        taken() > before + 200_000
    });
    let mut answers = Vec::new();
    eventually("the client hears how many it has missed", || {
        let mut part = vec![0; 1 << 16];
        let read = client.read(&mut part).unwrap();
        answers.extend_from_slice(&part[..read]);
        String::from_utf8_lossy(&answers)
            .split("\"missed\":")
            .skip(1)
            .any(|rest| !rest.starts_with("0}"))
    });
}

#[test]
fn nodes_of_one_machine_are_distinguished() {
    let counting = Counting::start(COUNT);
    let folder = counting.folder.path();
    let up = |name: &[&str]| {
        let mut command = alone(folder);
        command
            .args(["up", "--no-watch"])
            .args(name)
            .arg(&counting.manifest);
        Node::spawn(command)
    };
    let same = up(&[]).wait();
    assert_eq!(same.status.code(), Some(3), "{same:?}");
    let pid = format!("is already running (process {})", counting.node.pid());
    for part in ["count.yaml ", &pid, "--name"] {
        assert!(same.stderr.contains(part), "{part} is missing: {same:?}");
    }
    let second = up(&["--name", "second"]);
    second.logged("generation 1 runs");
    let which = counting.ask(&["status"]);
    assert_eq!(which.status.code(), Some(3));
    for part in [
        "several nodes run on this machine",
        "--name second",
        "count.yaml (process",
    ] {
        assert!(which.stderr.contains(part), "{part} is missing: {which:?}");
    }
    let named = counting.json(&["status", "--name", "second", "--json"]);
    assert_eq!(
        (&named["name"], &named["pid"]),
        (&"second".into(), &second.pid().into())
    );
    let missing = counting.ask(&["down", "--name", "third"]);
    assert!(
        missing.stderr.contains("no node called `third` runs"),
        "{missing:?}"
    );
    assert!(missing.stderr.contains("--name second"), "{missing:?}");
    let down = counting.ask(&["down", "--name", "second"]);
    assert!(down.status.success() && second.wait().status.success());
    // The name is free again, also after a kill.
    let third = up(&["--name", "second"]);
    third.logged("generation 1 runs");
    third.kill();
    let fourth = up(&["--name", "second"]);
    fourth.logged("generation 1 runs");
    assert!(!fourth.stderr_now().contains("cannot reach this node"));
    let fifth = up(&["--name", "second"]).wait();
    assert_eq!(fifth.status.code(), Some(3), "{fifth:?}");
    drop(fourth);
    assert!(
        counting.ask(&["status"]).status.success(),
        "a dead socket is no node"
    );
}

#[test]
fn the_socket_is_private_and_survives_invalid_input() {
    let counting = Counting::start(COUNT);
    let folder = counting.folder.path().join("run/mosaik-runner");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let socket = sockets(counting.folder.path()).remove(0);
    assert_eq!(mode(&socket), 0o600);
    let answer = |bytes: &[u8]| {
        let mut client = UnixStream::connect(&socket).unwrap();
        client.write_all(bytes).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert_eq!(answer(&[0xff; 64]), "", "a length that is too large");
    assert_eq!(answer(&[0, 0, 0, 9, b'{']), "", "half a request");
    let refused = answer(b"\0\0\0\x0e{\"verb\":\"fly\"}");
    assert!(
        refused.contains("refused") && refused.contains("fly"),
        "{refused}"
    );
    assert!(answer(b"\0\0\0\x10{\"verb\":\"hello\"}").contains("\"pid\":"));
    assert!(counting.ask(&["status"]).status.success());

    // A folder that other users can enter is not used, and no node in it is queried.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    for which in [None, counting.manifest.to_str()] {
        let args: Vec<_> = std::iter::once("status").chain(which).collect();
        let asked = counting.ask(&args);
        assert_eq!(asked.status.code(), Some(3), "{asked:?}");
        let place = folder.to_str().unwrap();
        for part in [place, "is not private to this user", "its mode 755"] {
            assert!(asked.stderr.contains(part), "{part} is missing: {asked:?}");
        }
    }
    let mut command = alone(counting.folder.path());
    command
        .args(["up", "--no-watch", "--name", "other"])
        .arg(&counting.manifest);
    let exposed = Node::spawn(command);
    exposed.logged("is not private to this user");
    exposed.logged("generation 1 runs");
}

#[test]
fn a_node_with_ended_inputs_can_be_queried_and_reloaded() {
    let text = COUNT
        .replace("mosaik: v1", "mosaik: v1\nnetwork: stays-test")
        .replace("rate: 500", "count: 5")
        .replace("odd: {}", "odd: {scope: network}");
    let counting = Counting::start(&text);
    counting.node.logged("continues to serve its peers");
    let status = counting.json(&["status", "--json"]);
    assert_eq!(by_name(&status["stages"], "file")["datums_out"], 2);
    // The stage that a reload starts ends as well, and the node stays up again.
    counting.edit(
        "producers:",
        "producers:\n  more: {from: {generate: {count: 4}}, to: raw2}",
    );
    counting.edit("  raw: {}", "  raw: {}\n  raw2: {}");
    counting.edit(
        "consumers:",
        "consumers:\n  other: {from: raw2, to: {file: {path: other.jsonl}}}",
    );
    let reload = counting.json(&["reload", "--json"]);
    assert_eq!(reload["outcome"], "applied", "{reload}");
    counting
        .node
        .logged_times("continues to serve its peers", 2);
    assert!(counting.ask(&["down"]).status.success());
    let done = counting.node.wait();
    assert!(done.status.success(), "{done:?}");

    // A node with a failed stage is not a service: a monitor has to see this.
    let folder = tempfile::tempdir().unwrap();
    let fails = text
        .replace("raw: {}", "raw: {scope: network}")
        .replace("odd: {scope: network}", "odd: {}");
    let fails = fails.replace(
        "'select(.seq % 2 == 1)'",
        "'error(\"no\")'}, on_error: stop, limits: {time: 10s",
    );
    let failed = up(folder.path(), &[], &write(folder.path(), "m.yaml", fails)).wait();
    assert_eq!(failed.status.code(), Some(3), "{failed:?}");
}

#[test]
fn explain_shows_the_conditions_of_an_edge() {
    let text = COUNT.replace("raw: {}", "raw: {online_when: {minimum_of: 2}}");
    let counting = Counting::start(&text);
    let lines = counting.ask(&["explain", "raw"]).stdout;
    assert!(
        lines.contains("offline here: online_when requires 2 subscribers, has 1"),
        "{lines}"
    );
    assert!(
        lines.contains("operator keep is offline: online_when requires 2 producers, has 1"),
        "{lines}"
    );
    let other = counting.ask(&["explain", "odd"]).stdout;
    assert!(other.contains("online here: 1 subscriber"), "{other}");
    assert!(
        other.contains("consumer file is online, connected to 1 producer"),
        "{other}"
    );
}
