//! Differences between pairs of graphs.

use super::*;

#[test]
fn differences_of_manifests_are_found() {
    // A change of the base manifest, and every line of the plan except `keep`.
    let cases: &[(&str, &str, &str)] = &[
        ("", "", ""),
        (
            "markets",
            "other",
            "restart  node: the network changes: every connection belongs to the old one\n",
        ),
        (
            "{tags: [eu]}",
            "{tags: [us]}",
            "retune   node (tags: [eu] → [us])\n",
        ),
        (
            "{tags: [eu]}",
            "{tags: [eu], listen: ['127.0.0.1:9'], name: x}",
            "restart  node: the listen address changes: connections are bound to the old one\nretune   node (name: unset → x)\n",
        ),
        ("builtin:v1", "builtin:v2", "swap     operator o (wasm)\n"),
        (
            "to: b}",
            "to: b, config: {x: 1}, tick: 1s}",
            "swap     operator o (config, tick: unset → 1s)\n",
        ),
        (
            "to: b}",
            "to: b, checkpoint: 1m}",
            "retune   operator o (checkpoint: unset → 1m)\n",
        ),
        (
            "to: b}",
            "to: b, limits: {time: 2s}, on_error: stop}",
            "retune   operator o (limits.time: 1s → 2s, on_error: skip → stop)\n",
        ),
        (
            "to: b}",
            "to: b, allow: {random: true}}",
            "swap     operator o (allow.random: false → true)\n",
        ),
        (
            "from: a,",
            "from: {stream: a, buffer_size: 5},",
            "retune   operator o (buffer_size: 1024 → 5)\n",
        ),
        (
            "from: a,",
            "from: {stream: a, criteria: {x: 1}},",
            "retune   operator o (criteria)\n",
        ),
        (
            "builtin:v1', from: a,",
            "builtin:v2', from: {in: a},",
            "swap     operator o (wasm)\n",
        ),
        ("rate: 1", "rate: 2", "rewire   producer p (from)\n"),
        (
            "from: b, to: {stdout: {}}",
            "from: b, to: {file: {path: x}}",
            "rewire   consumer s (to)\n",
        ),
        (
            "from: b, to: {stdout: {}}",
            "from: b, to: {stdout: {}}, retry: {max: 1m}, on_error: {to: c}",
            "retune   consumer s (retry.max: 5s → 1m, on_error: unset → {to: c})\n",
        ),
        (
            "from: b, to: {stdout: {}}",
            "from: b, to: {stdout: {csv: {header: false}}}",
            "rewire   consumer s (to)\n",
        ),
        (
            "generate: {rate: 1}",
            "stdin: {csv: {types: {zip: string}}}",
            "rewire   producer p (from)\n",
        ),
        (
            "c: {scope: network}",
            "c: {scope: network, max_consumers: 3}",
            "retune   stream c (max_consumers: unset → 3)\n",
        ),
        (
            "  a: {}",
            "  a: {buffer_size: 9}",
            "retune   stream a (buffer_size: 1024 → 9)\nretune   operator o (buffer_size: 1024 → 9)\n",
        ),
        (
            "  t: {from: c, to: {stdout: {}}}\n",
            "  u: {from: c, to: {stdout: {}}}\n",
            "remove   consumer t\nadd      consumer u\n",
        ),
        ("  b: {}\n", "  b: {}\n  d: {scope: network}\n", "error"),
        (
            "to: b}",
            "to: b, on_error: {to: c}}",
            "retune   operator o (on_error: skip → {to: c})\n",
        ),
        (
            "c: {scope: network}",
            "c: {scope: network, id: other, max_consumers: 3}",
            "rewire   stream c (id, max_consumers: unset → 3)\nrewire   consumer t (its streams)\n",
        ),
        (
            "to: b}",
            "to: b, config: {x: 1}, state: reset}",
            "swap     operator o (config, state: carry → reset), its state starts empty\n",
        ),
        // The operator has no postcard stream.
        ("to: b}", "to: b, postcard: native}", ""),
    ];
    let old = graph(BASE);
    for (from, to, expected) in cases {
        let text = if from.is_empty() {
            BASE.to_owned()
        } else {
            BASE.replace(from, to)
        };
        assert!(from.is_empty() || text != BASE, "{from} is not in the base");
        let Ok(new) = try_load(&text) else {
            assert_eq!(*expected, "error", "{text}");
            continue;
        };
        let diff = Diff::between(&old, &new.graph);
        let plan: String = diff
            .to_string()
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("keep"))
            .collect();
        assert_eq!(plan, *expected, "{from} → {to}");
        assert_eq!(diff.is_empty(), expected.is_empty());
    }
}

