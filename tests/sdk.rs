//! Tests an operator of the SDK: its Rust code and the component built from it have the same
//! results, and its failures are reported in full.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::support::{Node, write};
use mosaik_test_operator::Accounts;
use mosaik_wasm_sdk::{
    prelude::*,
    testing::{Component, Session, run_on},
};

fn built() -> PathBuf {
    crate::support::root().join("tests/operator/built.wasm")
}

/// Returns the committed component in the runner under test.
fn component() -> Component {
    Component::new(built()).runner(env!("CARGO_BIN_EXE_mosaik-runner"))
}

#[test]
fn native_code_and_component_give_equal_results() {
    let config = json!({"least": 2, "unit": "€"});
    let inputs = [
        ("orders", json!({"customer": "ann", "amount": 10})),
        ("payments", json!({"customer": "ann", "paid": 4})),
        ("payments", json!({"customer": "bob", "paid": 1})),
        ("orders", json!({"customer": "ann", "amount": 1})),
        ("orders", json!({"customer": "ann"})),
        ("orders", json!({"customer": "bob", "amount": 2})),
    ];
    let native = run_on::<Accounts>(&config, inputs.clone()).unwrap();
    let owes = |customer: &str, owes: &str| json!({"customer": customer, "owes": owes});
    assert_eq!(
        native.outputs,
        [
            owes("ann", "10€"),
            owes("ann", "6€"),
            owes("bob", "2€"),
            owes("all", "8€")
        ]
    );
    assert_eq!(native.on("unknown"), [&json!("bob")]);
    assert_eq!(
        native.rejected[0],
        (3, "an amount of 1 is below 2".to_owned())
    );
    assert!(native.rejected[1].1.contains("missing field `amount`"));
    assert_eq!(native.counters["seen"], 5);
    assert_eq!(native.log.len(), 5, "three orders and two ends");
    let built = component().config(&config).unwrap().run_on(inputs.clone());
    assert_eq!(built.unwrap(), native);

    let refused = component().config(json!({"least": -1})).unwrap();
    let native = run_on::<Accounts>(json!({"least": -1}), inputs.clone()).unwrap_err();
    assert_eq!(
        native.reason(),
        "config.least: must be a whole number of at least 0, found -1"
    );
    assert_eq!(
        refused.run_on(inputs).unwrap_err().reason(),
        native.reason()
    );
}

#[test]
fn state_is_carried_over_between_components_and_versions() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1.json"), folder.path().join("2.json"));
    let config = json!({"least": 0});
    let trial = component().config(&config).unwrap();
    let order = json!({"customer": "ann", "amount": 5});
    let ran = trial.clone().save_state(&first).run([&order]).unwrap();
    assert_eq!(
        ran.outputs.len(),
        1,
        "an input that goes on does not finish"
    );
    let saved: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&first).unwrap()).unwrap();
    assert_eq!(
        saved,
        json!({"version": 2, "entries": [{"key": "\"ann\"", "value": "5"}]})
    );
    let ran = trial
        .clone()
        .state(&first)
        .save_state(&second)
        .tick()
        .run([&order]);
    let ran = ran.unwrap();
    assert_eq!(ran.outputs, [json!({"customer": "ann", "owes": "10"})]);
    assert_eq!(ran.on("unknown"), [&json!("1 customers")]);

    let earlier = write(
        folder.path(),
        "0.json",
        r#"{"version":1,"entries":[{"key":"\"ann\"","value":"\"37\""}]}"#,
    );
    let ran = trial.clone().state(&earlier).run([&order]).unwrap();
    assert_eq!(ran.outputs[0], json!({"customer": "ann", "owes": "42"}));
    let newer = write(
        folder.path(),
        "3.json",
        r#"{"version":3,"entries":[{"key":"\"ann\"","value":"1"}]}"#,
    );
    let refused = trial.state(&newer).run([&order]).unwrap_err();
    assert_eq!(
        refused.reason(),
        "key \"ann\": the saved state has version 3, but this operator reads version 2"
    );

    let mut session = Session::<Accounts>::open(&config).unwrap();
    session.send("orders", [&order]).unwrap();
    session.reload(&config).unwrap();
    session.send("orders", [&order]).unwrap();
    let outputs = session.take().outputs;
    assert_eq!(outputs[1], json!({"customer": "ann", "owes": "10"}));
}

