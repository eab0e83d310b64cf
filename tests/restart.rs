//! Tests changes that require a restart: they are refused, unless the node was started with
//! `--allow-restart`.

use std::{fs, net::UdpSocket};

use crate::support::socket::{Desk, ask, up};
use crate::support::{eventually, free_ports, write};

#[test]
fn a_restart_is_done_where_it_is_allowed_and_undone_where_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [first, second] = free_ports();
    let text = |port: u16| {
        format!(
            "mosaik: v1\nnetwork: restart-test\nnode: {{listen: ['127.0.0.1:{port}']}}\nstreams: {{raw: {{}}, out: {{scope: network}}}}\n\
             producers: {{count: {{from: {{generate: {{rate: 1000}}}}, to: raw}}}}\n\
             operators: {{pass: {{wasm: 'builtin:jq', from: raw, to: out, config: {{filter: .}}}}}}\n\
             consumers: {{file: {{from: out, to: {{file: {{path: out.jsonl}}}}}}}}\n"
        )
    };
    let manifest = write(folder, "m.yaml", text(first));
    let strict = up(folder, &["--no-watch"], &manifest);
    fs::write(&manifest, text(second)).unwrap();
    let plan = ask(folder, &["plan", manifest.to_str().unwrap()]).stdout;
    assert!(
        plan.contains("restart  node: the listen address changes"),
        "{plan}"
    );
    assert!(plan.contains("--allow-restart"), "{plan}");
    let refused = ask(folder, &["reload"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("a restart is needed"),
        "{refused:?}"
    );
    drop(strict);

    fs::write(&manifest, text(first)).unwrap();
    let node = up(folder, &["--no-watch", "--allow-restart"], &manifest);
    let mut desk = Desk::of(folder);
    // The stages are listed in the order of the graph's roles: the consumer is the last.
    let written = |desk: &mut Desk| desk.status()["stages"][2]["datums_out"].as_u64().unwrap();
    eventually("datums flow", || written(&mut desk) > 50);
    fs::write(&manifest, text(second)).unwrap();
    let (reload, _) = desk.reload();
    assert_eq!(reload["outcome"], "applied", "{reload}");
    assert_eq!(reload["steps"][0]["change"], "restart", "{reload}");
    let status = desk.status();
    assert_eq!(status["generation"], 2);
    assert_eq!(status["listens"][0], format!("127.0.0.1:{second}"));
    let at = written(&mut desk);
    assert!(at > 50, "counters go on");
    eventually("datums flow again", || written(&mut desk) > at + 50);

    // An address that is already in use.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    fs::write(&manifest, text(taken.local_addr().unwrap().port())).unwrap();
    let (reload, _) = desk.reload();
    assert_eq!(reload["outcome"], "refused", "{reload}");
    let status = desk.status();
    assert_eq!(status["generation"], 2);
    assert_eq!(status["listens"][0], format!("127.0.0.1:{second}"));
    let at = written(&mut desk);
    eventually("datums flow once more", || written(&mut desk) > at + 50);
    assert!(ask(folder, &["down"]).status.success());
    let done = node.wait();
    assert!(done.status.success(), "{done:?}");
}
