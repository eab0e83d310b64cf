//! Tests of the whole operator.

mod laws;

use super::*;
use mosaik_operator_common::key::ALL_KEYS;
use mosaik_wasm_sdk::Entry;
use mosaik_wasm_sdk::testing::{Harness, binding, counted, set_now};
use serde_json::{Value as Json, json};

/// The side, key, time in s and identifying number of a record.
type Input = (usize, u8, i64, u32);

fn config(more: Json) -> String {
    let mut config = json!({"by": "k", "within": "10s", "time": {"field": "t", "unit": "s"}});
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config.to_string()
}

fn open(config: &str) -> Harness<JoinOperator> {
    Harness::open(config).unwrap()
}

fn datum(key: impl Into<Json>, time_s: i64, id: u32) -> String {
    json!({"k": key.into(), "t": time_s, "id": id}).to_string()
}

fn send(join: &mut Harness<JoinOperator>, (side, key, time, id): Input) {
    join.send(side, [datum(key, time, id)]).unwrap();
}

/// The outputs on the port `out`: the ids of the left and right records.
fn pairs(join: &mut Harness<JoinOperator>) -> Vec<[Option<u64>; 2]> {
    let sent = join.take().into_iter().filter(|(port, _)| *port == 0);
    sent.map(|(_, datum)| {
        let pair: Json = serde_json::from_slice(&datum).unwrap();
        ["left", "right"].map(|side| pair[side]["id"].as_u64())
    })
    .collect()
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

#[test]
fn the_schema_is_json() {
    serde_json::from_str::<Json>(JoinOperator::CONFIG_SCHEMA).unwrap();
}

#[test]
fn keys_of_several_fields_that_differ_from_side_to_side() {
    let config = json!({
        "by": {"left": ["a.x", "b"], "right": ["x", "y"]}, "within": "1m",
        "time": {"left": "at", "right": {"field": "ms", "unit": "ms"}}, "output": "merged",
    });
    let mut join = open(&config.to_string());
    join.send(
        0,
        [r#"{"a":{"x":"\u0041"},"b":1.0,"at":"1970-01-01T00:00:30Z"}"#],
    )
    .unwrap();
    join.send(
        1,
        [
            r#"{"x":"A","y":1.00,"ms":90000}"#,
            r#"{"x":"A","y":1.00,"ms":90001}"#,
            r#"{"x":"A","y":2,"ms":90001}"#,
        ],
    )
    .unwrap();
    assert_eq!(
        join.take_text().unwrap(),
        [
            r#"{"a":{"x":"\u0041"},"b":1.0,"at":"1970-01-01T00:00:30Z","right_x":"A","right_y":1.00,"right_ms":90000}"#
        ]
    );
    assert!(join.rejected.is_empty());
}

#[test]
fn who_finds_nobody_leaves_when_the_other_side_is_past_it() {
    let mut join = open(&config(json!({"type": "outer", "lateness": "2s"})));
    for input in [(0, 1, 10, 1), (1, 2, 11, 2), (1, 1, 22, 3)] {
        send(&mut join, input);
    }
    assert!(pairs(&mut join).is_empty(), "the right may still bring 20");
    send(&mut join, (1, 1, 23, 4));
    assert_eq!(pairs(&mut join), [[Some(1), None]]);
    send(&mut join, (0, 1, 24, 5));
    let left = pairs(&mut join);
    assert_eq!(
        left,
        [[Some(5), Some(3)], [Some(5), Some(4)], [None, Some(2)]]
    );
    join.finish(0).unwrap();
    assert!(pairs(&mut join).is_empty(), "3 and 4 have been joined");
    send(&mut join, (1, 1, 24, 6));
    assert_eq!(pairs(&mut join), [[Some(5), Some(6)]]);
    send(&mut join, (1, 1, 35, 7));
    assert_eq!(pairs(&mut join), [[None, Some(7)]], "the left has ended");
    join.finish(1).unwrap();
    assert!(pairs(&mut join).is_empty());
}

fn belongs_to_all(entry: &Entry) -> bool {
    entry.key.as_deref() == Some(ALL_KEYS)
}

#[test]
fn null_is_like_nothing() {
    let mut join = open(&config(json!({"type": "left"})));
    join.send(0, [datum(Json::Null, 1, 1)]).unwrap();
    join.send(1, [datum(Json::Null, 1, 2)]).unwrap();
    assert_eq!(pairs(&mut join), [[Some(1), None]]);
    assert_eq!(counted("unmatched_right"), 1);
    assert!(join.snapshot().unwrap().entries.iter().all(belongs_to_all));
}

#[test]
fn what_is_rejected_and_why() {
    let mut join = open(&config(json!({})));
    let long = json!({"k": 1, "t": 0, "v": "x".repeat(DATUM_LEN_MAX)}).to_string();
    for (datum, reason) in [
        ("[1]", "not a JSON object"),
        (r#"{"t":1}"#, "missing field `k`"),
        (r#"{"k":1}"#, "missing field `t`"),
        (r#"{"k":{},"t":1}"#, "`k` is an object or an array"),
        (r#"{"k":1,"t":"soon"}"#, "`t`: \"soon\" is not a time"),
        (&long, "the record has 1048"),
    ] {
        for side in 0..2 {
            join.send(side, [datum]).unwrap();
            let (_, said) = join.rejected.pop().unwrap_or_default();
            assert!(said.starts_with(reason), "{said}\n  not {reason}");
        }
    }
    assert!(join.snapshot().unwrap().entries.is_empty());
    let refused =
        Harness::<JoinOperator>::open_on(&config(json!({})), &[binding("left", "text")], &[]);
    assert!(refused.unwrap_err().reason().contains("`left` is text"));
}

#[test]
fn late_records_are_rejected_or_go_their_own_way() {
    let config = config(json!({"lateness": "5s"}));
    let inputs = [(0, 1, 20, 1), (0, 1, 15, 2), (0, 1, 14, 3), (1, 1, 10, 4)];
    let mut bound = open(&config);
    for input in inputs {
        send(&mut bound, input);
    }
    let sent = bound.take();
    assert_eq!(sent[0], (LATE, datum(1, 14, 3).into_bytes()));
    assert_eq!(sent.len(), 3, "the right's own time counts for the right");

    let bind = |ports: &[&str]| {
        ports
            .iter()
            .map(|port| binding(port, "json"))
            .collect::<Vec<_>>()
    };
    let (inputs_bound, out) = (bind(&["left", "right"]), bind(&["out"]));
    let mut unbound = Harness::<JoinOperator>::open_on(&config, &inputs_bound, &out).unwrap();
    for input in inputs {
        send(&mut unbound, input);
    }
    assert!(
        unbound.rejected[0].1.starts_with("late: "),
        "{:?}",
        unbound.rejected
    );
    assert_eq!(counted("late"), 2);
}

#[test]
fn the_oldest_make_room_and_are_counted() {
    let mut join = open(&config(
        json!({"type": "left", "max_records": 2, "lateness": "1h"}),
    ));
    for input in [(0, 1, 5, 1), (0, 1, 1, 2), (0, 2, 3, 3), (1, 1, 2, 4)] {
        send(&mut join, input);
    }
    assert_eq!(pairs(&mut join), [[Some(2), None], [Some(1), Some(4)]]);
    send(&mut join, (0, 1, 0, 5));
    assert_eq!(
        pairs(&mut join),
        [[Some(5), Some(4)]],
        "joined before it has to leave"
    );
    assert_eq!((counted("evicted_left"), counted("evicted_right")), (2, 0));

    let len = datum(1, 1, 1).len();
    let mut join = open(&config(json!({"max_bytes": 2 * len})));
    for input in [(1, 1, 1, 1), (1, 1, 1, 2), (1, 1, 1, 3), (0, 1, 1, 4)] {
        send(&mut join, input);
    }
    assert_eq!(pairs(&mut join), [[Some(4), Some(2)], [Some(4), Some(3)]]);
    assert_eq!(
        (counted("evicted_right"), counted("unmatched_right")),
        (1, 1)
    );
}

#[test]
fn idle_records_leave_by_the_hosts_clock() {
    let mut join = open(&config(json!({"type": "outer", "idle": "5s"})));
    for (now_ms, input) in [
        (1000, (0, 1, 50, 1)),
        (2000, (1, 2, 45, 2)),
        (3000, (0, 3, 52, 3)),
    ] {
        set_now(Some(now_ms));
        send(&mut join, input);
    }
    join.tick(5999).unwrap();
    assert!(pairs(&mut join).is_empty());
    join.tick(7000).unwrap();
    assert_eq!(pairs(&mut join), [[Some(1), None], [None, Some(2)]]);
    join.tick(7999).unwrap();
    assert!(pairs(&mut join).is_empty());
    join.tick(8000).unwrap();
    assert_eq!(pairs(&mut join), [[Some(3), None]]);
}

#[test]
fn without_a_time_the_clock_is_taken() {
    let config = json!({"by": "k", "within": "10s", "type": "outer"});
    let mut join = open(&config.to_string());
    let at = |join: &mut Harness<_>, now_ms, side, id| {
        set_now(Some(now_ms));
        send(join, (side, 1, 0, id));
    };
    at(&mut join, 1000, 0, 1);
    at(&mut join, 500, 1, 2);
    at(&mut join, 11_000, 1, 3);
    assert_eq!(pairs(&mut join), [[Some(1), Some(2)], [Some(1), Some(3)]]);
    at(&mut join, 11_001, 1, 4);
    assert!(
        pairs(&mut join).is_empty(),
        "4 is too late for 1, and waits"
    );
    join.tick(21_001).unwrap();
    assert!(pairs(&mut join).is_empty());
    join.tick(21_002).unwrap();
    assert_eq!(pairs(&mut join), [[None, Some(4)]]);
    let saved = join.snapshot().unwrap();
    assert!(
        saved.entries.iter().all(belongs_to_all),
        "nothing waits: {saved:?}"
    );
}

#[test]
fn a_great_many_partners_leave_in_parts() {
    let text = "x".repeat(1000);
    let long = |id: u32| json!({"k": 1, "t": 0, "id": id, "text": text}).to_string();
    let mut join = open(&config(json!({"max_bytes": 100 << 20})));
    join.send(0, (0..10_000).map(long)).unwrap();
    join.answers = 0;
    join.send(1, [long(1)]).unwrap();
    assert!(join.answers > 3, "{} answers", join.answers);
    let expected: Vec<_> = (0..10_000).map(|id| [Some(id), Some(1)]).collect();
    assert_eq!(pairs(&mut join), expected);
    let mut alone = open(&config(json!({"type": "left", "max_bytes": 100 << 20})));
    alone.send(0, (0..10_000).map(long)).unwrap();
    alone.answers = 0;
    alone.finish(1).unwrap();
    assert!(alone.answers > 1);
    assert_eq!(pairs(&mut alone).len(), 10_000);
}

#[test]
fn what_cannot_be_sent_is_counted() {
    let config = config(json!({"output": "merged", "prefix": {"right": "r".repeat(2000)}}));
    let mut join = open(&config);
    let members: Vec<String> = (0..10_000).map(|n| format!("\"{n}\":0")).collect();
    join.send(1, [format!(r#"{{"k":1,"t":1,{}}}"#, members.join(","))])
        .unwrap();
    send(&mut join, (0, 1, 1, 1));
    assert!(join.take().is_empty());
    assert_eq!(counted("too_large"), 1);
    send(&mut join, (1, 1, 1, 2));
    assert_eq!(join.take().len(), 1, "it goes on");
}

#[test]
fn a_state_of_another_shape_is_refused() {
    let mut join = open(&config(json!({})));
    send(&mut join, (0, 1, 1, 1));
    let state = join.snapshot().unwrap();
    assert_eq!(state.entries[0].key.as_deref(), Some(&b"1"[..]));
    let other = |more| open(&config(more)).restore(state.clone());
    assert!(
        other(json!({"by": "id"}))
            .unwrap_err()
            .reason()
            .contains("another `by`")
    );
    other(json!({"within": "1s", "type": "outer", "lateness": "1s"})).unwrap();
    let version = State {
        version: 9,
        ..state.clone()
    };
    assert!(open(&config(json!({}))).restore(version).is_err());
}

#[test]
fn states_of_several_instances_are_put_together() {
    let config = config(json!({"type": "outer", "lateness": "1h"}));
    let (mut one, mut other) = (open(&config), open(&config));
    for input in [(0, 1, 1, 1), (0, 2, 2, 2)] {
        send(&mut one, input);
    }
    for input in [(0, 3, 1, 3), (1, 4, 4, 4)] {
        send(&mut other, input);
    }
    let mut state = one.snapshot().unwrap();
    state.entries.extend(other.snapshot().unwrap().entries);
    let mut whole = open(&config);
    whole.restore(state).unwrap();
    for input in [(1, 1, 1, 5), (1, 3, 1, 6)] {
        send(&mut whole, input);
    }
    for port in 0..2 {
        whole.finish(port).unwrap();
    }
    let expected = [
        [None, Some(4)],
        [Some(1), Some(5)],
        [Some(2), None],
        [Some(3), Some(6)],
    ];
    assert_eq!(sorted(pairs(&mut whole)), expected);
}

#[test]
fn how_far_the_sides_are_belongs_to_all_keys() {
    let config = config(json!({"type": "outer"}));
    let (mut ahead, mut behind) = (open(&config), open(&config));
    for input in [(0, 1, 50, 1), (1, 1, 50, 2)] {
        send(&mut ahead, input);
    }
    ahead.finish(1).unwrap();
    send(&mut behind, (0, 2, 30, 3));
    // More instances: one receives only the part that belongs to all.
    let mut state = ahead.snapshot().unwrap();
    state.entries.retain(belongs_to_all);
    let mut third = open(&config);
    third.restore(state).unwrap();
    send(&mut third, (0, 3, 49, 4));
    assert_eq!((counted("late"), pairs(&mut third).len()), (1, 0));
    send(&mut third, (0, 3, 50, 5));
    assert_eq!(pairs(&mut third), [[Some(5), None]], "the right has ended");
    // Fewer instances: one receives the parts of all.
    let parts = [ahead.snapshot().unwrap(), behind.snapshot().unwrap()];
    for order in [[0, 1], [1, 0]] {
        let entries = order.into_iter().flat_map(|at| parts[at].entries.clone());
        let mut whole = open(&config);
        whole
            .restore(State {
                version: saved::VERSION,
                entries: entries.collect(),
            })
            .unwrap();
        send(&mut whole, (0, 2, 49, 6));
        assert_eq!(counted("late"), 1);
        send(&mut whole, (0, 4, 51, 7));
        assert_eq!(pairs(&mut whole), [[Some(3), None], [Some(7), None]]);
    }
}

#[test]
fn a_time_far_ahead_makes_nothing_late() {
    set_now(Some(60_000));
    let mut join = open(&config(json!({})));
    send(&mut join, (0, 1, 100, 1));
    send(&mut join, (0, 1, 60 + 86_401, 2));
    send(&mut join, (0, 1, 105, 3));
    assert_eq!(join.rejected.len(), 1);
    assert_eq!(
        join.rejected[0].1,
        "its time is further ahead of the clock than `max_ahead`"
    );
    assert_eq!(counted("too_far_ahead"), 1);
    set_now(None);
}
