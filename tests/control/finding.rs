//! Verbs find their node whatever leads to its manifest and its socket.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::support::{
    Done, Node,
    socket::{alone, ask},
    write,
};

const COUNT: &str = "mosaik: v1
streams: {s: {}}
producers: {count: {from: {generate: {rate: 5}}, to: s}}
consumers: {file: {from: s, to: {file: {path: out.jsonl}}}}
";

fn start(folder: &Path, args: &[&str], manifest: &Path) -> Node {
    let mut command = alone(folder);
    command.arg("up").args(args).arg(manifest);
    Node::spawn(command)
}

#[test]
fn a_node_is_found_after_the_links_to_its_manifest_have_moved() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (version, rate) in [("..1", "5"), ("..2", "6")] {
        fs::create_dir(folder.join(version)).unwrap();
        let text = COUNT.replace("rate: 5", &format!("rate: {rate}"));
        write(folder, &format!("{version}/m.yaml"), text);
    }
    symlink("..1", folder.join("..data")).unwrap();
    symlink("..data/m.yaml", folder.join("m.yaml")).unwrap();
    let manifest = folder.join("m.yaml");
    let node = start(folder, &[], &manifest);
    node.logged("generation 1 runs");
    symlink("..2", folder.join("next")).unwrap();
    fs::rename(folder.join("next"), folder.join("..data")).unwrap();
    fs::remove_dir_all(folder.join("..1")).unwrap();
    node.logged("generation 2");

    let given = manifest.to_str().unwrap();
    let second = start(folder, &[], &manifest).wait();
    assert_eq!(second.status.code(), Some(3), "{second:?}");
    assert!(second.stderr.contains("is already running"), "{second:?}");
    let real = folder.join("..2/m.yaml");
    for verb in [
        ["status", given],
        ["status", real.to_str().unwrap()],
        ["plan", given],
        ["reload", given],
        ["down", given],
    ] {
        let done = ask(folder, &verb);
        assert!(done.status.success(), "{verb:?}: {done:?}");
    }
    assert!(node.wait().status.success());
}

/// A verb in an environment without `XDG_RUNTIME_DIR`, whose temporary folder is `tmp`.
fn elsewhere(folder: &Path, tmp: &Path, args: &[&str]) -> Done {
    let mut command = alone(folder);
    command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", tmp);
    command.args(args);
    Node::spawn(command).wait()
}

#[test]
fn a_node_is_found_from_another_environment_or_the_searched_folders_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let tmp = folder.join("tmp");
    fs::create_dir(&tmp).unwrap();
    let manifest = write(folder, "m.yaml", COUNT);
    let given = manifest.to_str().unwrap();

    let mut command = alone(folder);
    command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", &tmp);
    let node = Node::spawn({
        command.arg("up").arg(&manifest);
        command
    });
    node.logged("generation 1 runs");
    let mut command = alone(folder);
    command.env("TMPDIR", &tmp).args(["status", given]);
    let found = Node::spawn(command).wait();
    assert!(found.status.success(), "{found:?}");
    let done = elsewhere(folder, &tmp, &["down", given]);
    assert!(done.status.success(), "{done:?}");
    assert!(node.wait().status.success());

    let nobody = elsewhere(folder, &tmp, &["status", given]);
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");
    let looked = format!("looked in {}/mosaik-runner-", tmp.display());
    assert!(nobody.stderr.contains(&looked), "{nobody:?}");
}

#[test]
fn a_long_path_of_the_runtime_folder_is_supported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let long = folder.join("long".repeat(30));
    fs::create_dir(&long).unwrap();
    let manifest = write(folder, "m.yaml", COUNT);
    let run = |args: &[&str]| {
        let mut command = alone(folder);
        command
            .env("XDG_RUNTIME_DIR", &long)
            .env("TMPDIR", folder)
            .args(args)
            .arg(&manifest);
        Node::spawn(command)
    };
    let node = run(&["up"]);
    node.logged("generation 1 runs");
    assert!(
        !node.stderr_now().contains("cannot reach this node"),
        "{}",
        node.stderr_now()
    );
    let second = run(&["up"]).wait();
    assert_eq!(second.status.code(), Some(3), "{second:?}");
    for verb in ["status", "down"] {
        let done = run(&[verb]).wait();
        assert!(done.status.success(), "{done:?}");
    }
    assert!(node.wait().status.success());
}
