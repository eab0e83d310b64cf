//! Tests the pages in docs/start and docs/guides: writes their files, runs their commands, and
//! compares the output with the text.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use crate::support::{
    Node, free_ports,
    page::{Part, parts},
    root,
    shell::shell,
};

/// Time limit for all commands of a page: 3 minutes.
const PAGE_TIME_MAX: Duration = Duration::from_mins(3);

/// A step of a reader of the page.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Saves a file: a block with a file's name after its language.
    File { name: String, text: String },
    /// Runs commands that end with this exit code: a block `sh run` or `sh run code=N`.
    Commands { text: String, code: u8 },
    /// Expects exactly this on stdout of the previous commands: a block `… output`.
    Output(String),
    /// Expects this in the log so far: a block `… stderr`.
    Stderr(String),
    /// Waits until the log contains this: a comment `<!-- wait: TEXT -->`.
    Logged(String),
    /// Waits until a file contains this: a comment `<!-- wait-file: FILE TEXT -->`.
    Written { file: String, text: String },
}

/// Returns the step of a line that is a comment.
fn waited_for(line: &str) -> Option<Step> {
    let comment = |prefix: &str| line.strip_prefix(prefix)?.strip_suffix(" -->");
    if let Some(text) = comment("<!-- wait: ") {
        return Some(Step::Logged(text.to_owned()));
    }
    let (file, text) = comment("<!-- wait-file: ")?.split_once(' ')?;
    let (file, text) = (file.to_owned(), text.to_owned());
    Some(Step::Written { file, text })
}

/// Returns the steps of a page. Blocks with only a language are not run.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in parts(page) {
        let (info, text) = match part {
            Part::Line(line) => {
                steps.extend(waited_for(line));
                continue;
            }
            Part::Block { info, text } => (info, text.to_owned()),
        };
        let mut words = info.split(' ').skip(1);
        steps.push(match words.next() {
            None => continue,
            Some("run") => {
                let code = words.next().map_or(0, |word| {
                    word.strip_prefix("code=").unwrap().parse().unwrap()
                });
                Step::Commands { text, code }
            }
            Some("output") => Step::Output(text),
            Some("stderr") => Step::Stderr(text),
            Some(name) => {
                let name = name.to_owned();
                Step::File { name, text }
            }
        });
    }
    steps
}

/// Returns one script for all steps, so that a node that one block starts in the background is
/// available to the next. Each block writes to its own files, `out.N` and `err.N`.
fn script(folder: &Path, steps: &[Step]) -> String {
    let wait = |text: &str, files: &str| {
        let text = text.replace('\'', r"'\''");
        format!("until grep -qF '{text}' {files} 2>/dev/null; do sleep 0.02; done\n")
    };
    let mut script = "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n".to_owned();
    let mut block = 0;
    for step in steps {
        match step {
            Step::File { name, text } => fs::write(folder.join(name), text).unwrap(),
            Step::Commands { text, code } => {
                block += 1;
                let files = format!("> out.{block} 2> err.{block}");
                match code {
                    0 => writeln!(script, "{{\n{text}}} {files}"),
                    // The script ends with the command that fails.
                    _ => writeln!(
                        script,
                        "code=0\n(\n{text}) {files} || code=$?\n[ $code = {code} ]"
                    ),
                }
                .unwrap();
            }
            Step::Logged(text) => script.push_str(&wait(text, "err.*")),
            Step::Written { file, text } => script.push_str(&wait(text, file)),
            Step::Output(_) | Step::Stderr(_) => {}
        }
    }
    script
}

/// Copies a folder, for pages that use the examples and change them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry
            .map(|entry| (entry.path(), entry.file_name()))
            .unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Replaces the ports of the manifests below a folder.
fn move_to_ports(folder: &Path, free: [u16; 3]) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            move_to_ports(&path, free);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let mut text = fs::read_to_string(&path).unwrap();
            for (port, free) in [4431, 4432, 4433].into_iter().zip(free) {
                text = text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"));
            }
            fs::write(path, text).unwrap();
        }
    }
}

