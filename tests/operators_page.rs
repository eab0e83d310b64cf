//! Tests docs/operators.md literally: writes its files and runs its commands in an empty folder,
//! from `new operator` to the output of the pipeline.
//!
//! This requires a Rust toolchain that builds WebAssembly, and a network for crates that are not
//! yet in cargo's cache. If one is missing, the page cannot be tested: the test reports this and
//! passes, unless `MOSAIK_TEST_OPERATORS_PAGE` is set.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{
    Done, Node,
    page::{Part, parts},
    root, run,
    shell::shell,
};

/// Time limit for the commands of one block: 20 minutes. They build the standard library, possibly
/// on a busy machine.
const BLOCK_TIME_MAX: Duration = Duration::from_mins(20);

/// A step of a reader of the page, one per block.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Saves this file.
    File { path: PathBuf, text: String },
    /// Runs these commands.
    Commands(String),
    /// Expects this at the end of their output.
    Printed(String),
}

/// Returns the steps of a page: blocks of `sh`; blocks below a line that consists of a file's name
/// and a colon; blocks of `json` below a line that ends with "print" or "prints". All other blocks
/// are only for reading.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut above = "";
    for part in parts(page) {
        let (language, text) = match part {
            Part::Line(line) => {
                if !line.trim().is_empty() {
                    above = line;
                }
                continue;
            }
            Part::Block { info, text } => (info, text.to_owned()),
        };
        let file = above
            .strip_prefix('`')
            .and_then(|line| line.strip_suffix("`:"));
        if let Some(path) = file {
            let path = path.into();
            steps.push(Step::File { path, text });
        } else if language == "sh" {
            steps.push(Step::Commands(text));
        } else if language == "json" && (above.ends_with("print") || above.ends_with("prints")) {
            steps.push(Step::Printed(text));
        }
        above = "";
    }
    steps
}

/// Returns an empty folder. Its path is the same in each run, so that cargo recognizes its crates.
fn empty_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("operators-page");
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs commands in a shell, with a target folder that is kept between runs.
fn type_in(folder: &Path, commands: &str) -> Done {
    let mut shell = shell(folder, commands, BLOCK_TIME_MAX);
    shell.env(
        "CARGO_TARGET_DIR",
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("operators-page-target"),
    );
    Node::spawn(shell).wait_within(BLOCK_TIME_MAX + Duration::from_secs(20))
}

/// Returns the missing requirement if a command failed because of one.
fn missing(done: &Done) -> Option<&'static str> {
    let said = |text: &str| done.stderr.contains(text);
    if said("no Rust here builds for wasm32-unknown-unknown") {
        return Some("a Rust that builds WebAssembly");
    }
    (said("spurious network error") || said("failed to query replaced source registry"))
        .then_some("a network to fetch crates by")
}

#[test]
fn the_page_does_what_it_says() {
    let page = fs::read_to_string(root().join("docs/operators.md")).unwrap();
    let steps = steps(&page);
    let printed = steps.iter().filter(|step| matches!(step, Step::Printed(_)));
    assert_eq!(printed.count(), 4, "the page shows what it prints");
    let folder = empty_folder();
    let mut last = String::new();
    for step in steps {
        match step {
            Step::File { path, text } => fs::write(folder.join(path), text).unwrap(),
            Step::Commands(commands) => {
                let done = type_in(&folder, &commands);
                if let Some(missing) = missing(&done).filter(|_| !done.status.success()) {
                    let must = env::var_os("MOSAIK_TEST_OPERATORS_PAGE").is_some();
                    assert!(!must, "there is not {missing}:\n{}", done.stderr);
                    println!("docs/operators.md was not tried: there is not {missing}");
                    return;
                }
                assert!(done.status.success(), "{commands}\n{}", done.stderr);
                last = done.stdout;
            }
            Step::Printed(text) => assert!(
                last.ends_with(&text),
                "the page says\n{text}\nand there was\n{last}"
            ),
        }
    }
}

#[test]
fn the_steps_are_those_that_the_page_means() {
    let page = "text\n\n```sh\na\nb\n```\n\nIt prints\n\n```json\n1\n```\n`x/y.rs`:\n\n```rust\nfn\n```\n\n\
                For reading:\n```json\n2\n```\n`z` is\n```yaml\n3\n```\n";
    assert_eq!(
        steps(page),
        [
            Step::Commands("a\nb\n".to_owned()),
            Step::Printed("1\n".to_owned()),
            Step::File {
                path: "x/y.rs".into(),
                text: "fn\n".to_owned()
            },
        ]
    );
}

#[test]
fn the_page_names_every_command_that_there_is_for_operators() {
    let page = fs::read_to_string(root().join("docs/operators.md")).unwrap();
    for verb in [
        "new operator",
        "build",
        "check",
        "up",
        "inspect",
        "run-operator",
    ] {
        assert!(page.contains(&format!("mosaik-runner {verb} ")), "{verb}");
        let mut command: Vec<_> = verb.split(' ').collect();
        command.push("--help");
        assert!(run(command).status.success(), "{verb}");
    }
}
