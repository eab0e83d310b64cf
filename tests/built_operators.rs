//! Tests the committed builds of the operators in the engine that runs them, within its default
//! limits.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use mosaik_runner::operator::{
    Binding, CallError, Component, Engine, EngineConfig, Grants, Instance, Limits, LoadLimits,
    NoEvents, OpenError, Processed, Setup,
};
use mosaik_streams::Frames;

fn load(name: &str) -> Component {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../operators/built/{name}.wasm"));
    let engine = Engine::new(EngineConfig::default()).unwrap();
    engine
        .load(&std::fs::read(path).unwrap(), LoadLimits::default())
        .unwrap()
}

fn open(component: &Component, config: &str, outputs: &[&str]) -> Result<Instance, OpenError> {
    open_on(component, config, &["in"], outputs)
}

fn open_on(
    component: &Component,
    config: &str,
    inputs: &[&str],
    outputs: &[&str],
) -> Result<Instance, OpenError> {
    let bind = |ports: &[&str]| {
        let binding = |port: &&str| Binding {
            port: (*port).into(),
            stream: "test".into(),
            encoding: "json".into(),
        };
        ports.iter().map(binding).collect()
    };
    component.instantiate(Setup {
        name: "test".into(),
        config: config.into(),
        secrets: Vec::new(),
        inputs: bind(inputs),
        outputs: bind(outputs),
        limits: Limits {
            call_time_max: std::time::Duration::from_secs(2),
            ..Limits::default()
        },
        grants: Grants::default(),
        events: Arc::new(NoEvents),
    })
}

fn frames(datums: &[&str]) -> Frames {
    datums
        .iter()
        .map(|datum| datum.as_bytes().to_vec())
        .collect()
}