/// Performs the steps of a page.
#[track_caller]
fn follow(page: &str) {
    let steps = steps(&fs::read_to_string(root().join("docs").join(page)).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    copy(&root().join("manifests"), &folder.join("manifests"));
    let script = script(folder, &steps);
    move_to_ports(folder, free_ports());
    // The path of a control socket has to be short.
    let runtime = tempfile::tempdir_in("/tmp").unwrap();
    let mut command = shell(folder, &script, PAGE_TIME_MAX);
    command.env("XDG_RUNTIME_DIR", runtime.path());
    let done = Node::spawn(command).wait_within(PAGE_TIME_MAX + Duration::from_secs(20));
    let written = |name: &str, block: usize| {
        fs::read_to_string(folder.join(format!("{name}.{block}"))).unwrap_or_default()
    };
    let mut block = 0;
    let log = |last: usize| -> String { (1..=last).map(|block| written("err", block)).collect() };
    let blocks = steps
        .iter()
        .filter(|step| matches!(step, Step::Commands { .. }))
        .count();
    assert!(
        done.status.success(),
        "{page}: {}{}",
        done.stderr,
        log(blocks)
    );
    for step in &steps {
        match step {
            Step::Commands { .. } => block += 1,
            Step::Output(text) => assert_eq!(&written("out", block), text, "{page}, block {block}"),
            Step::Stderr(text) => {
                let log = log(block);
                for line in text.lines() {
                    assert!(
                        log.contains(line),
                        "{page} shows `{line}`; there was\n{log}"
                    );
                }
            }
            _ => {}
        }
    }
}

/// Returns the pages of a folder.
fn pages(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join("docs").join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    paths.map(|name| format!("{folder}/{name}")).collect()
}

#[test]
fn the_quick_start_does_what_it_shows() {
    follow("start/quick-start.md");
}

#[test]
fn editing_a_running_node_does_what_the_page_shows() {
    follow("start/edit-live.md");
}

#[test]
fn the_two_nodes_do_what_the_page_shows() {
    follow("start/two-nodes.md");
}

#[test]
fn an_access_log_is_counted_as_the_page_shows() {
    follow("guides/access-log.md");
}

#[test]
fn two_files_are_joined_as_the_page_shows() {
    follow("guides/join-files.md");
}

#[test]
fn an_edge_sends_to_a_hub_as_the_page_shows() {
    follow("guides/edge-to-hub.md");
}

#[test]
fn a_service_keeps_over_a_restart_what_the_page_says() {
    follow("guides/service.md");
}

#[test]
fn files_are_read_as_the_page_shows() {
    follow("guides/files.md");
}

#[test]
fn an_operator_is_tried_as_the_page_shows() {
    follow("guides/run-operator.md");
}

#[test]
fn every_page_with_commands_to_run_is_followed() {
    let own = fs::read_to_string(root().join("tests/guides.rs")).unwrap();
    for page in pages("start").into_iter().chain(pages("guides")) {
        let text = fs::read_to_string(root().join("docs").join(&page)).unwrap();
        let runs = steps(&text)
            .iter()
            .any(|step| matches!(step, Step::Commands { .. }));
        assert!(
            !runs || own.contains(&format!("follow(\"{page}\")")),
            "{page}"
        );
    }
}

#[test]
fn runnable_blocks_are_distinguished_from_others() {
    let page = "```sh\nread\n```\n```yaml a.yaml\nx: 1\n```\n```sh run code=5\nfalse\n```\n\
                ```json output\n1\n```\n<!-- wait-file: f a b -->\n";
    assert_eq!(
        steps(page),
        [
            Step::File {
                name: "a.yaml".into(),
                text: "x: 1\n".into()
            },
            Step::Commands {
                text: "false\n".into(),
                code: 5
            },
            Step::Output("1\n".into()),
            Step::Written {
                file: "f".into(),
                text: "a b".into()
            },
        ]
    );
}
