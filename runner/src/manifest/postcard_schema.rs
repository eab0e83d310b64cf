//! `schema`: the shape of a postcard datum, `{symbol: string, price: f64, tags: [string], note: string?}`.

use mosaik_streams::Schema;

use super::{
    diagnostics::{Diagnostic, did_you_mean, one_of},
    reader::Reader,
    tree::{Node, Value},
};

/// The words for a postcard value.
pub(crate) const WORDS: &[&str] = &[
    "bool", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64",
    "string", "bytes",
];

/// Reads a schema.
pub(crate) fn read(cx: &mut Reader<'_>, node: &Node) -> Option<Schema> {
    match &node.value {
        Value::Mapping(entries) => {
            // All fields, so that all mistakes are noted.
            let fields: Vec<_> = entries
                .iter()
                .map(|entry| Some((entry.key.text.clone(), read(cx, &entry.node)?)))
                .collect();
            fields
                .into_iter()
                .collect::<Option<_>>()
                .map(Schema::Struct)
        }
        Value::Sequence(items) => {
            if let [item] = items.as_slice() {
                return Some(Schema::Sequence(Box::new(read(cx, item)?)));
            }
            cx.note(
                Diagnostic::error("a list in a schema has one type")
                    .at(node.span, format!("expected one, found {}", items.len()))
                    .help("write it like `[string]`"),
            );
            None
        }
        Value::Scalar(_) => {
            let text = cx.text(
                node,
                "schema",
                "a type such as `string`, `[f64]` or `{name: type}`",
            )?;
            let (word, optional) = match text.as_str().strip_suffix('?') {
                Some(word) => (word, true),
                None => (text.as_str(), false),
            };
            let Some(schema) = of_word(word) else {
                cx.note(
                    Diagnostic::error(format!("{} is not a type", text.shown()))
                        .at(
                            node.span,
                            format!(
                                "expected {}, with `?` if it can be missing",
                                one_of(WORDS.iter().copied())
                            ),
                        )
                        .maybe_help(
                            rust_name(word).or_else(|| did_you_mean(word, WORDS.iter().copied())),
                        ),
                );
                return None;
            };
            Some(if optional {
                Schema::Option(Box::new(schema))
            } else {
                schema
            })
        }
    }
}

fn of_word(word: &str) -> Option<Schema> {
    let bits = |digits: &str| digits.parse::<u8>().ok();
    match word {
        "bool" => Some(Schema::Bool),
        "f32" => Some(Schema::F32),
        "f64" => Some(Schema::F64),
        "string" => Some(Schema::String),
        "bytes" => Some(Schema::Bytes),
        _ if !WORDS.contains(&word) => None,
        _ => match word.split_at(1) {
            ("u", digits) => bits(digits).map(Schema::Unsigned),
            ("i", digits) => bits(digits).map(Schema::Signed),
            _ => None,
        },
    }
}

/// What someone meant who wrote a Rust or JSON name.
fn rust_name(word: &str) -> Option<String> {
    let ours = match word {
        "String" | "str" | "&str" | "text" => "string",
        "usize" | "uint" => "u64",
        "isize" | "int" | "integer" => "i64",
        "float" | "double" | "number" => "f64",
        "boolean" => "bool",
        _ => return None,
    };
    Some(format!("did you mean `{ours}`?"))
}