#[test]
fn the_postcard_setting_matters_only_on_postcard_streams() {
    let with = |operator: &str| {
        graph(&format!(
            "mosaik: v1\nstreams:\n  a: {{encoding: postcard, schema: {{$tuple: [u8, char]}}}}\n  b: {{}}\nproducers:\n  \
             p: {{from: {{stdin: {{format: jsonl}}}}, to: a}}\noperators:\n  o: {{{operator}, from: a, to: b}}\nconsumers:\n  \
             s: {{from: b, to: {{stdout: {{}}}}}}\n"
        ))
    };
    let policy = |graph: &Graph| match &graph.stage(&key(Role::Operator, "o")).unwrap().kind {
        StageKind::Operator(operator) => operator.postcard,
        _ => panic!(),
    };
    let builtin = with("wasm: builtin:x");
    assert_eq!(policy(&builtin), PostcardPolicy::Json);
    let native = with("wasm: builtin:x, postcard: native");
    assert_eq!(policy(&native), PostcardPolicy::Native);
    assert_eq!(
        policy(&with("wasm: builtin:x, postcard: json")),
        PostcardPolicy::Json
    );
    let diff = Diff::between(&builtin, &native).to_string();
    assert!(
        diff.contains("rewire   operator o (postcard), its state starts empty\n"),
        "{diff}"
    );
    let nowhere = graph(BASE);
    assert_eq!(policy(&nowhere), PostcardPolicy::Native);
}

#[test]
fn a_subscription_continues_while_its_port_reads_the_same_stream() {
    let with = |a: &str, from: &str, producer: &str| {
        let other = if producer == "a" { "b" } else { "a" };
        graph(&format!(
            "mosaik: v1\nstreams: {{a: {a}, b: {{}}, c: {{}}}}\n\
             producers: {{p: {{from: {{stdin: {{format: lines}}}}, to: {producer}}}, q: {{from: {{generate: {{rate: 1}}}}, to: {other}}}}}\n\
             operators: {{two: {{wasm: 'builtin:two', from: {from}, to: {{out: c}}}}}}\n\
             consumers: {{s: {{from: c, to: {{stdout: {{}}}}}}, t: {{from: a, to: {{stdout: {{}}}}}}}}\n"
        ))
    };
    let old = with("{}", "{trades: a, quotes: b}", "a");
    let edges = |new: &Graph| {
        let diff = Diff::between(&old, new);
        let edges = diff.edges.iter().map(|edge| {
            let changed: Vec<_> = edge.changed.iter().map(|key| key.key.as_str()).collect();
            format!(
                "{}/{} {} {}",
                edge.stage,
                edge.port,
                edge.stream,
                changed.join(" ")
            )
        });
        edges.collect::<Vec<_>>()
    };
    let keeps_source = |new: &Graph| {
        let diff = Diff::between(&old, new);
        let stage = diff
            .stages
            .iter()
            .find(|stage| stage.key.name.as_str() == "p");
        stage.unwrap().keeps_source
    };
    let all = [
        "operator two/0 a ",
        "operator two/1 b ",
        "consumer s/0 c ",
        "consumer t/0 a ",
    ];
    assert_eq!(edges(&old), all);
    assert!(keeps_source(&old));

    let tuned = with(
        "{}",
        "{trades: {stream: a, buffer_size: 3, criteria: {x: 1}}, quotes: b}",
        "a",
    );
    assert_eq!(edges(&tuned)[0], "operator two/0 a criteria buffer_size");
    assert_eq!(edges(&tuned)[1..], all[1..]);

    let swapped = with("{}", "{trades: b, quotes: a}", "a");
    assert_eq!(edges(&swapped), all[2..]);

    // The encoding of `a` moves it, and its producer reads for another encoding.
    let moved = with("{encoding: bytes}", "{trades: a, quotes: b}", "a");
    assert_eq!(edges(&moved), ["operator two/1 b ", "consumer s/0 c "]);
    assert!(!keeps_source(&moved));

    let rewired = with("{}", "{trades: a, quotes: b}", "b");
    assert_eq!(edges(&rewired), all);
    assert!(keeps_source(&rewired), "only its stream changes");
}

/// The possible texts of each part of a manifest. Choice `0` omits the part if it is optional.
const PARTS: [&[&str]; 7] = [
    &[
        "{}",
        "{buffer_size: 9}",
        "{criteria: {x: 1}}",
        "{scope: network}",
    ],
    &[
        "{}",
        "{encoding: bytes}",
        "{scope: network, max_consumers: 2}",
    ],
    &[
        "{generate: {rate: 1}}",
        "{generate: {rate: 2}}",
        "{file: {path: in.jsonl, follow: true}}",
    ],
    &[
        "",
        "{wasm: 'builtin:v1', from: a, to: b}",
        "{wasm: 'builtin:v2', from: a, to: b}",
        "{wasm: 'builtin:v1', from: a, to: b, config: {x: 1}, state: reset}",
        "{wasm: 'builtin:v1', from: {stream: a, buffer_size: 3}, to: b, limits: {time: 2s}}",
    ],
    &[
        "",
        "{from: a, to: {stdout: {}}}",
        "{from: a, to: {file: {path: x}}}",
        "{from: {stream: a, criteria: {y: 1}}, to: {stdout: {}}}",
    ],
    &[
        "",
        "{from: b, to: {stdout: {}}}",
        "{from: {stream: b, online_when: {minimum_of: 2}}, to: {stdout: {}}}",
    ],
    &["{}", "{tags: [eu]}", "{name: x}"],
];