/// Returns the output of the port with this number.
fn texts(answer: &Processed, port: u32) -> Vec<String> {
    let frames = answer
        .outputs
        .iter()
        .filter(|(at, _)| *at == port)
        .map(|(_, frames)| frames);
    frames
        .flat_map(|frames| {
            frames
                .iter()
                .map(|datum| String::from_utf8(datum.to_vec()).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Returns all answers from the first to the last, and their number.
fn drain(instance: &mut Instance, mut answer: Processed) -> (Vec<String>, usize) {
    let (mut all, mut answers) = (texts(&answer, 0), 1);
    while answer.more {
        answer = instance.resume().unwrap();
        all.extend(texts(&answer, 0));
        answers += 1;
    }
    (all, answers)
}

/// Maximum size in bytes; `jq` contains a language.
#[test]
fn they_are_small() {
    for (name, bytes) in mosaik_runner::components::BUILTINS {
        let most = if *name == "jq" { 2_100_000 } else { 350_000 };
        assert!(bytes.len() <= most, "{name} has {} bytes", bytes.len());
    }
}

#[test]
fn enrich() {
    let component = load("enrich");
    assert_eq!(component.description().state_version, 0);
    let config = r#"{"by":"city","table":[{"city":"Oslo","country":"NO"}],"missing":"drop"}"#;
    let mut enrich = open(&component, config, &["out"]).unwrap();
    let datums = [r#"{"city":"Oslo"}"#, r#"{"city":"Rome"}"#, "[]"];
    let answer = enrich.process(0, &frames(&datums)).unwrap();
    assert_eq!(texts(&answer, 0), [r#"{"city":"Oslo","country":"NO"}"#]);
    assert_eq!(answer.rejected[0].index, 2);
    let refused = open(
        &component,
        r#"{"by":"city","table":[{"town":"Oslo"}]}"#,
        &["out"],
    );
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("config.table"), "{refused}");
}

#[test]
fn as_many_rows_as_enrich_takes_fit_the_default_memory() {
    let row = |i| format!(r#"{{"id":{i},"name":"a name of {i:0>30}","city":"in a city"}}"#);
    let rows: Vec<_> = (0..100_000).map(row).collect();
    let config = format!(r#"{{"by":"id","table":[{}]}}"#, rows.join(","));
    let mut enrich = open(&load("enrich"), &config, &["out"]).unwrap();
    let answer = enrich.process(0, &frames(&[r#"{"id":99999}"#])).unwrap();
    assert_eq!(texts(&answer, 0), [row(99_999)]);
}

#[test]
fn join() {
    let component = load("join");
    assert_eq!(component.description().state_version, 1);
    assert_eq!(component.description().inputs, ["left", "right"]);
    let config = r#"{"by":"k","time":{"field":"t","unit":"s"},"within":"10s"}"#;
    let inputs = ["left", "right"];
    let mut first = open_on(&component, config, &inputs, &["out"]).unwrap();
    let answer = first
        .process(0, &frames(&[r#"{"k":1,"t":0}"#, r#"{"t":0}"#]))
        .unwrap();
    assert!(texts(&answer, 0).is_empty());

    let mut second = open_on(&component, config, &inputs, &["out"]).unwrap();
    second.restore(&first.snapshot().unwrap()).unwrap();
    let answer = second
        .process(1, &frames(&[r#"{"k":1,"t":9}"#, r#"{"k":1,"t":11}"#]))
        .unwrap();
    assert_eq!(
        texts(&answer, 0),
        [r#"{"left":{"k":1,"t":0},"right":{"k":1,"t":9}}"#]
    );
    let refused = open_on(&component, r#"{"by":"k"}"#, &inputs, &["out"]);
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("missing key `within`"), "{refused}");
}

#[test]
fn as_much_as_join_holds_fits_the_default_memory() {
    let component = load("join");
    let config = r#"{"by":"k","time":{"field":"t","unit":"s"},"within":"1d"}"#;
    let sides = ["left", "right"];
    // The limit on records applies first, then the one on bytes.
    for (padding, held) in [(80, 20_000), (1000, 4_100)] {
        let padding = "x".repeat(padding);
        let mut join = open_on(&component, config, &sides, &["out"]).unwrap();
        for start in (0..25_000).step_by(1000) {
            for side in 0..2 {
                let numbers = (start..).take(1000);
                let datum = |i| format!(r#"{{"k":"{side}{i}","t":0,"v":"{padding}"}}"#);
                let batch = numbers.map(|i| datum(i).into_bytes()).collect();
                let answer = join.process(side, &batch).unwrap();
                assert!(answer.rejected.is_empty());
            }
        }
        let saved = join.snapshot().unwrap();
        // One entry belongs to all keys.
        let keys = saved.entries.len() - 1;
        assert!((2 * held - held / 10..=2 * held).contains(&keys), "{keys}");
        let mut other = open_on(&component, config, &sides, &["out"]).unwrap();
        other.restore(&saved).unwrap();
        assert_eq!(other.snapshot().unwrap(), saved);
    }
}

#[test]
fn dedupe() {
    let component = load("dedupe");
    assert_eq!(component.description().state_version, 1);
    assert_eq!(component.description().outputs, ["out", "duplicates"]);
    let config = r#"{"by":["k","l"],"within":"1h"}"#;
    let mut first = open(&component, config, &["out", "duplicates"]).unwrap();
    let datums = [
        r#"{"k":1,"l":"a"}"#,
        r#"{"k":2,"l":"a"}"#,
        r#"{"l":"a","k":1}"#,
        "[]",
    ];
    let answer = first.process(0, &frames(&datums)).unwrap();
    assert_eq!(texts(&answer, 0), datums[..2]);
    assert_eq!(texts(&answer, 1), [datums[2]]);
    assert_eq!(answer.rejected[0].index, 3);

    let saved = first.snapshot().unwrap();
    assert_eq!(saved.entries[0].key.as_deref(), Some(&br#"[2,"a"]"#[..]));
    let mut second = open(&component, config, &["out"]).unwrap();
    second.restore(&saved).unwrap();
    let more = [datums[1], r#"{"k":3,"l":"a"}"#];
    let answer = second.process(0, &frames(&more)).unwrap();
    assert_eq!(texts(&answer, 0), more[1..]);

    let refused = open(&component, r#"{"within":"soon"}"#, &["out"]);
    let refused = refused.err().unwrap().to_string();
    assert!(
        refused.contains("config.within: `soon` is not"),
        "{refused}"
    );
}

#[test]
fn as_many_keys_as_dedupe_and_sample_take_fit_the_default_memory() {
    for (name, config) in [
        ("dedupe", r#"{"by":"k"}"#),
        ("sample", r#"{"by":"k","every":2}"#),
    ] {
        fill_with_keys(&load(name), config);
    }
}

fn fill_with_keys(component: &Component, config: &str) {
    // The limit on keys applies first, then the one on bytes.
    for (padding, held) in [(0, 100_000), (1000, 15_100)] {
        let mut holder = open(component, config, &["out"]).unwrap();
        let mut next = 0..130_000;
        while let Some(start) = next.next() {
            let numbers = (start..).take(1000);
            let padding = "x".repeat(padding);
            let datum = |i| format!(r#"{{"k":"{i:0>10}{padding}"}}"#).into_bytes();
            let answer = holder.process(0, &numbers.map(datum).collect()).unwrap();
            assert!(answer.rejected.is_empty());
            drain(&mut holder, answer);
            if next.nth(998).is_none() || start > 2 * held {
                break;
            }
        }
        let saved = holder.snapshot().unwrap();
        assert!(
            (held - held / 10..=held).contains(&saved.entries.len()),
            "{}",
            saved.entries.len()
        );
        let mut other = open(component, config, &["out"]).unwrap();
        other.restore(&saved).unwrap();
        assert_eq!(other.snapshot().unwrap(), saved);
    }
}

#[test]
fn jq() {
    let component = load("jq");
    assert_eq!(component.description().state_version, 0);
    assert_eq!(
        (
            &component.description().inputs[..],
            &component.description().outputs[..]
        ),
        (&["in".to_owned()][..], &["out".to_owned()][..])
    );
    let mut jq = open(&component, r#"{"filter":".price * 2"}"#, &["out"]).unwrap();
    let answer = jq
        .process(
            0,
            &frames(&[r#"{"price":1.5}"#, "x", r#"{"price":9007199254740993}"#]),
        )
        .unwrap();
    assert_eq!(texts(&answer, 0), ["3.0", "18014398509481986"]);
    assert_eq!(
        (answer.rejected[0].index, &*answer.rejected[0].reason),
        (1, "not JSON: expected value at line 1 column 1")
    );

    let refused = open(&component, r#"".a | nosuch""#, &["out"])
        .err()
        .unwrap()
        .to_string();
    assert!(
        refused.contains("line 1, column 6, at `nosuch`: undefined filter"),
        "{refused}"
    );

    let text = format!("\"{}\"", "x".repeat(1000));
    let mut endless = open(&component, r#""repeat(.)""#, &["out"]).unwrap();
    let answer = endless.process(0, &frames(&["1", &text, "2"])).unwrap();
    let reasons: Vec<_> = answer
        .rejected
        .iter()
        .map(|rejected| &*rejected.reason)
        .collect();
    assert_eq!(
        reasons,
        [
            "more than 100000 outputs (max_outputs)",
            "the outputs of one call exceed 8388608 bytes",
            "more than 100000 outputs (max_outputs)"
        ]
    );

    let mut many = open(&component, r#""range(20000) | tojson * 20""#, &["out"]).unwrap();
    let answer = many.process(0, &frames(&["0", "0", "0"])).unwrap();
    let (all, answers) = drain(&mut many, answer);
    assert_eq!(all.len(), 60_000);
    assert!(answers > 1);

    let mut deep = open(&component, r#"".""#, &["out"]).unwrap();
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let answer = deep
        .process(0, &frames(&[&nested(256), &nested(5000)]))
        .unwrap();
    assert_eq!(texts(&answer, 0), [nested(256)]);

    let mut busy = open(&component, r#""repeat(empty)""#, &["out"]).unwrap();
    assert!(matches!(
        busy.process(0, &frames(&["1"])),
        Err(CallError::TimedOut { .. })
    ));
    let mut recursive = open(&component, r#""def f: 1 + f; f""#, &["out"]).unwrap();
    assert!(recursive.process(0, &frames(&["1"])).is_err());
}

#[test]
fn sample() {
    let component = load("sample");
    assert_eq!(component.description().state_version, 1);
    assert_eq!(component.description().outputs, ["out", "rest"]);
    let config = r#"{"every":3,"by":"k"}"#;
    let datums = [r#"{"k":1}"#, r#"{"k":2}"#, r#"{"k":1}"#, r#"{"k":1}"#];
    let mut first = open(&component, config, &["out", "rest"]).unwrap();
    let answer = first.process(0, &frames(&datums)).unwrap();
    assert_eq!(texts(&answer, 0), datums[..2]);
    assert_eq!(texts(&answer, 1), datums[2..]);
    let mut second = open(&component, config, &["out"]).unwrap();
    second.restore(&first.snapshot().unwrap()).unwrap();
    let answer = second.process(0, &frames(&datums)).unwrap();
    assert_eq!(texts(&answer, 0), datums[..1]);

    // Without keys, counting also continues from the previous count.
    let mut first = open(&component, r#"{"every":3}"#, &["out"]).unwrap();
    first.process(0, &frames(&datums[..2])).unwrap();
    let mut second = open(&component, r#"{"every":3}"#, &["out"]).unwrap();
    second.restore(&first.snapshot().unwrap()).unwrap();
    let answer = second.process(0, &frames(&datums)).unwrap();
    assert_eq!(texts(&answer, 0), datums[1..2]);

    // Within a batch, the clock hardly advances.
    let rate = r#"{"rate":"2/d"}"#;
    let mut rate = open(&component, rate, &["out"]).unwrap();
    let answer = rate.process(0, &frames(&datums)).unwrap();
    assert_eq!(texts(&answer, 0), datums[..2]);

    let half = r#"{"fraction":0.5,"by":"k"}"#;
    let many: Vec<String> = (0..1000).map(|k| format!(r#"{{"k":{k}}}"#)).collect();
    let many = many.iter().map(|datum| datum.as_bytes().to_vec()).collect();
    let passing = || {
        let mut half = open(&component, half, &["out"]).unwrap();
        texts(&half.process(0, &many).unwrap(), 0)
    };
    assert!((400..600).contains(&passing().len()));
    assert_eq!(passing(), passing());
    let refused = open(&component, r#"{"every":0}"#, &["out"]);
    let refused = refused.err().unwrap().to_string();
    assert!(
        refused.contains("config.every: must be at least 1"),
        "{refused}"
    );
}

#[test]
fn split() {
    let component = load("split");
    assert_eq!(component.description().state_version, 0);
    assert_eq!(component.description().outputs.len(), 17);
    let config =
        r#"{"routes":[{"to":"a","when":{"n":{"gte":0.1}}},{"to":"p","when":{"s":["x"]}}]}"#;
    let mut split = open(&component, config, &["p", "a", "other"]).unwrap();
    let datums = [r#"{"n":0.1,"s":"x"}"#, r#"{"s":"x"}"#, "{}", "{"];
    let answer = split.process(0, &frames(&datums)).unwrap();
    for (port, datum) in [(0, datums[0]), (15, datums[1]), (16, datums[2])] {
        assert_eq!(texts(&answer, port), [datum]);
    }
    assert_eq!(answer.rejected[0].index, 3);
    let refused = open(&component, config, &["a"]).err().unwrap().to_string();
    assert!(
        refused.contains("config.routes[1].to: no stream is bound to the port `p`"),
        "{refused}"
    );
}

#[test]
fn window() {
    let component = load("window");
    assert_eq!(component.description().state_version, 4);
    assert_eq!(component.description().outputs, ["out", "late"]);
    let config = r#"{"every":"year","by":"symbol","time":"date","aggregate":{"average":{"avg":"price"},"n":"count"}}"#;
    let mut first = open(&component, config, &["out", "late"]).unwrap();
    let answer = first
        .process(
            0,
            &frames(&[
                r#"{"symbol":"MSFT","date":"Jan 1 2000","price":39.81}"#,
                r#"{"symbol":"MSFT","date":"Feb 1 2000","price":36.35}"#,
                r#"{"symbol":"MSFT","date":"Jan 1 2001","price":24.84}"#,
                r#"{"symbol":"MSFT","date":"Mar 1 2000","price":1}"#,
            ]),
        )
        .unwrap();
    assert_eq!(
        texts(&answer, 0),
        [
            r#"{"symbol":"MSFT","start":"2000-01-01T00:00:00Z","end":"2001-01-01T00:00:00Z","average":38.08,"n":2}"#
        ]
    );
    assert_eq!(texts(&answer, 1).len(), 1);

    let mut second = open(&component, config, &["out"]).unwrap();
    second.restore(&first.snapshot().unwrap()).unwrap();
    let answer = second.finish(0).unwrap();
    assert_eq!(
        texts(&answer, 0),
        [
            r#"{"symbol":"MSFT","start":"2001-01-01T00:00:00Z","end":"2002-01-01T00:00:00Z","average":24.84,"n":1}"#
        ]
    );

    let refused = open(&component, r#"{"every":"fortnight"}"#, &["out"])
        .err()
        .unwrap()
        .to_string();
    assert!(
        refused.contains("config.every: `fortnight` is neither year"),
        "{refused}"
    );
}

#[test]
fn as_many_keys_as_window_takes_fit_the_default_memory() {
    let component = load("window");
    let config =
        r#"{"every":"year","by":"symbol","time":"date","aggregate":{"average":{"avg":"price"}}}"#;
    let mut window = open(&component, config, &["out"]).unwrap();
    for chunk in 0..100 {
        let batch: Vec<String> = (0..1000)
            .map(|i| {
                format!(
                    r#"{{"symbol":"S{}","date":"Jan 1 2000","price":{i}}}"#,
                    chunk * 1000 + i
                )
            })
            .collect();
        let answer = window
            .process(
                0,
                &batch
                    .iter()
                    .map(|datum| datum.as_bytes().to_vec())
                    .collect(),
            )
            .unwrap();
        assert!(answer.rejected.is_empty());
    }
    let answer = window
        .process(
            0,
            &frames(&[r#"{"symbol":"one more","date":"Jan 1 2000","price":1}"#]),
        )
        .unwrap();
    assert!(
        answer.rejected[0].reason.contains("max_windows"),
        "{:?}",
        answer.rejected
    );
    let saved = window.snapshot().unwrap();
    assert_eq!(saved.entries.len(), 100_000);
    let mut other = open(&component, config, &["out"]).unwrap();
    other.restore(&saved).unwrap();
    let answer = other.finish(0).unwrap();
    let (all, answers) = drain(&mut other, answer);
    assert_eq!(all.len(), 100_000);
    assert!(answers > 1);
}
