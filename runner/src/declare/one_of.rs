//! A choice between connectors: a mapping with the name of one of them.

use super::{
    Kind, Shape,
    diagnostics::{Diagnostic, did_you_mean, one_of},
    reader::Reader,
    tree::{Node, Value},
};

/// A connector: its name, and the kind of its settings.
type Named<T> = (&'static str, Kind<T>);

/// A mapping with the name of one of these connectors.
pub(crate) fn one_of_these<T: 'static>(connectors: Vec<Named<T>>) -> Kind<T> {
    let shapes = connectors
        .iter()
        .map(|(name, kind)| (*name, kind.shape.clone()));
    Kind::new(Shape::OneOf(shapes.collect()), move |cx, node, what| {
        let entry = match &node.value {
            Value::Mapping(entries) => match entries.as_slice() {
                [entry] => entry,
                entries => {
                    not_one(cx, node, entries.len(), &connectors);
                    return None;
                }
            },
            Value::Scalar(_) | Value::Sequence(_) => {
                not_a_mapping(cx, node, what, &connectors);
                return None;
            }
        };
        let name = &entry.key.text;
        let Some((name, kind)) = connectors.iter().find(|(known, _)| known == name) else {
            cx.note(
                Diagnostic::error(format!("unknown connector `{name}` in `{what}`"))
                    .at(
                        entry.key.span,
                        format!("expected {}", one_of(names(&connectors))),
                    )
                    .maybe_help(did_you_mean(name, names(&connectors))),
            );
            return None;
        };
        (kind.read)(cx, &entry.node, name)
    })
}

fn names<T>(connectors: &[Named<T>]) -> impl Iterator<Item = &'static str> {
    connectors.iter().map(|(name, _)| *name)
}

fn not_one<T>(cx: &mut Reader<'_>, node: &Node, found: usize, connectors: &[Named<T>]) {
    let found = if found == 0 {
        "none".to_owned()
    } else {
        found.to_string()
    };
    cx.note(
        Diagnostic::error(format!("expected one connector, found {found}"))
            .at(node.span, format!("expected {}", one_of(names(connectors)))),
    );
}

fn not_a_mapping<T>(cx: &mut Reader<'_>, node: &Node, what: &str, connectors: &[Named<T>]) {
    let known = match &node.value {
        Value::Scalar(scalar) => names(connectors).find(|name| *name == scalar.text),
        _ => None,
    };
    match known {
        Some(name) => cx.note(
            Diagnostic::error(format!("`{name}` is incomplete"))
                .at(node.span, "expected a mapping")
                .help(format!("write `{{{name}: {{}}}}`")),
        ),
        None => cx.expected(
            node,
            what,
            &format!("a mapping with {}", one_of(names(connectors))),
        ),
    }
}
