//! Tests how a node starts and stops on a machine that interrupts it or limits its resources:
//! signals and limits.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{Done, Node, eventually, guest::Guest, runner, write};
use rustix::process::Signal;

/// A pipeline of three operators, which take a while to compile.
const THREE: &str = "mosaik: v1
streams: {a: {}, b: {}, c: {}, d: {}}
producers: {make: {from: {generate: {rate: 10}}, to: a}}
operators:
  one: {wasm: 'builtin:jq', from: a, to: b, config: {filter: .}}
  two: {wasm: 'builtin:sample', from: b, to: c, config: {every: 2}}
  three: {wasm: 'builtin:window', from: c, to: d, config: {time: time, every: minute, aggregate: {n: count}}}
consumers: {print: {from: d, to: {stdout: {}}}}
";

/// A pipeline without an operator.
const PLAIN: &str = "mosaik: v1
streams: {a: {}}
producers: {make: {from: {generate: {count: 3}}, to: a}}
consumers: {print: {from: a, to: {stdout: {}}}}
";

/// Starts a node without a shared cache, so that the cached code of other tests neither slows nor
/// helps it.
fn up_uncached(folder: &Path, manifest: &Path) -> Node {
    let mut command = runner();
    command
        .arg("up")
        .arg(manifest)
        .env("XDG_CACHE_HOME", folder.join("cache"));
    Node::spawn(command)
}

/// Waits until a process catches a signal.
fn catches(node: &Node, signal: Signal) {
    eventually("the process catches signals", || {
        let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        caught & (1 << (signal.as_raw() - 1)) != 0
    });
}

#[test]
fn a_signal_before_the_node_runs_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(folder.path(), "m.yaml", THREE);
    for signal in [Signal::TERM, Signal::INT] {
        let node = up_uncached(folder.path(), &manifest);
        catches(&node, signal);
        node.signal(signal);
        let done = node.wait();
        assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
        assert!(
            done.stderr.contains("stopped before the node had started"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn a_reload_requested_during_the_start_runs_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = up_uncached(folder.path(), &write(folder.path(), "m.yaml", THREE));
    catches(&node, Signal::HUP);
    node.signal(Signal::HUP);
    node.logged("nothing has changed; generation 1 continues");
    node.interrupt();
}

#[test]
fn a_missing_folder_for_sockets_causes_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = runner();
    command
        .arg("up")
        .arg(write(folder.path(), "m.yaml", PLAIN))
        .env("XDG_RUNTIME_DIR", "/proc/none");
    let done = Node::spawn(command).wait();
    assert!(done.status.success(), "{}", done.stderr);
    for said in ["`reload`", "a second `up`", "XDG_RUNTIME_DIR"] {
        assert!(done.stderr.contains(said), "{said}: {}", done.stderr);
    }
}

/// Waits while the node reaches a state that it does not report.
fn pass(time: Duration) {
    let began = Instant::now();
    eventually("some time has passed", || began.elapsed() > time);
}

#[test]
fn a_signal_sent_twice_is_one_request() {
    let folder = tempfile::tempdir().unwrap();
    // The only record takes 2 s and then fails.
    let endless = Guest {
        process: "(loop $l (br $l)) unreachable",
        ..Guest::default()
    };
    write(folder.path(), "endless.wasm", endless.module());
    let text = PLAIN
        .replace("a: {}", "a: {}, b: {}")
        .replace("count: 3", "count: 1")
        .replace(
            "consumers: {print: {from: a",
            "operators: {o: {wasm: endless.wasm, from: a, to: b, limits: {time: 2s}}}\nconsumers: {print: {from: b",
        );
    let node = Node::up(&write(folder.path(), "m.yaml", text));
    node.logged("generation 1 runs");
    pass(Duration::from_millis(300));
    node.signal(Signal::TERM);
    node.logged("stopping");
    node.signal(Signal::TERM);
    let done = node.wait();
    // The node finished, and reports that the record is lost.
    assert_eq!(done.status.code(), Some(5), "{}", done.stderr);
}

#[test]
fn a_second_signal_a_second_later_stops_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let endless = Guest {
        process: "(loop $l (br $l)) unreachable",
        ..Guest::default()
    };
    write(folder.path(), "endless.wasm", endless.module());
    let text = PLAIN.replace("a: {}", "a: {}, b: {}").replace(
        "consumers: {print: {from: a",
        "operators: {o: {wasm: endless.wasm, from: a, to: b, limits: {time: 60s}}}\nconsumers: {print: {from: b",
    );
    let node = Node::up(&write(folder.path(), "m.yaml", text));
    node.logged("generation 1 runs");
    pass(Duration::from_millis(300));
    node.signal(Signal::INT);
    node.logged("stopping");
    let first = Instant::now();
    pass(Duration::from_millis(1100));
    node.signal(Signal::INT);
    let done = node.wait();
    assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("stopped at once"), "{}", done.stderr);
    assert!(
        done.stderr.contains("operator  o") && done.stderr.contains(" LOST, "),
        "{}",
        done.stderr
    );
    assert!(first.elapsed() < Duration::from_secs(20), "it drained");
}

