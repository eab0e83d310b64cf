//! Tests of the command line.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use crate::support::{Node, root, run, runner, write};

const COUNT: &str = "mosaik: v1\nnetwork: cli\nstreams: {a: {}}\nproducers:\n  make: {from: {generate: {}}, to: a}\n\
                     consumers:\n  print: {from: a, to: {stdout: {}}}\n";

#[test]
fn every_verb_has_help_with_an_example() {
    let help = run(["--help"]);
    assert!(help.status.success());
    assert!(help.stdout.contains("Exit codes:"), "{}", help.stdout);
    for verb in [
        "up",
        "status",
        "top",
        "tap",
        "explain",
        "peers",
        "plan",
        "reload",
        "down",
        "check",
        "checkpoint",
        "graph",
        "new",
        "build",
        "run-operator",
        "inspect",
        "schema",
        "keygen",
        "completions",
    ] {
        assert!(help.stdout.contains(verb), "{verb} is not listed");
        let own = run([verb, "--help"]);
        assert!(
            own.stdout.contains("Example:\n  mosaik-runner "),
            "{verb}: {}",
            own.stdout
        );
    }
    let version = run(["--version"]).stdout;
    assert_eq!(
        version,
        format!("mosaik-runner {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn exit_codes_match_the_help() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(
        folder.path(),
        "good.yaml",
        COUNT.replace("generate: {}", "generate: {count: 3}"),
    );
    let bad = write(folder.path(), "bad.yaml", COUNT.replace("to: a}", "to: b}"));
    let code = |args: &[&std::ffi::OsStr]| run(args).status.code();
    assert_eq!(code(&["check".as_ref(), good.as_os_str()]), Some(0));
    assert_eq!(code(&["up".as_ref(), good.as_os_str()]), Some(0));
    assert_eq!(code(&["check".as_ref(), bad.as_os_str()]), Some(1));
    assert_eq!(code(&["up".as_ref(), bad.as_os_str()]), Some(1));
    assert_eq!(code(&["graph".as_ref(), bad.as_os_str()]), Some(1));
    assert_eq!(code(&["up".as_ref()]), Some(2));
    assert_eq!(code(&["no-such-verb".as_ref()]), Some(2));
    // `check` does not test file descriptors, because they differ between processes.
    let no_such_sink = COUNT.replace("stdout: {}", "file: {path: /dev/fd/none}");
    let cannot = write(folder.path(), "cannot.yaml", no_such_sink);
    assert_eq!(code(&["up".as_ref(), cannot.as_os_str()]), Some(3));
}

#[test]
fn the_graph_is_drawn_in_both_languages() {
    let manifest = root().join("manifests/quickstart.yaml");
    let mermaid = run(["graph".as_ref(), manifest.as_os_str()]).stdout;
    assert!(mermaid.starts_with("flowchart"), "{mermaid}");
    let dot = run([
        "graph".as_ref(),
        manifest.as_os_str(),
        "--format".as_ref(),
        "dot".as_ref(),
    ])
    .stdout;
    assert!(dot.starts_with("digraph"), "{dot}");
    for drawing in [mermaid, dot] {
        for name in [
            "stocks", "yearly", "tidy", "print", "prices", "averages", "report",
        ] {
            assert!(drawing.contains(name), "{name} is missing in {drawing}");
        }
    }
}

#[test]
fn a_key_can_be_kept_in_a_file_that_only_its_owner_reads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.key");
    let made = run(["keygen".as_ref(), "--out".as_ref(), file.as_os_str()]);
    assert!(made.status.success(), "{}", made.stderr);
    assert!(
        !made.stdout.contains("secret_key"),
        "the key was printed as well"
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_to_string(&file).unwrap().trim().len(), 64);
    let again = run(["keygen".as_ref(), "--out".as_ref(), file.as_os_str()]);
    assert_eq!(again.status.code(), Some(3), "a key was overwritten");
}

#[test]
fn completions_name_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(["completions", shell]).stdout;
        assert!(script.contains("keygen"), "{shell}");
    }
}

#[test]
fn a_json_log_is_json_to_the_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(
        folder.path(),
        "m.yaml",
        COUNT.replace("generate: {}", "generate: {count: 3}"),
    );
    let done = run([
        "--log".as_ref(),
        "json".as_ref(),
        "up".as_ref(),
        manifest.as_os_str(),
    ]);
    let events: Vec<serde_json::Value> = done
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(
        events
            .iter()
            .any(|event| event["message"] == "done" && event["dropped"] == 0),
        "{}",
        done.stderr
    );
    let bad = write(folder.path(), "bad.yaml", COUNT.replace("to: a}", "to: b}"));
    let done = run([
        "--log".as_ref(),
        "json".as_ref(),
        "check".as_ref(),
        bad.as_os_str(),
    ]);
    let first: serde_json::Value =
        serde_json::from_str(done.stderr.lines().next().unwrap()).unwrap();
    assert_eq!(
        (first["line"].as_u64(), first["level"].as_str()),
        (Some(5), Some("ERROR")),
        "{first}"
    );
}

#[test]
fn quiet_is_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(
        folder.path(),
        "m.yaml",
        COUNT.replace("generate: {}", "generate: {count: 3}"),
    );
    let done = run(["-q".as_ref(), "up".as_ref(), manifest.as_os_str()]);
    assert_eq!(done.stderr, "");
    assert_eq!(done.stdout.lines().count(), 3);
}

