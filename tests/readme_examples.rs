//! Runs the manifests in the READMEs of the built-in operators literally, and compares the output
//! with the text.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use crate::support::{
    Node,
    page::{Part, parts},
    root, write,
};
use mosaik_runner::components::BUILTINS;

/// Runs the manifest of a README, the block that starts with `mosaik: v1`. A block with a file's
/// name after its language is an input file, or the expected contents if the manifest writes to
/// that file. The printed output must equal the block `output`.
struct Example {
    printed: Vec<String>,
    expected: Vec<String>,
    stderr: String,
}

impl Example {
    #[track_caller]
    fn run(operator: &str) -> Self {
        let readme = root().join("operators").join(operator).join("README.md");
        let readme = fs::read_to_string(readme).unwrap();
        let (mut manifest, mut expected, mut files) = (None, None, Vec::new());
        for part in parts(&readme) {
            let Part::Block { info, text } = part else {
                continue;
            };
            match info.split_once(' ') {
                Some((_, "output")) => expected = Some(text.lines().map(str::to_owned).collect()),
                Some((_, name)) => files.push((name, text)),
                None if text.starts_with("mosaik: v1\n") => manifest = Some(text),
                None => {}
            }
        }
        let manifest = manifest.expect("the README shows a manifest");
        let folder = tempfile::tempdir().unwrap();
        let is_written = |name: &str| manifest.contains(&format!("to: {{file: {{path: {name}}}}}"));
        let (written, read): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(name, _)| is_written(name));
        for (name, text) in read {
            write(folder.path(), name, text);
        }
        let done = Node::up(&write(folder.path(), "mosaik.yaml", manifest)).wait();
        assert!(done.status.success(), "{}", done.stderr);
        assert!(!done.stderr.contains("warning: "), "{}", done.stderr);
        for (name, text) in written {
            let found = fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(found, text, "{name}: {}", done.stderr);
        }
        Self {
            printed: done.stdout.lines().map(str::to_owned).collect(),
            expected: expected.expect("the README says what is printed"),
            stderr: done.stderr,
        }
    }

    /// Asserts that the lines were printed in this order.
    #[track_caller]
    fn prints_in_order(&self) {
        assert_eq!(self.printed, self.expected, "{}", self.stderr);
    }

    /// Asserts that the lines were printed in any order, because the order depends on which file is
    /// read first.
    #[track_caller]
    fn prints_in_any_order(mut self) {
        self.printed.sort();
        self.expected.sort();
        self.prints_in_order();
    }
}

#[test]
fn examples_of_built_in_operators_give_the_documented_output() {
    for (name, _) in BUILTINS {
        let example = Example::run(name);
        match *name {
            "join" => example.prints_in_any_order(),
            _ => example.prints_in_order(),
        }
    }
}
