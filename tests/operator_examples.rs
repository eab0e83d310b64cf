//! The manifests in the READMEs of the operators, as they stand there: each is run to its end and leaves what its README says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use support::{Node, root, write};

/// A block of code: what stands behind its language, and its text.
struct Block {
    title: String,
    text: String,
}

fn blocks(readme: &str) -> Vec<Block> {
    let inside = readme.split("```").skip(1).step_by(2);
    let block = |inside: &str| {
        let (info, text) = inside.split_once('\n').unwrap();
        let title = info.split_once(' ').map_or("", |(_, title)| title);
        Block {
            title: title.to_owned(),
            text: text.to_owned(),
        }
    };
    inside.map(block).collect()
}

/// The READMEs that have a manifest, with their operator's name.
fn readmes() -> Vec<(String, Vec<Block>)> {
    let folders = fs::read_dir(root().join("operators")).unwrap();
    let readme = |folder: PathBuf| {
        let text = fs::read_to_string(folder.join("README.md")).ok()?;
        let name = folder.file_name()?.to_str()?.to_owned();
        let blocks = blocks(&text);
        let has_manifest = blocks.iter().any(|block| block.title == "manifest");
        has_manifest.then_some((name, blocks))
    };
    folders
        .filter_map(|folder| readme(folder.unwrap().path()))
        .collect()
}

/// Runs the manifest beside the files that are shown before it; what is shown after it is what must be there in the end.
fn run_example(name: &str, blocks: &[Block], folder: &Path) {
    let at = blocks.iter().position(|block| block.title == "manifest");
    let (before, rest) = blocks.split_at(at.unwrap());
    let manifest = &rest[0].text;
    assert!(manifest.contains(&format!("builtin:{name}")), "{manifest}");
    for file in before.iter().filter(|block| !block.title.is_empty()) {
        write(folder, &file.title, &file.text);
    }
    let done = Node::up(&write(folder, "mosaik.yaml", manifest)).wait();
    assert!(done.status.success(), "{name}: {}", done.stderr);
    let mut compared = 0;
    for block in rest[1..].iter().filter(|block| !block.title.is_empty()) {
        let came = match block.title.as_str() {
            "stdout" => done.stdout.clone(),
            file => fs::read_to_string(folder.join(file)).unwrap(),
        };
        assert_eq!(came, block.text, "{name}: {}", block.title);
        compared += 1;
    }
    assert!(compared > 0, "{name} says nothing of what comes out");
}

#[test]
fn every_readme_with_a_manifest_tells_the_truth() {
    let readmes = readmes();
    for name in ["dedupe", "sample", "split"] {
        assert!(readmes.iter().any(|(with, _)| with == name), "{name}");
    }
    for (name, blocks) in &readmes {
        run_example(name, blocks, tempfile::tempdir().unwrap().path());
    }
}
