//! `instances` and `key` of an operator: the number of parallel instances, and the distribution of records among them.

use mosaik_streams::path;

use super::{
    diagnostics::Diagnostic,
    keys::Shape,
    reader::{Fields, Reader},
    source::Spanned,
    tree::{Node, Value},
};

/// Maximum number of instances of one operator: 256.
pub(super) const MAX_INSTANCES: u64 = 256;
/// Maximum number of fields in a key: 8.
const MAX_FIELDS: usize = 8;

/// Either one field, or a list of fields.
pub(super) const KEY: Shape = Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)]);

/// Reads the number of instances, and the key fields that assign each record to an instance.
pub(super) fn read(
    cx: &mut Reader<'_>,
    fields: Fields<'_>,
) -> (Option<Spanned<usize>>, Option<Spanned<Vec<String>>>) {
    let instances = fields.node("instances").and_then(|node| {
        let instances = cx.count(node, "instances", 1, MAX_INSTANCES)?;
        let instances = usize::try_from(instances).ok()?;
        Some(Spanned::new(instances, node.span))
    });
    let key = fields.node("key").and_then(|node| key(cx, node));
    (instances, key)
}

fn key(cx: &mut Reader<'_>, node: &Node) -> Option<Spanned<Vec<String>>> {
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
    Some(Spanned::new(names, node.span))
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