/// Assembles a manifest from one choice for each part, in the order of [`PARTS`].
fn assembled(choices: &[usize]) -> String {
    let part = |at: usize| PARTS[at][choices[at] % PARTS[at].len()];
    let mut text = format!(
        "mosaik: v1\nnetwork: n\nnode: {}\nstreams:\n  a: {}\n  b: {}\nproducers:\n  p: {{from: {}, to: a}}\n",
        part(6),
        part(0),
        part(1),
        part(2)
    );
    // A stage writes `b` and a stage reads both streams, whatever the other choices.
    text.push_str("  q: {from: {stdin: {format: lines}}, to: b}\n");
    if !part(3).is_empty() {
        let operator = part(3).replace("to: b", "to: c");
        text = text.replace("producers:", "  c: {}\nproducers:");
        text.push_str(&["operators:\n  o: ", &operator, "\n"].concat());
    }
    text.push_str(
        "consumers:\n  k: {from: a, to: {stdout: {}}}\n  l: {from: b, to: {stdout: {}}}\n",
    );
    if !part(3).is_empty() {
        text.push_str("  m: {from: c, to: {stdout: {}}}\n");
    }
    for (name, at) in [("s", 4), ("t", 5)] {
        if !part(at).is_empty() {
            text.push_str(&["  ", name, ": ", part(at), "\n"].concat());
        }
    }
    text
}

fn choices() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..64_usize, PARTS.len())
}

proptest! {
    #[test]
    fn a_difference_names_everything_once_and_only_what_differs(from in choices(), to in choices()) {
        let (old, new) = (graph(&assembled(&from)), graph(&assembled(&to)));
        prop_assert!(Diff::between(&old, &old).is_empty());
        let (there, back) = (Diff::between(&old, &new), Diff::between(&new, &old));

        let both: BTreeMap<_, _> = old.stages().chain(new.stages()).map(|stage| (&stage.key, stage)).collect();
        let named: Vec<_> = there.stages.iter().map(|stage| &stage.key).collect();
        prop_assert_eq!(named, both.into_keys().collect::<Vec<_>>());
        let streams: std::collections::BTreeSet<_> = old.streams.keys().chain(new.streams.keys()).collect();
        prop_assert_eq!(there.streams.iter().map(|stream| &stream.name).collect::<Vec<_>>(), Vec::from_iter(streams));

        let mirrored = |change: Change| match change {
            Change::Add => Change::Remove,
            Change::Remove => Change::Add,
            other => other,
        };
        let has_reason = |change: Change| matches!(change, Change::Retune | Change::Swap | Change::Rewire);
        for (stage, again) in there.stages.iter().zip(&back.stages) {
            prop_assert_eq!(stage.change, mirrored(again.change));
            let keys = |stage: &StageChange| stage.changed.iter().map(|changed| changed.key.clone()).collect::<Vec<_>>();
            prop_assert_eq!(keys(stage), keys(again));
            prop_assert_eq!(has_reason(stage.change), !stage.changed.is_empty());
            // A stage is kept if and only if it and its streams are the same.
            let same = |stage: &Stage, graph: &Graph| {
                let streams: Vec<_> = stage.edges().map(|edge| &edge.stream).chain(stage.writes()).collect();
                let wired = |name: &&StreamName| {
                    let stream = &graph.streams[*name];
                    (stream.settings.scope, stream.encoding.clone(), stream.id)
                };
                (stage.clone(), streams.iter().map(wired).collect::<Vec<_>>())
            };
            let (was, is) = (old.stage(&stage.key), new.stage(&stage.key));
            if let (Some(was), Some(is)) = (was, is) {
                prop_assert_eq!(stage.change == Change::Keep, same(was, &old) == same(is, &new));
            }
        }
        for (stream, again) in there.streams.iter().zip(&back.streams) {
            prop_assert_eq!(stream.change, mirrored(again.change));
            prop_assert_eq!(has_reason(stream.change), !stream.changed.is_empty());
        }
        prop_assert_eq!(there.is_empty(), back.is_empty());
        prop_assert_eq!(there.is_empty(), there.steps().iter().all(Step::is_keep));
    }
}
