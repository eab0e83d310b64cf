//! Tests the operators in other languages, `operators/examples`: builds them with their own scripts
//! and runs their own manifests.
//!
//! This requires compilers that not every machine has. If one is missing, its operator cannot be
//! built: the test reports this and passes, unless `MOSAIK_TEST_LANGUAGES` names the language
//! (`c,javascript`) or is `1`, for all of them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::support::{Done, Node, root, run_with_stdin};
use serde_json::{Value, json};

/// Time limit for the first start of a component with a language runtime: 5 minutes, to compile
/// 12 MB.
const START_MAX: Duration = Duration::from_mins(5);

/// The exit code of a build script when a required tool is missing.
const MISSING: i32 = 3;

/// A built example in its own folder.
struct Example {
    folder: tempfile::TempDir,
    operator: PathBuf,
}

impl Example {
    /// Returns `None` if the language's tools are missing and not required.
    fn build(language: &str, operator: &str) -> Option<Self> {
        let source = root().join("operators/examples").join(language);
        let folder = tempfile::tempdir().unwrap();
        copy(&source, folder.path());
        let operator = folder.path().join(operator);
        let built = Command::new("sh")
            .arg(source.join("build.sh"))
            .arg(&operator)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        let required = env::var("MOSAIK_TEST_LANGUAGES").unwrap_or_default();
        let is_required = required == "1" || required.split(',').any(|name| name == language);
        if built.status.code() == Some(MISSING) && !is_required {
            eprintln!("skipped: {said}");
            return None;
        }
        assert!(built.status.success(), "{said}");
        Some(Self { folder, operator })
    }

    fn up(&self) -> Done {
        let done = Node::up(&self.folder.path().join("manifest.yaml")).wait_within(START_MAX);
        assert!(done.status.success(), "{}", done.stderr);
        done
    }

    /// Runs it on lines of text. Returns its output and the exit code.
    fn run(&self, input: &str, more: &[&str]) -> (Vec<Value>, Option<i32>) {
        let operator = self.operator.to_str().unwrap();
        let verb = ["run-operator", operator, "--encoding", "in=text"];
        let done = run_with_stdin(verb.iter().chain(more), input);
        let lines = done
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        (lines.collect(), done.status.code())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = {
            let name = entry.unwrap().file_name();
            (from.join(&name), to.join(&name))
        };
        if from.is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

#[test]
fn c() {
    let Some(example) = Example::build("c", "anomaly.wasm") else {
        return;
    };
    let done = example.up();
    assert_eq!(
        done.stdout.lines().collect::<Vec<_>>(),
        [
            r#"{"value":48.9,"number":97,"mean":5.291666667,"deviation":3.248859449}"#,
            r#"{"value":-39,"number":251,"mean":12.608,"deviation":7.082084416}"#,
        ]
    );
    assert!(done.stderr.contains("2 rejected"), "{}", done.stderr);
    let reason = "`n/a` is not a number";
    assert!(done.stderr.contains(reason), "{}", done.stderr);

    // The learned state passes from one instance to the next: 6 is far from those values, but would
    // be close without them.
    let state = example.path("state");
    let learnt = ["--save-state", &state];
    let numbers = "1\n1.1\n0.9\n1\n1\n1.2\n0.8\n1\n1\nx\n1\n";
    assert_eq!(example.run(numbers, &learnt), (Vec::new(), Some(4)));
    let (outliers, code) = example.run("6\n", &["--state", &state]);
    assert_eq!((outliers.len(), code), (1, Some(0)), "{outliers:?}");
    assert_eq!(outliers[0]["number"], json!(11));
    assert_eq!(example.run("6\n", &[]), (Vec::new(), Some(0)));
    let refused = example.run("", &["--config", r#"{"warm_up":1}"#]);
    assert_eq!(refused, (Vec::new(), Some(1)));
}

#[test]
fn javascript() {
    let Some(example) = Example::build("javascript", "lines.wasm") else {
        return;
    };
    let done = example.up();
    assert_eq!(
        done.stdout.lines().collect::<Vec<_>>(),
        [
            "1001  Ada Rocha (PT)  2 × A17 at 9.50",
            "1001  Ada Rocha (PT)  1 × C03 at 120.00",
            "1002  Bo Lind (SE)  10 × B44 at 0.99",
            "1005  Émile Noël (FR)  3 × C03 at 119.25",
        ]
    );
    assert!(done.stderr.contains("1 rejected"), "{}", done.stderr);
    let reason = "there is no `price`";
    assert!(done.stderr.contains(reason), "{}", done.stderr);
}
