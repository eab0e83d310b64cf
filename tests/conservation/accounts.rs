//! Tests a stateful operator that panics, loops or runs out of memory on some records: each failure
//! costs only its own record, and the state is restored.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use serde_json::Value;

use super::{
    ledger::{Ledger, up},
    random::Random,
    seeds,
};
use crate::support::{root, write};

const ORDERS: usize = 6000;
/// Orders below this amount are rejected.
const LEAST: u64 = 3;

/// The expected results of the written orders: the balances of each customer, in order, and the
/// numbers of good, rejected and failing orders.
struct Expected {
    balances: BTreeMap<String, Vec<String>>,
    sum: i64,
    good: u64,
    rejected: u64,
    bad: u64,
}

fn write_orders(folder: &Path, random: &mut Random, faults: &[&str], orders: usize) -> Expected {
    let mut text = String::new();
    let mut expected = Expected {
        balances: BTreeMap::new(),
        sum: 0,
        good: 0,
        rejected: 0,
        bad: 0,
    };
    let mut owes: BTreeMap<String, i64> = BTreeMap::new();
    for _ in 0..orders {
        let amount = random.below(100);
        let customer = if random.below(900) == 0 {
            random.pick(faults).to_owned()
        } else {
            format!("c{}", random.below(50))
        };
        writeln!(text, r#"{{"customer":"{customer}","amount":{amount}}}"#).unwrap();
        if amount < LEAST {
            expected.rejected += 1;
        } else if faults.contains(&customer.as_str()) {
            expected.bad += 1;
        } else {
            expected.good += 1;
            expected.sum += amount.cast_signed();
            let total = owes.entry(customer.clone()).or_default();
            *total += amount.cast_signed();
            let reached = expected.balances.entry(customer).or_default();
            reached.push(total.to_string());
        }
    }
    write(folder, "orders.jsonl", text);
    expected
}

/// Returns the balances in the output, by customer.
fn balances(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut balances: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in fs::read_to_string(folder.join("balances.jsonl"))
        .unwrap()
        .lines()
    {
        let balance: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| balance[field].as_str().unwrap().to_owned();
        balances
            .entry(text("customer"))
            .or_default()
            .push(text("owes"));
    }
    balances
}

fn manifest(folder: &Path, settings: &str) -> std::path::PathBuf {
    let wasm = root().join("tests/operator/built.wasm");
    let text = format!(
        "mosaik: v1\nstreams: {{orders: {{}}, payments: {{}}, balances: {{}}, dead: {{}}}}\n\
         producers:\n  orders: {{from: {{file: {{path: orders.jsonl}}}}, to: orders}}\n  \
         payments: {{from: {{file: {{path: payments.jsonl}}}}, to: payments}}\n\
         operators:\n  accounts: {{wasm: {wasm}, from: {{orders: orders, payments: payments}}, to: {{balances: balances}}, \
         config: {{least: {LEAST}}}, {settings}}}\n\
         consumers:\n  balances: {{from: balances, to: {{file: {{path: balances.jsonl}}}}}}\n  \
         dead: {{from: dead, to: {{file: {{path: dead.jsonl}}}}}}\n",
        wasm = wasm.display(),
    );
    write(folder, "payments.jsonl", "");
    write(folder, "m.yaml", text)
}

#[test]
fn a_bad_record_costs_only_itself_and_the_state_is_restored() {
    for seed in 0..seeds() {
        let mut random = Random::seeded(seed);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let faults: &[&str] = random.pick(&[
            &["panic"] as &[&str],
            &["panic", "hog"],
            &["loop"],
            &["panic", "hog", "loop"],
        ]);
        let expected = write_orders(folder, &mut random, faults, ORDERS);
        let spread = random.pick(&[
            "",
            "instances: 2, key: customer, ",
            "instances: 4, key: customer, ",
        ]);
        let checkpoint = random.pick(&["", "checkpoint: 5ms, ", "checkpoint: 1h, "]);
        let settings = format!(
            "limits: {{memory: 8MiB, time: 50ms}}, {spread}{checkpoint}on_error: {{to: dead}}"
        );
        let context = format!("seed {seed}: {faults:?}, {settings}");
        let ledger = Ledger::of(up(&manifest(folder, &settings)).wait());

        assert_eq!(ledger.exit, Some(0), "{context}\n{}", ledger.log);
        let of = |figure| ledger.count("operator accounts", figure);
        assert_eq!(
            [
                of("datums_in"),
                of("rejected"),
                of("failed"),
                of("forgotten")
            ],
            [ORDERS as u64, expected.rejected, expected.bad, 0],
            "{context}\n{}",
            ledger.log
        );
        assert_eq!(of("answered"), expected.good, "{context}");
        assert_eq!(
            of("dead_letters"),
            expected.rejected + expected.bad,
            "{context}"
        );
        ledger.flows("producer orders", "operator accounts");
        ledger.flows("operator accounts", "consumer balances");
        assert_eq!(
            ledger.count("consumer dead", "datums_in"),
            of("dead_letters")
        );

        let mut reached = balances(folder);
        let sums = reached.remove("all").unwrap();
        let sum: i64 = sums.iter().map(|sum| sum.parse::<i64>().unwrap()).sum();
        assert_eq!(sum, expected.sum, "{context}\n{}", ledger.log);
        assert_eq!(reached, expected.balances, "{context}\n{}", ledger.log);
        let dead = fs::read_to_string(folder.join("dead.jsonl")).unwrap();
        assert_eq!(dead.lines().count() as u64, of("dead_letters"), "{context}");
    }
}

/// The first bad record stops the stage. Each record still has one outcome, and the balances of
/// answered orders that are not written are undelivered.
#[test]
fn a_stage_that_stops_at_a_bad_record_counts_each_record_once() {
    for seed in 0..seeds() {
        for spread in ["", "instances: 3, key: customer, "] {
            let mut random = Random::seeded(seed);
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            let fault = random.pick(&["panic", "loop"]);
            write_orders(folder, &mut random, &[fault], ORDERS);
            let settings = format!("limits: {{time: 50ms}}, {spread}on_error: stop");
            let text = fs::read_to_string(manifest(folder, &settings)).unwrap();
            let lines = text.lines().filter(|line| !line.contains("from: dead"));
            let text = lines
                .collect::<Vec<_>>()
                .join("\n")
                .replace(", dead: {}", "");
            let ledger = Ledger::of(up(&write(folder, "m.yaml", text)).wait());
            let context = format!("seed {seed}: {fault}, {settings}\n{}", ledger.log);
            assert_eq!(ledger.exit, Some(3), "{context}");
            let of = |figure| ledger.count("operator accounts", figure);
            assert!(of("rejected") + of("failed") > 0, "{context}");
            ledger.flows("operator accounts", "consumer balances");
            let written: usize = balances(folder).values().map(Vec::len).sum();
            let unwritten = of("answered").checked_sub(written as u64);
            // These include records that the stage has not taken from its edges.
            let left = ledger.dropped("operator accounts", "undelivered") - of("undelivered");
            assert!(unwritten.is_some_and(|count| count <= left), "{context}");
        }
    }
}

/// The number of instances changes repeatedly while records make them fail: the state moves with
/// its keys.
#[test]
fn a_state_survives_failures_and_reloads_together() {
    const ORDERS: usize = 30_000;
    for seed in 0..seeds() {
        let mut random = Random::seeded(seed);
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let expected = write_orders(folder, &mut random, &["panic"], ORDERS);
        let of = |instances: u64| {
            let settings = format!("instances: {instances}, key: customer, on_error: {{to: dead}}");
            manifest(folder, &settings)
        };
        let node = up(&of(2));
        node.logged("generation 1 runs");
        for _ in 0..random.below(6) {
            of(1 + random.below(4));
            std::thread::sleep(std::time::Duration::from_millis(random.below(300)));
        }
        let ledger = Ledger::of(node.wait());
        let context = format!("seed {seed}\n{}", ledger.log);
        assert_eq!((ledger.exit, ledger.lost), (Some(0), 0), "{context}");
        let count = |figure| ledger.count("operator accounts", figure);
        assert_eq!(
            [count("answered"), count("rejected"), count("failed")],
            [expected.good, expected.rejected, expected.bad],
            "{context}"
        );
        let mut reached = balances(folder);
        let sums = reached.remove("all").unwrap();
        let sum: i64 = sums.iter().map(|sum| sum.parse::<i64>().unwrap()).sum();
        assert_eq!(sum, expected.sum, "{context}");
        assert_eq!(reached, expected.balances, "{context}");
    }
}

/// An input ends, a snapshot follows immediately, and then the only failure: the new instance must
/// know that the input has ended, or it would never finish. The order depends on the machine, so
/// the test tries several times.
#[test]
fn an_input_that_has_ended_stays_ended() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let path = manifest(folder, "checkpoint: 1ms, on_error: {to: dead}");
        // The orders arrive a little later than the end of the payments.
        let text = fs::read_to_string(path).unwrap().replace(
            "{file: {path: orders.jsonl}}",
            "{file: {path: orders.jsonl, follow: true}}",
        );
        write(folder, "orders.jsonl", "");
        let node = up(&write(folder, "m.yaml", text));
        node.logged("payments ended");
        let orders = "{\"customer\":\"panic\",\"amount\":7}\n{\"customer\":\"ann\",\"amount\":7}\n";
        fs::write(folder.join("orders.jsonl"), orders).unwrap();
        node.logged("continues with a new instance");
        node.signal(rustix::process::Signal::TERM);
        let ledger = Ledger::of(node.wait());
        let mut reached = balances(folder);
        let sums = reached.remove("all");
        assert_eq!(sums, Some(vec!["7".to_owned()]), "{}", ledger.log);
    }
}

