//! `instances` and `key` of an operator: the number of parallel instances, and the distribution of records among them.

use mosaik_streams::path;

use crate::declare::{Diagnostic, Kind, Node, Reader, Shape, Value};

/// Maximum number of instances of one operator: 256.
pub(super) const MAX_INSTANCES: u64 = 256;
/// Maximum number of fields in a key: 8.
const MAX_FIELDS: usize = 8;

/// The fields that assign each record to an instance: one field, or a list of fields.
pub(super) fn key_fields() -> Kind<Vec<String>> {
    let shape = Shape::Either(vec![Shape::Text, Shape::List(Box::new(Shape::Text))]);
    Kind::new(shape, |cx, node, _| key(cx, node)).show(|fields| match fields.as_slice() {
        [field] => field.clone(),
        fields => format!("[{}]", fields.join(", ")),
    })
}

fn key(cx: &mut Reader<'_>, node: &Node) -> Option<Vec<String>> {
    let names = match &node.value {
        Value::Sequence(items) if items.is_empty() || items.len() > MAX_FIELDS => {
            cx.note(
                Diagnostic::error(format!("`key` has {} fields", items.len())).at(
                    node.span,
                    format!("expected a field, or a list of 1 to {MAX_FIELDS}"),
                ),
            );
            return None;
        }
        Value::Sequence(items) => {
            let names: Vec<_> = items.iter().map(|item| field(cx, item)).collect();
            names.into_iter().collect::<Option<Vec<_>>>()?
        }
        _ => vec![field(cx, node)?],
    };
    Some(names)
}

fn field(cx: &mut Reader<'_>, node: &Node) -> Option<String> {
    cx.parse(node, "key", "a field", |text| {
        let is_path = path::parts(text).all(|(_, name)| !name.is_empty());
        is_path.then(|| text.to_owned()).ok_or_else(|| {
            (
                "expected a name like `symbol` or `user.id`".to_owned(),
                None,
            )
        })
    })
}
