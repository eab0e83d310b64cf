//! How two graphs differ, pair by pair.

use super::*;

#[test]
fn differences() {
    // What is changed in the base, and every line of the plan that is not `keep`.
    let cases: &[(&str, &str, &str)] = &[
        ("", "", ""),
        (
            "markets",
            "other",
            "restart  node: the network changes: every connection belongs to the old one\n",
        ),
        ("{tags: [eu]}", "{tags: [us]}", "retune   node (tags)\n"),
        (
            "{tags: [eu]}",
            "{tags: [eu], listen: ['127.0.0.1:9'], name: x}",
            "restart  node: the listen address changes: connections are bound to the old one\nretune   node (name)\n",
        ),
        ("builtin:v1", "builtin:v2", "swap     operator o (wasm)\n"),
        (
            "to: b}",
            "to: b, config: {x: 1}, tick: 1s}",
            "swap     operator o (config, tick)\n",
        ),
        (
            "to: b}",
            "to: b, checkpoint: 1m}",
            "retune   operator o (checkpoint)\n",
        ),
        (
            "to: b}",
            "to: b, limits: {time: 1s}, on_error: stop}",
            "retune   operator o (limits, on_error)\n",
        ),
        (
            "to: b}",
            "to: b, allow: {random: true}}",
            "swap     operator o (allow)\n",
        ),
        (
            "from: a,",
            "from: {stream: a, buffer_size: 5},",
            "retune   operator o (buffer_size)\n",
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
            "c: {scope: network}",
            "c: {scope: network, max_consumers: 3}",
            "retune   stream c (max_consumers)\n",
        ),
        (
            "  a: {}",
            "  a: {buffer_size: 9}",
            "retune   stream a (buffer_size)\nretune   operator o (buffer_size)\n",
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
            "retune   operator o (on_error)\n",
        ),
        (
            "c: {scope: network}",
            "c: {scope: network, id: other, max_consumers: 3}",
            "rewire   stream c (id, max_consumers)\nrewire   consumer t (its streams)\n",
        ),
        (
            "to: b}",
            "to: b, config: {x: 1}, state: reset}",
            "swap     operator o (config, state), its state starts empty\n",
        ),
        // There is no stream that it could be about.
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
fn what_postcard_is_to_an_operator_matters_where_there_is_some() {
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
