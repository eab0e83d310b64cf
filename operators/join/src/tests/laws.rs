//! Properties that hold for all inputs.

use super::*;
use proptest::prelude::*;

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let inputs = proptest::collection::vec((0usize..2, 0u8..3, 0i64..100), 0..60);
    inputs.prop_map(|inputs| {
        let numbered = inputs.into_iter().zip(0u32..);
        numbered
            .map(|((side, key, time), id)| (side, key, time, id))
            .collect()
    })
}

/// The join by its definition: every left record with every right one, then those without a match.
fn nested_loops(inputs: &[Input], within: i64, kind: &str) -> Vec<[Option<u64>; 2]> {
    let mut all = Vec::new();
    let fits = |one: &Input, other: &Input| {
        one.0 != other.0 && one.1 == other.1 && (one.2 - other.2).abs() <= within
    };
    for one in inputs {
        let id = Some(u64::from(one.3));
        let found = inputs.iter().filter(|other| fits(one, other));
        if one.0 == 0 {
            all.extend(found.clone().map(|other| [id, Some(u64::from(other.3))]));
        }
        let keeps = kind == "outer" || kind == config::SIDES[one.0];
        if found.count() == 0 && keeps {
            all.push(if one.0 == 0 { [id, None] } else { [None, id] });
        }
    }
    sorted(all)
}

fn kinds() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("inner"), Just("left"), Just("right"), Just("outer")]
}

proptest! {
    #[test]
    fn it_is_what_nested_loops_give(inputs in inputs(), within in 0i64..40, kind in kinds(), ends in 0usize..60) {
        let config = config(json!({"within": format!("{within}s"), "type": kind, "lateness": "100s"}));
        let mut join = open(&config);
        // One of the sides ends as soon as all of its records were sent.
        let first = ends % 2;
        let last = inputs.iter().rposition(|input| input.0 == first).map_or(0, |at| at + 1);
        for (index, input) in inputs.iter().enumerate() {
            if index == last {
                join.finish(first).unwrap();
            }
            send(&mut join, *input);
        }
        join.finish(first).unwrap();
        join.finish(1 - first).unwrap();
        prop_assert!(join.rejected.is_empty());
        prop_assert_eq!(sorted(pairs(&mut join)), nested_loops(&inputs, within, kind));
        prop_assert!(join.snapshot().unwrap().entries.iter().all(belongs_to_all));
    }

    #[test]
    fn disorder_within_lateness_changes_nothing(
        steps in proptest::collection::vec((0usize..2, 0u8..3, 0i64..8, 0i64..15), 0..60), kind in kinds(),
    ) {
        // The time of each side advances, and each record is at most 15 s behind it.
        let mut newest = [0, 0];
        let inputs: Vec<Input> = steps.iter().zip(0u32..).map(|((side, key, step, behind), id)| {
            newest[*side] += step;
            (*side, *key, newest[*side] - behind, id)
        }).collect();
        let mut join = open(&config(json!({"type": kind, "lateness": "15s"})));
        for input in &inputs {
            send(&mut join, *input);
        }
        for port in 0..2 {
            join.finish(port).unwrap();
        }
        prop_assert!(join.rejected.is_empty());
        prop_assert_eq!(sorted(pairs(&mut join)), nested_loops(&inputs, 10, kind));
    }

    #[test]
    fn nothing_is_lost_in_silence(inputs in inputs(), lateness in 0i64..50, most in 1usize..10) {
        for name in ["late", "unmatched_left", "unmatched_right"] {
            counted(name);
        }
        let mut join = open(&config(json!({"type": "left", "lateness": format!("{lateness}s"), "max_records": most})));
        for input in &inputs {
            send(&mut join, *input);
        }
        for port in 0..2 {
            join.finish(port).unwrap();
        }
        let sent = join.take();
        let late = sent.iter().filter(|(port, _)| *port == LATE).count();
        prop_assert_eq!(late as u64, counted("late"));
        let mut seen = std::collections::BTreeSet::new();
        for (_, datum) in sent.iter().filter(|(port, _)| *port == 0) {
            let pair: Json = serde_json::from_slice(datum).unwrap();
            seen.extend(["left", "right"].iter().filter_map(|side| pair[side]["id"].as_u64()));
        }
        prop_assert_eq!(counted("unmatched_left"), 0);
        prop_assert_eq!(seen.len() + late + counted("unmatched_right") as usize, inputs.len());
    }

    #[test]
    fn a_state_can_be_taken_over_at_any_point(
        inputs in inputs(), at in 0usize..60, ends in any::<bool>(), kind in kinds(), lateness in 0i64..40,
    ) {
        let config = config(json!({"type": kind, "lateness": format!("{lateness}s"), "max_records": 12}));
        let (before, after) = inputs.split_at(at.min(inputs.len()));
        let run = |join: &mut Harness<JoinOperator>, inputs: &[Input], right_too: bool| {
            for input in inputs.iter().filter(|input| right_too || input.0 == 0) {
                send(join, *input);
            }
        };
        let mut whole = open(&config);
        run(&mut whole, before, true);
        let mut first = open(&config);
        run(&mut first, before, true);
        if ends {
            whole.finish(1).unwrap();
            first.finish(1).unwrap();
        }
        let mut second = open(&config);
        second.restore(first.snapshot().unwrap()).unwrap();
        prop_assert_eq!(second.snapshot().unwrap(), first.snapshot().unwrap());
        for join in [&mut whole, &mut second] {
            run(join, after, !ends);
            join.finish(0).unwrap();
            join.finish(1).unwrap();
        }
        let mut parts = first.take();
        parts.extend(second.take());
        prop_assert_eq!(parts, whole.take());
    }

    #[test]
    fn no_datum_panics(datum in "\\PC{0,40}", time in "\\PC{0,20}") {
        let mut join = open(&config(json!({"output": "merged"})));
        for side in 0..2 {
            join.send(side, [datum.clone(), json!({"k": 1, "t": time}).to_string()]).unwrap();
        }
    }
}
