//! The manifests that the built-in operators' READMEs show, run as they stand there: what they say is printed is what
//! is printed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use support::{Node, root, write};

/// Runs the manifest of a README, the block that starts with `mosaik: v1`. Beside it lie the blocks that have a file's name
/// behind their language; what it prints must be the block `output`.
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
        let folder = tempfile::tempdir().unwrap();
        let (mut manifest, mut expected) = (None, None);
        for block in readme.split("```").skip(1).step_by(2) {
            let (info, text) = block.split_once('\n').unwrap();
            match info.split_once(' ') {
                Some((_, "output")) => expected = Some(text.lines().map(str::to_owned).collect()),
                Some((_, name)) => drop(write(folder.path(), name, text)),
                None if text.starts_with("mosaik: v1\n") => {
                    manifest = Some(write(folder.path(), "mosaik.yaml", text));
                }
                None => {}
            }
        }
        let done = Node::up(&manifest.expect("the README shows a manifest")).wait();
        assert!(done.status.success(), "{}", done.stderr);
        Self {
            printed: done.stdout.lines().map(str::to_owned).collect(),
            expected: expected.expect("the README says what is printed"),
            stderr: done.stderr,
        }
    }

    /// The lines as they are, in their order.
    #[track_caller]
    fn prints_in_order(&self) {
        assert_eq!(self.printed, self.expected, "{}", self.stderr);
    }

    /// The lines in any order, where that depends on which file is read first.
    #[track_caller]
    fn prints_in_any_order(mut self) {
        self.printed.sort();
        self.expected.sort();
        self.prints_in_order();
    }
}

#[test]
fn enrich() {
    Example::run("enrich").prints_in_order();
}

#[test]
fn join() {
    Example::run("join").prints_in_any_order();
}

#[test]
fn window() {
    Example::run("window").prints_in_order();
}