/// Runs the binary in a shell with a limit, as a user to whom limits apply.
fn limited(folder: &Path, limit: &str, verb: &str, manifest: &Path) -> Done {
    let mut command = runner();
    let binary = PathBuf::from(command.get_program());
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{limit} && exec \"$0\" \"$@\""))
        .arg(binary)
        .arg(verb)
        .arg(manifest);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir(folder);
    command = shell;
    Node::spawn(command).wait()
}

/// Asserts that a process ended with one error, which names a limit and no operator.
fn names_the_limit(done: &Done, limit: &str) {
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    for part in ["error: the system ", limit] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    assert!(!done.stderr.contains("jq"), "{}", done.stderr);
}

#[test]
fn a_shortage_of_files_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(folder.path(), "m.yaml", THREE);
    for files in [6, 12, 24] {
        for verb in ["up", "check"] {
            let limit = format!("ulimit -n {files}");
            let done = limited(folder.path(), &limit, verb, &manifest);
            names_the_limit(&done, &format!("{files} open files, `ulimit -n`"));
        }
    }
}

#[test]
fn a_shortage_of_memory_addresses_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(folder.path(), "m.yaml", THREE);
    let plain = write(folder.path(), "plain.yaml", PLAIN);
    for kib in [200_000, 2_000_000, 4_500_000] {
        for verb in ["up", "check"] {
            let limit = format!("ulimit -v {kib}");
            let done = limited(folder.path(), &limit, verb, &manifest);
            names_the_limit(&done, &format!("{kib} KiB of addresses, `ulimit -v`"));
        }
    }
    // A pipeline without operators needs far less.
    let done = limited(folder.path(), "ulimit -v 2000000", "up", &plain);
    assert!(done.status.success(), "{}", done.stderr);
    // Enough to check three operators one by one, but not to run them.
    let done = limited(folder.path(), "ulimit -v 8000000", "up", &manifest);
    names_the_limit(&done, "8000000 KiB of addresses, `ulimit -v`");
}

#[test]
fn a_shortage_of_threads_is_reported() {
    // The limit does not apply to root; another user may be unable to access the binary in its
    // build folder.
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become a user who runs nothing else");
        return;
    }
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .tempdir()
        .unwrap();
    let built = PathBuf::from(runner().get_program());
    let binary = folder.path().join("mosaik-runner");
    if fs::hard_link(&built, &binary).is_err() {
        fs::copy(&built, &binary).unwrap();
    }
    let manifest = write(folder.path(), "m.yaml", THREE);
    // A user without any process, so that no other threads count.
    let user = 100_000 + std::process::id() % 1_000_000;
    for (threads, verb) in [(2, "up"), (6, "up"), (9, "up"), (6, "check")] {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            // The option is `-u` in some shells and `-p` in others.
            .arg(format!("{{ ulimit -u {threads} 2> /dev/null || ulimit -p {threads}; }} && exec \"$0\" \"$@\""))
            .arg(&binary)
            .arg(verb)
            .arg(&manifest)
            .env("HOME", folder.path())
            .uid(user)
            .gid(user);
        let done = Node::spawn(command).wait();
        names_the_limit(&done, &format!("{threads} threads, `ulimit -u`"));
    }
}

#[test]
fn an_address_in_use_is_reported_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!(
        "mosaik: v1\nnetwork: test\nnode:\n  listen: [\"{address}\"]\nstreams: {{a: {{scope: network}}}}\n\
         producers: {{make: {{from: {{generate: {{count: 3}}}}, to: a}}}}\n"
    );
    let manifest = write(folder.path(), "m.yaml", text);
    let done = up_uncached(folder.path(), &manifest).wait();
    assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
    for part in [
        "m.yaml:4:12",
        &format!("listen on {address}"),
        "another port",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
}