#[test]
fn a_panic_reports_its_message_place_and_record() {
    let order = |customer: &str| json!({"customer": customer, "amount": 7});
    let trial = component().config(json!({"least": 0})).unwrap();
    let failed = trial.run([order("ann"), order("panic")]).unwrap_err();
    // Each record of a failed batch is tried alone.
    told_in_full(failed.reason(), 0);

    let folder = tempfile::tempdir().unwrap();
    fs::copy(built(), folder.path().join("accounts.wasm")).unwrap();
    let orders = format!("{}\n{}\n", order("ann"), order("panic"));
    write(folder.path(), "orders.jsonl", orders);
    write(folder.path(), "payments.jsonl", "");
    let manifest = write(
        folder.path(),
        "m.yaml",
        "mosaik: v1\nnetwork: sdk\nstreams: {orders: {}, payments: {}, balances: {}, dead: {}}\n\
         producers:\n  shop: {from: {file: {path: orders.jsonl}}, to: orders}\n  bank: {from: {file: {path: payments.jsonl}}, to: payments}\n\
         operators:\n  accounts:\n    wasm: accounts.wasm\n    from: {orders: orders, payments: payments}\n    to: {balances: balances}\n    \
         config: {least: 0}\n    limits: {time: 5s}\n    on_error: {to: dead}\n\
         consumers:\n  print: {from: balances, to: {stdout: {}}}\n  bury: {from: dead, to: {file: {path: dead.jsonl}}}\n",
    );
    let done = Node::up(&manifest).wait();
    assert!(done.status.success(), "{}", done.stderr);
    let buried = fs::read_to_string(folder.path().join("dead.jsonl")).unwrap();
    assert_eq!(buried.lines().count(), 1, "one record is lost: {buried}");
    for letter in buried.lines() {
        let letter: serde_json::Value = serde_json::from_str(letter).unwrap();
        assert_eq!(letter["port"], "orders");
        // The record was tried alone.
        told_in_full(letter["reason"].as_str().unwrap(), 0);
    }
    let logged = done
        .stderr
        .lines()
        .find(|line| line.contains("ERROR") && line.contains("panicked"));
    told_in_full(logged.unwrap_or_else(|| panic!("{}", done.stderr)), 1);
}

/// Asserts that a reason contains the panic's message, its file and line, and the index of the
/// record in the batch.
#[track_caller]
fn told_in_full(reason: &str, index: usize) {
    let source =
        fs::read_to_string(crate::support::root().join("tests/operator/src/lib.rs")).unwrap();
    let line = source
        .lines()
        .position(|line| line.contains("asked to panic"))
        .unwrap();
    let place = format!("panicked at tests/operator/src/lib.rs:{}:20", line + 1);
    assert!(
        reason.contains(&format!(
            "{place}, processing record {index} of its batch: asked to panic at 7"
        )),
        "{place} is not in: {reason}"
    );
}

#[test]
fn a_missing_or_old_runner_is_distinguished_from_a_failing_component() {
    let trial = |runner: &str| Component::new(built()).runner(runner);
    let missing = trial("/no/such/runner").run([1]).unwrap_err();
    let reason = missing.reason();
    assert!(
        reason.starts_with("failed to start `/no/such/runner`, which runs components"),
        "{reason}"
    );
    assert!(reason.contains("MOSAIK_RUNNER"), "{reason}");

    let folder = tempfile::tempdir().unwrap();
    let says = |name: &str, script: &str| {
        let path = write(folder.path(), name, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let old = says(
        "old",
        "echo \"error: unrecognized subcommand 'run-operator'\" >&2; exit 2",
    );
    let reason = trial(&old).run([1]).unwrap_err().into_reason();
    assert!(reason.contains("is too old to run components"), "{reason}");
    let new = says(
        "new",
        r#"echo '{"start":{"report":9,"inputs":[],"outputs":[]}}'"#,
    );
    let reason = trial(&new).run([1]).unwrap_err().into_reason();
    assert!(reason.contains("report has version 9"), "{reason}");
    let mute = says("mute", "echo gone >&2");
    let reason = trial(&mute).run([1]).unwrap_err().into_reason();
    assert!(
        reason.ends_with("ended without a complete report: gone"),
        "{reason}"
    );

    let nothing = Component::new("/no/such.wasm").runner(env!("CARGO_BIN_EXE_mosaik-runner"));
    let reason = nothing.run([1]).unwrap_err().into_reason();
    assert!(reason.contains("cannot be read: no such file"), "{reason}");
}