#[test]
fn a_closed_stdout_ends_the_node_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(folder.path(), "m.yaml", COUNT);
    let mut child = runner()
        .arg("up")
        .arg(manifest)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("\"seq\":0"));
    drop(lines);
    let mut status = None;
    crate::support::eventually("the node has ended", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success(), "{status:?}");
}

#[test]
fn standard_input_is_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(
        folder.path(),
        "m.yaml",
        COUNT.replace("generate: {}", "stdin: {format: jsonl}"),
    );
    let input = write(folder.path(), "in.jsonl", "{\"a\":1}\n\n{\"a\":2}");
    let done = runner()
        .arg("up")
        .arg(manifest)
        .stdin(fs::File::open(input).unwrap())
        .output()
        .unwrap();
    assert!(done.status.success());
    assert_eq!(
        String::from_utf8_lossy(&done.stdout),
        "{\"a\":1}\n{\"a\":2}\n"
    );
}

#[test]
fn only_nodes_with_shared_streams_listen_and_log_their_identity() {
    let folder = tempfile::tempdir().unwrap();
    let shared = COUNT
        .replace("{a: {}}", "{a: {scope: network}}")
        .replace("generate: {}", "generate: {rate: 1}");
    let node = Node::up(&write(folder.path(), "shared.yaml", &shared));
    let line = node.logged("listens on");
    assert!(line.contains("127.0.0.1:"), "{line}");
    let private = Node::up(&write(
        folder.path(),
        "private.yaml",
        shared.replace("{scope: network}", "{}"),
    ));
    private.logged("generation 1");
    assert!(!private.stderr_now().contains("listens on"));
    let sockets = |node: &Node| {
        let fds = fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap();
        let links = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        let udp = fs::read_to_string(format!("/proc/{}/net/udp", node.pid())).unwrap();
        links
            .filter_map(|link| {
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')
                    .map(str::to_owned)
            })
            .filter(|inode| udp.split_whitespace().any(|word| word == inode))
            .count()
    };
    assert_eq!(sockets(&node), 1);
    assert_eq!(sockets(&private), 0);
}

#[test]
fn values_of_the_environment_reach_operators_but_no_output() {
    let folder = tempfile::tempdir().unwrap();
    let operator = "operators:\n  add: {wasm: 'builtin:jq', from: a, to: b, config: {filter: '.seq + ${env:ADDEND}'}}\n";
    let text = COUNT
        .replace("generate: {}", "generate: {count: 2}")
        .replace("{a: {}}", "{a: {}, b: {}}")
        .replace("from: a, to: {stdout", "from: b, to: {stdout")
        .replace("consumers:\n", &format!("{operator}consumers:\n"));
    let mut command = runner();
    command
        .args(["-vv", "up"])
        .arg(write(folder.path(), "m.yaml", text))
        .env("ADDEND", "76543");
    let done = Node::spawn(command).wait();
    assert_eq!(done.stdout, "76543\n76544\n", "{}", done.stderr);
    assert!(!done.stderr.contains("76543"), "{}", done.stderr);
}

#[test]
fn values_of_the_environment_are_masked_in_reasons_of_operators() {
    let folder = tempfile::tempdir().unwrap();
    let text = "mosaik: v1
streams: {a: {}, b: {}, rejected: {}}
producers: {count: {from: {generate: {count: 1}}, to: a}}
operators:
  throw:
    wasm: builtin:jq
    from: a
    to: b
    config: {filter: 'error(\"no \" + \"${env:TOKEN}\")'}
    on_error: {to: rejected}
  lookup:
    wasm: builtin:dedupe
    from: a
    to: b
    config: {by: '${env:TOKEN}'}
    on_error: stop
consumers:
  out: {from: b, to: {stdout: {}}}
  bad: {from: rejected, to: {stdout: {}}}
";
    let mut command = runner();
    command
        .args(["-vv", "up"])
        .arg(write(folder.path(), "m.yaml", text))
        .env("TOKEN", "topsecret");
    let done = Node::spawn(command).wait();
    assert!(done.stdout.contains("no ***"), "{done:?}");
    assert!(done.stderr.contains("***"), "{done:?}");
    for shown in [&done.stdout, &done.stderr] {
        assert!(!shown.contains("topsecret"), "{shown}");
    }
    // Values from the environment are also masked in paths, whether or not the file can be opened.
    let text = "mosaik: v1
streams: {a: {}}
producers: {count: {from: {generate: {count: 1}}, to: a}}
consumers: {out: {from: a, to: {file: {path: '/dev/fd/${env:TOKEN}'}}}}
";
    let mut command = runner();
    command
        .arg("up")
        .arg(write(folder.path(), "m.yaml", text))
        .env("TOKEN", "topsecret");
    let done = Node::spawn(command).wait();
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    for shown in ["/dev/fd/***", "m.yaml:4:"] {
        assert!(done.stderr.contains(shown), "{shown}: {done:?}");
    }
    assert!(!done.stderr.contains("topsecret"), "{done:?}");
}

#[test]
fn verbs_have_common_aliases() {
    let folder = tempfile::tempdir().unwrap();
    let text = "mosaik: v1
streams: {a: {}}
producers: {count: {from: {generate: {count: 1}}, to: a}}
consumers: {out: {from: a, to: {stdout: {}}}}
";
    let manifest = write(folder.path(), "m.yaml", text);
    for verb in ["run", "up", "check", "validate", "lint"] {
        let done = run([verb, manifest.to_str().unwrap()]);
        assert!(done.status.success(), "{verb}: {done:?}");
        assert_eq!(done.stdout.is_empty(), !["run", "up"].contains(&verb));
    }
}
