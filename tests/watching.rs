//! Tests the changes that make a running node reload: each way to replace a manifest, or a text
//! file that it includes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use crate::support::socket::up;
use crate::support::{Node, write};

const MANIFEST: &str = "mosaik: v1
streams: {raw: {}, marked: {}}
producers: {count: {from: {generate: {rate: 200}}, to: raw}}
operators: {mark: {wasm: 'builtin:jq', from: raw, to: marked, config: {filter: '.mark = 1'}}}
consumers: {file: {from: marked, to: {stdout: {}}}}
";

/// Waits until the operator that writes this mark runs.
fn marks(node: &Node, mark: u32) {
    let wanted = format!("\"mark\":{mark}}}");
    node.stdout_line(&wanted, |line| line.ends_with(&wanted));
}

fn marked(mark: u32) -> String {
    MANIFEST.replace(".mark = 1", &format!(".mark = {mark}"))
}

/// Stops the node, which must have lost and duplicated no records.
fn lost_nothing(node: Node) {
    let done = node.interrupt();
    assert!(
        done.stderr.contains("nothing was dropped"),
        "{}",
        done.stderr
    );
    for (seq, line) in done.stdout.lines().enumerate() {
        assert!(
            line.starts_with(&format!("{{\"seq\":{seq},")),
            "line {seq} is {line}"
        );
    }
}

#[test]
fn editors_write_in_place_rename_over_and_go_through_links() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let real = folder.join("real");
    fs::create_dir(&real).unwrap();
    write(&real, "m.yaml", MANIFEST);
    let manifest = folder.join("m.yaml");
    symlink("real/m.yaml", &manifest).unwrap();
    let node = up(folder, &[], &manifest);
    marks(&node, 1);
    // In place, through the link.
    write(folder, "m.yaml", marked(2));
    marks(&node, 2);
    // Another file at the target of the link.
    write(&real, "m.new", marked(3));
    fs::rename(real.join("m.new"), real.join("m.yaml")).unwrap();
    marks(&node, 3);
    // A link to another file in place of the link.
    write(&real, "other.yaml", marked(4));
    symlink("real/other.yaml", folder.join("m.link")).unwrap();
    fs::rename(folder.join("m.link"), &manifest).unwrap();
    marks(&node, 4);
    // Half of the file first, and the rest later.
    write(folder, "m.yaml", &marked(5)[..40]);
    node.logged("m.yaml:");
    write(folder, "m.yaml", marked(5));
    marks(&node, 5);
    lost_nothing(node);
}

/// Writes a folder in the layout of a Kubernetes volume: `m.yaml` → `..data/m.yaml`, `..data` →
/// `..N`.
fn publish(volume: &Path, version: u32, files: &[(&str, &str)]) {
    let inner = format!("..{version}");
    fs::create_dir(volume.join(&inner)).unwrap();
    for (name, text) in files {
        write(&volume.join(&inner), name, text);
    }
    symlink(&inner, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if version > 1 {
        fs::remove_dir_all(volume.join(format!("..{}", version - 1))).unwrap();
    }
}

#[test]
fn a_volume_of_kubernetes_is_followed_from_version_to_version() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let volume = folder.join("volume");
    fs::create_dir(&volume).unwrap();
    let manifest = MANIFEST.replace("'.mark = 1'", "\"${file:filter.jq}\"");
    let files = |mark: u32| format!(".mark = {mark}");
    publish(
        &volume,
        1,
        &[("m.yaml", &manifest), ("filter.jq", &files(1))],
    );
    for name in ["m.yaml", "filter.jq"] {
        symlink(Path::new("..data").join(name), volume.join(name)).unwrap();
    }
    let node = up(folder, &[], &volume.join("m.yaml"));
    marks(&node, 1);
    for version in 2..5 {
        publish(
            &volume,
            version,
            &[("m.yaml", &manifest), ("filter.jq", &files(version))],
        );
        marks(&node, version);
    }
    // A missing value changes nothing, and a value that reappears is used.
    publish(&volume, 5, &[("m.yaml", &manifest)]);
    node.logged("filter.jq");
    publish(
        &volume,
        6,
        &[("m.yaml", &manifest), ("filter.jq", &files(6))],
    );
    marks(&node, 6);
    lost_nothing(node);
}

#[test]
fn an_unreadable_manifest_is_loaded_once_it_is_readable() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let inner = folder.join("config");
    fs::create_dir(&inner).unwrap();
    let manifest = write(&inner, "m.yaml", MANIFEST);
    let node = up(folder, &[], &manifest);
    // The whole folder is removed, and another one replaces it.
    let away = folder.join("away");
    fs::rename(&inner, &away).unwrap();
    node.logged("the manifest cannot be read");
    write(&away, "m.yaml", MANIFEST.replace(".mark = 1", ".mark = 2"));
    fs::rename(&away, &inner).unwrap();
    node.logged("generation 2: ");
    // An unreadable file is no reason to stop, either.
    if rustix::process::geteuid().is_root() {
        return;
    }
    fs::set_permissions(&manifest, fs::Permissions::from_mode(0o000)).unwrap();
    node.logged_times("the manifest cannot be read", 2);
}
