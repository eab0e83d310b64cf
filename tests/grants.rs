//! Tests that an operator receives exactly the grants of its manifest, also after reloads, and that
//! `check` reports missing ones.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, io::Write as _, path::Path};

use crate::support::{Node, guest::Guest, runner, write};

/// Returns a guest that answers each record with the names and values of its environment.
fn component() -> Vec<u8> {
    let process = "(local $at i32) (local $end i32) (local $to i32) (local $size i32)
        (call $environment (i32.const 2048))
        (local.set $at (i32.load (i32.const 2048)))
        (local.set $end (i32.add (local.get $at) (i32.shl (i32.load (i32.const 2052)) (i32.const 4))))
        (local.set $to (i32.const 40960))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
            (local.set $size (i32.load offset=4 (local.get $at)))
            (i32.store (local.get $to) (i32.shl (local.get $size) (i32.const 24)))
            (memory.copy (i32.add (local.get $to) (i32.const 4)) (i32.load (local.get $at)) (local.get $size))
            (local.set $to (i32.add (local.get $to) (i32.add (local.get $size) (i32.const 4))))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br $next)))
        (call $answer (i32.const 0) (i32.const 40960) (i32.sub (local.get $to) (i32.const 40960)) (i32.const 0))";
    Guest {
        process,
        imports: &[[
            "wasi:cli/environment@0.2.0",
            "get-environment",
            "$environment",
            "(param i32)",
        ]],
        ..Guest::default()
    }
    .component()
}

/// Writes a manifest in which that guest answers each line of a followed file.
fn manifest(folder: &Path, allow: &str) -> std::path::PathBuf {
    let text = format!(
        "mosaik: v1\nstreams: {{a: {{}}, b: {{encoding: text}}}}\n\
         producers:\n  lines: {{from: {{file: {{path: in.txt, follow: true}}}}, to: a}}\n\
         operators:\n  tell: {{wasm: tell.wasm, from: a, to: b, limits: {{time: 5s}}{allow}}}\n\
         consumers:\n  print: {{from: b, to: {{stdout: {{}}}}}}\n"
    );
    write(folder, "m.yaml", text)
}

fn line(folder: &Path) {
    let path = folder.join("in.txt");
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    writeln!(file, "x").unwrap();
}

#[test]
fn grants_can_change_in_a_running_node() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "tell.wasm", component());
    write(folder.path(), "in.txt", "");
    let path = manifest(folder.path(), ", allow: {env: [MOSAIK_REGION]}");
    let mut command = runner();
    command
        .arg("up")
        .arg(&path)
        .env("MOSAIK_REGION", "eu-west")
        .env("MOSAIK_TOKEN", "hunter2");
    let node = Node::spawn(command);
    node.logged("generation 1");
    line(folder.path());
    assert_eq!(node.stdout_lines(2), ["MOSAIK_REGION", "eu-west"]);

    manifest(folder.path(), ", allow: {env: [MOSAIK_TOKEN]}");
    node.logged("generation 2");
    assert!(node.stderr_now().contains("swap"), "{}", node.stderr_now());
    line(folder.path());
    assert_eq!(node.stdout_lines(4)[2..], ["MOSAIK_TOKEN", "hunter2"]);

    // Without the grant, its import is an error: the manifest does not take effect.
    manifest(folder.path(), "");
    node.logged("give the operator `allow: {wasi: true}`");
    line(folder.path());
    assert_eq!(node.stdout_lines(6)[4..], ["MOSAIK_TOKEN", "hunter2"]);

    // Its code is linked again for the new grants.
    manifest(folder.path(), ", allow: {wasi: true, random: true}");
    node.logged("generation 3");
    assert!(!node.stderr_now().contains("hunter2"));
    node.signal(rustix::process::Signal::TERM);
    let done = node.wait();
    assert!(done.status.success(), "{}", done.stderr);
}
