//! A node that starts with another manifest than the one of its checkpoint keeps the state of its operators as a reload
//! does.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use mosaik_runner::checkpoint::{Image, Ledger, StageId, StageImage};
use rustix::process::Signal;

use super::{succeeds, up};
use crate::support::{Node, eventually, root, write};

/// An operator that keeps accounts, in one of its versions.
struct Accounts {
    folder: tempfile::TempDir,
    orders: u64,
}

impl Accounts {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["orders.jsonl", "payments.jsonl"] {
            write(folder.path(), name, "");
        }
        Self { folder, orders: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn manifest(&self, operator: &str, wasm: &str, settings: &str) -> PathBuf {
        let wasm = root().join(wasm);
        let text = format!(
            "mosaik: v1
checkpoint: {{every: 50ms, path: state}}
streams: {{orders: {{}}, payments: {{}}, balances: {{}}}}
producers:
  orders: {{from: {{file: {{path: orders.jsonl, follow: true}}}}, to: orders}}
  payments: {{from: {{file: {{path: payments.jsonl, follow: true}}}}, to: payments}}
operators:
  {operator}: {{wasm: {}, from: {{orders: orders, payments: payments}}, to: {{balances: balances}}, config: {{least: 1}}, {settings}}}
consumers: {{out: {{from: balances, to: {{file: {{path: out.jsonl}}}}}}}}
",
            wasm.display()
        );
        write(self.folder.path(), "m.yaml", text)
    }

    /// Starts with a manifest, lets each of ten customers order for 1 three times, and returns their last balances. The
    /// node is killed before the last order, and then stopped.
    fn run(&mut self, manifest: &Path) -> Vec<String> {
        for ends in [Signal::KILL, Signal::TERM] {
            let node = up(manifest, &self.path("home"));
            node.logged("generation 1 runs");
            let orders = if ends == Signal::KILL { 20 } else { 10 };
            self.order(orders);
            eventually("the balances are written", || {
                node.is_running() && self.balances().len() as u64 == self.orders
            });
            if ends == Signal::KILL {
                node.kill_running();
            } else {
                node.signal(ends);
                succeeds(&node.wait());
            }
        }
        // After a kill, instances write in another order, so that the last lines are not of all customers.
        let customer = |line: &String| line.split('"').nth(3).unwrap().to_owned();
        let balances = self.balances().into_iter();
        let last: BTreeMap<_, _> = balances.map(|line| (customer(&line), line)).collect();
        last.into_values().collect()
    }

    fn order(&mut self, count: u64) {
        let orders = self.orders..self.orders + count;
        self.orders += count;
        let line = |number: u64| format!("{{\"customer\":\"c{}\",\"amount\":1}}\n", number % 10);
        let path = self.path("orders.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        assert_eq!(text.lines().count() as u64, orders.start);
        std::io::Write::write_all(&mut file, orders.map(line).collect::<String>().as_bytes())
            .unwrap();
    }

    /// Returns what was written so far.
    fn balances(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("out.jsonl")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn all_owe(owes: u64) -> Vec<String> {
    let line = |customer| format!("{{\"customer\":\"c{customer}\",\"owes\":\"{owes}\"}}");
    (0..10).map(line).collect()
}

#[test]
fn another_component_and_other_instances_keep_the_state_and_another_name_does_not() {
    let mut accounts = Accounts::new();
    let (old, new) = (
        "tests/components/operator-1.0.wasm",
        "tests/operator/built.wasm",
    );
    let manifest = accounts.manifest("accounts", old, "");
    assert_eq!(accounts.run(&manifest), all_owe(3));
    let manifest = accounts.manifest("accounts", new, "instances: 3, key: customer");
    assert_eq!(accounts.run(&manifest), all_owe(6));
    let manifest = accounts.manifest("accounts", new, "instances: 2, key: customer");
    assert_eq!(accounts.run(&manifest), all_owe(9));
    // As in a reload, this is another stage. The source does not go back for it.
    let manifest = accounts.manifest("renamed", new, "");
    assert_eq!(accounts.run(&manifest), all_owe(3));
    let manifest = accounts.manifest("renamed", old, "state: reset");
    assert_eq!(accounts.run(&manifest), all_owe(3));
    // Without a key, the state cannot be spread, and nothing starts.
    let manifest = accounts.manifest("renamed", old, "instances: 2");
    let done = up(&manifest, &accounts.path("home")).wait();
    assert!(!done.status.success());
    assert!(
        done.stderr
            .contains("its state cannot move from 1 to 2 instances"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_reload_to_another_file_is_in_the_checkpoint_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The only checkpoint is that of the start.
    let manifest = |input: &str, output: &str| {
        let text = format!(
            "mosaik: v1
checkpoint: {{every: 1h, path: state}}
streams: {{all: {{}}}}
producers: {{in: {{from: {{file: {{path: {input}, follow: true}}}}, to: all}}}}
consumers: {{out: {{from: all, to: {{file: {{path: {output}}}}}}}}}
"
        );
        write(folder, "m.yaml", text)
    };
    write(folder, "one.jsonl", "1\n");
    write(folder, "two.jsonl", "2\n");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let mut command = crate::support::runner();
    command.env("XDG_STATE_HOME", folder.join("home"));
    command.arg("up").arg(manifest("one.jsonl", "a.jsonl"));
    let node = Node::spawn(command);
    eventually("the first record is written", || read("a.jsonl") == "1\n");
    let manifest = manifest("two.jsonl", "b.jsonl");
    node.logged("generation 2");
    eventually("the second record is written", || read("b.jsonl") == "2\n");
    node.kill_running();
    let node = up(&manifest, &folder.join("home"));
    node.logged("generation 1 runs");
    fs::write(folder.join("two.jsonl"), "2\n3\n").unwrap();
    eventually("the third record is written", || {
        node.is_running() && read("b.jsonl") == "2\n3\n"
    });
    assert_eq!(read("a.jsonl"), "1\n");
}

#[test]
fn a_state_of_an_earlier_version_is_migrated() {
    let mut accounts = Accounts::new();
    let wasm = "tests/operator/built.wasm";
    let manifest = accounts.manifest("accounts", wasm, "");
    assert_eq!(accounts.run(&manifest), all_owe(3));

    // Version 1 of the operator kept a balance as text.
    let (mut ledger, last) = Ledger::open(&accounts.path("state")).unwrap();
    let Image {
        number, mut stages, ..
    } = last.unwrap();
    let image = stages.get_mut(&StageId::new("operator accounts")).unwrap();
    let StageImage::Operator {
        instances,
        component,
        ..
    } = image
    else {
        panic!("it is an operator");
    };
    component.clear();
    for instance in instances {
        instance.version = 1;
        for (_, value) in &mut instance.entries {
            *value = format!("\"{}\"", String::from_utf8_lossy(value)).into_bytes();
        }
    }
    ledger.commit(number + 1, &stages).unwrap();
    drop(ledger);

    let manifest = accounts.manifest("accounts", wasm, "instances: 3, key: customer");
    assert_eq!(accounts.run(&manifest), all_owe(6));
}