/// The error policy in the manifest decides the exit code.
#[test]
fn the_exit_code_tells_whether_records_were_lost() {
    for (settings, least, arguments, exit) in [
        ("", LEAST, &[] as &[&str], 5),
        ("", LEAST, &["--allow-loss"], 0),
        ("on_error: skip", LEAST, &[], 0),
        // The operator stops at a rejected record, or at one on which it panics.
        ("on_error: stop", LEAST, &[], 3),
        ("on_error: stop", 0, &[], 3),
        ("on_error: {to: dead}", LEAST, &[], 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write_orders(folder, &mut Random::seeded(7), &["panic"], ORDERS);
        let mut text = fs::read_to_string(manifest(folder, settings)).unwrap();
        text = text.replace(&format!("least: {LEAST}"), &format!("least: {least}"));
        if !settings.contains("dead") {
            text = text.replace(", dead: {}", "");
            let end = text.find("  dead: {from").unwrap();
            text.truncate(end);
        }
        let manifest = write(folder, "m.yaml", text);
        let mut command = crate::support::runner();
        command
            .args(["up", "--log", "json"])
            .args(arguments)
            .arg(manifest);
        let ledger = Ledger::of(crate::support::Node::spawn(command).wait());
        assert_eq!(
            ledger.exit,
            Some(exit),
            "{settings} {arguments:?}\n{}",
            ledger.log
        );
        assert_eq!(
            ledger.lost > 0,
            settings.is_empty() || exit == 3,
            "{settings}\n{}",
            ledger.log
        );
    }
}

/// An operator built for version 1.0 of the interface reports no outcomes.
#[test]
fn an_operator_of_interface_1_0_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let expected = write_orders(folder, &mut Random::seeded(3), &["panic"], ORDERS);
    let text = fs::read_to_string(manifest(folder, "on_error: {to: dead}")).unwrap();
    let old = root().join("tests/components/operator-1.0.wasm");
    let new = root().join("tests/operator/built.wasm");
    let text = text.replace(&new.display().to_string(), &old.display().to_string());
    let ledger = Ledger::of(up(&write(folder, "m.yaml", text)).wait());
    assert_eq!(ledger.exit, Some(0), "{}", ledger.log);
    let of = |figure| ledger.count("operator accounts", figure);
    assert_eq!(
        [of("taken"), of("rejected"), of("failed"), of("answered")],
        [expected.good, expected.rejected, expected.bad, 0],
        "{}",
        ledger.log
    );
    let mut reached = balances(folder);
    reached.remove("all").unwrap();
    assert_eq!(reached, expected.balances);
}
