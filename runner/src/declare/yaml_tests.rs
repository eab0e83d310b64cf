//! The limits of YAML parsing, tested at their boundaries.

use std::{fmt::Write as _, time::Duration};

use proptest::prelude::*;

use super::{
    tree::{Node, Value},
    yaml::{MAX_DEPTH, MAX_NODES, parse},
};
use crate::operator::thread_cpu_time;

fn tree(text: &str) -> Node {
    let mut found = Vec::new();
    let node = parse(text, &mut found).unwrap().unwrap();
    assert!(found.is_empty(), "{found:?}");
    node
}

fn refused(text: &str) -> String {
    let start = thread_cpu_time();
    let message = parse(text, &mut Vec::new()).unwrap_err().message;
    let took = thread_cpu_time().saturating_sub(start);
    assert!(took < Duration::from_secs(1), "{took:?}");
    message
}

#[test]
fn spans_cover_the_text_of_their_values() {
    let text = "é: {a: [1, \"b c\"]}\nblock:\n  key: >\n    folded\n  last: x\nend:\n";
    let root = tree(text);
    let slice = |node: &Node| text[node.span.start..node.span.end].to_owned();
    let first = &root.get("é").unwrap().node;
    assert_eq!(slice(first), "{a: [1, \"b c\"]}");
    let Value::Sequence(items) = &first.get("a").unwrap().node.value else {
        panic!()
    };
    assert_eq!(slice(&items[1]), "\"b c\"");
    let block = &root.get("block").unwrap().node;
    assert!(
        slice(block).starts_with("key: >") && slice(block).ends_with("last: x"),
        "{}",
        slice(block)
    );
    // An empty value has no text of its own, so the location of its key is used.
    assert_eq!(slice(&root.get("end").unwrap().node), "end");
}

#[test]
fn depth_is_bounded_through_aliases_too() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    tree(&nested(MAX_DEPTH));
    assert!(refused(&nested(MAX_DEPTH + 1)).contains("are nested more than"));
    let (half, rest) = (MAX_DEPTH / 2, MAX_DEPTH / 2 - 1);
    let aliased = |depth: usize| {
        format!(
            "a: &a {}\nb: {}*a{}\n",
            nested(half),
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    tree(&aliased(rest));
    assert!(refused(&aliased(rest + 1)).contains("are nested more than"));
}

#[test]
fn aliases_repeat_within_bounds() {
    let root = tree("a: &a {x: 1}\nb: *a\nc: [*a, *a]\n");
    assert_eq!(root.get("a").unwrap().node, root.get("b").unwrap().node);
    assert!(refused("a: &a [*a]").contains("alias"));
    let mut laughs = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..40 {
        let _ = writeln!(laughs, "a{level}: &a{level} [*a{0}, *a{0}]", level - 1);
    }
    assert!(refused(&laughs).contains("100000 values"));
    let text = "t".repeat(10_000);
    let long = format!("a: &a {text}\nb: [{}]\n", vec!["*a"; 1000].join(", "));
    assert!(refused(&long).contains("MiB of text"));
    // Nested anchors keep the same values several times.
    let wide = vec!["1"; MAX_NODES / 20].join(",");
    let mut kept = wide;
    for level in 0..30 {
        kept = format!("&k{level} [{kept}]");
    }
    assert!(refused(&kept).contains("anchors"));
}

#[test]
fn repeated_keys_are_found_and_the_first_one_stays() {
    let mut found = Vec::new();
    let root = parse("a: 1\nb: {c: 1, c: 2}\na: 3\n", &mut found)
        .unwrap()
        .unwrap();
    let messages: Vec<_> = found.iter().map(|found| found.message.as_str()).collect();
    assert_eq!(messages, ["`c` is there twice", "`a` is there twice"]);
    let Value::Scalar(first) = &root.get("a").unwrap().node.value else {
        panic!()
    };
    assert_eq!(first.text, "1");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\\n\\té→\u{feff}]{0,80}") {
        let mut found = Vec::new();
        let wrong = parse(&text, &mut found).err();
        for found in found.iter().chain(wrong.as_ref()) {
            let (span, _) = found.primary.as_ref().unwrap();
            prop_assert!(text.get(span.start..span.end).is_some(), "{found:?}");
        }
    }
}
