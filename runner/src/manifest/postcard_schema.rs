//! `schema`: the structure of a postcard record, `{symbol: string, price: f64, tags: [string], note: string?}`.
//!
//! A word is a simple type, a list with one type is a sequence, and a mapping is a struct. Other Rust types are
//! mappings with a single key that starts with `$`, as no field name does: `{$enum: {Bid: ~, Ask: {size: u32}}}`.

use mosaik_streams::Schema;

use crate::declare::{Diagnostic, Entry, Node, Reader, Value, did_you_mean, one_of};

/// The words for simple types.
pub(crate) const WORDS: &[&str] = &[
    "bool", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64",
    "char", "string", "bytes", "unit",
];

/// The words for the key types of a map.
pub(crate) const KEY_WORDS: &[&str] = &[
    "bool", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "char", "string",
];

/// The forms that start with `$`, with their syntax.
const FORMS: &[(&str, &str)] = &[
    (
        "$option",
        "`{$option: {price: f64}}`, for `Option<_>` of a type that is not one word",
    ),
    ("$array", "`{$array: [u8, 32]}`, for `[u8; 32]`"),
    ("$tuple", "`{$tuple: [string, f64]}`, for `(String, f64)`"),
    (
        "$map",
        "`{$map: [string, f64]}`, for a map from `String` to `f64`",
    ),
    (
        "$enum",
        "`{$enum: {Bid: ~, Ask: {size: u32}}}`, for `enum { Bid, Ask { size: u32 } }`",
    ),
];

/// Maximum length of an array: 65,536.
pub(crate) const MAX_ARRAY_LEN: u64 = 65_536;

/// Reads a schema.
pub(crate) fn read(cx: &mut Reader<'_>, node: &Node) -> Option<Schema> {
    match &node.value {
        Value::Mapping(entries) => match entries.iter().find(|entry| is_form(entry)) {
            Some(entry) => {
                let [_] = entries.as_slice() else {
                    let shown = &entry.key.text;
                    cx.note(
                        Diagnostic::error(format!("`{shown}` must be the only key of its mapping"))
                            .at(entry.key.span, "a name with `$` is a type, not a field")
                            .help(format!(
                                "give it a field of its own: `name: {{{shown}: …}}`"
                            )),
                    );
                    return None;
                };
                form(cx, entry)
            }
            None => fields(cx, entries).map(Schema::Struct),
        },
        Value::Sequence(items) => {
            if let [item] = items.as_slice() {
                return Some(Schema::Sequence(Box::new(read(cx, item)?)));
            }
            cx.note(
                Diagnostic::error("a list in a schema has one type")
                    .at(node.span, format!("expected one, found {}", items.len()))
                    .help("write it like `[string]`, or as a tuple like `{$tuple: [string, f64]}`"),
            );
            None
        }
        Value::Scalar(_) => word(cx, node),
    }
}

fn is_form(entry: &Entry) -> bool {
    entry.key.text.starts_with('$')
}

/// Reads all fields, so that all mistakes are reported.
fn fields(cx: &mut Reader<'_>, entries: &[Entry]) -> Option<Vec<(String, Schema)>> {
    let fields: Vec<_> = entries
        .iter()
        .map(|entry| Some((entry.key.text.clone(), read(cx, &entry.node)?)))
        .collect();
    fields.into_iter().collect()
}

fn form(cx: &mut Reader<'_>, entry: &Entry) -> Option<Schema> {
    let node = &entry.node;
    match entry.key.text.as_str() {
        "$option" => option(cx, node),
        "$array" => {
            let [item, len] = parts(cx, node, "$array")?;
            let item = read(cx, item);
            let len = cx.count(len, "the length of an array", 0, MAX_ARRAY_LEN);
            Some(Schema::Array(Box::new(item?), u32::try_from(len?).ok()?))
        }
        "$tuple" => {
            let Value::Sequence(items) = &node.value else {
                wrong_form(cx, node, "$tuple");
                return None;
            };
            let items: Vec<_> = items.iter().map(|item| read(cx, item)).collect();
            Some(Schema::Tuple(items.into_iter().collect::<Option<_>>()?))
        }
        "$map" => {
            let [key_node, value] = parts(cx, node, "$map")?;
            let (key, value) = (read(cx, key_node), read(cx, value));
            let key = key?;
            if !key.is_key() {
                cx.note(
                    Diagnostic::error("invalid type of the keys of a map")
                        .at(
                            key_node.span,
                            format!(
                                "expected {}, or an enum whose variants have no fields",
                                one_of(KEY_WORDS.iter().copied())
                            ),
                        )
                        .help("operators and consumers see a map as a JSON object, whose keys are strings"),
                );
                return None;
            }
            Some(Schema::Map(Box::new(key), Box::new(value?)))
        }
        "$enum" => {
            let Value::Mapping(variants) = &node.value else {
                wrong_form(cx, node, "$enum");
                return None;
            };
            let variants: Vec<_> = variants.iter().map(|entry| variant(cx, entry)).collect();
            Some(Schema::Enum(variants.into_iter().collect::<Option<_>>()?))
        }
        unknown => {
            let names = || FORMS.iter().map(|(name, _)| *name);
            cx.note(
                Diagnostic::error(format!("`{unknown}` is not a type"))
                    .at(entry.key.span, format!("expected {}", one_of(names())))
                    .maybe_help(did_you_mean(unknown, names())),
            );
            None
        }
    }
}

fn option(cx: &mut Reader<'_>, node: &Node) -> Option<Schema> {
    let inner = read(cx, node)?;
    if let Value::Scalar(scalar) = &node.value
        && !matches!(inner, Schema::Option(_))
    {
        cx.note(
            Diagnostic::error("`$option` is for types that are not one word")
                .at(node.span, "write this with `?`")
                .help(format!("write `{}?`", scalar.text)),
        );
        return None;
    }
    Some(Schema::Option(Box::new(inner)))
}

fn variant(cx: &mut Reader<'_>, entry: &Entry) -> Option<(String, Option<Schema>)> {
    let content = if entry.node.is_null() {
        None
    } else {
        Some(read(cx, &entry.node)?)
    };
    Some((entry.key.text.clone(), content))
}

/// Returns the two parts of a form.
fn parts<'n>(cx: &mut Reader<'_>, node: &'n Node, name: &str) -> Option<[&'n Node; 2]> {
    if let Value::Sequence(items) = &node.value
        && let [first, second] = items.as_slice()
    {
        return Some([first, second]);
    }
    wrong_form(cx, node, name);
    None
}

fn wrong_form(cx: &mut Reader<'_>, node: &Node, name: &str) {
    let form = FORMS.iter().find(|(form, _)| *form == name);
    let form = form.map_or("", |(_, form)| *form);
    cx.note(
        Diagnostic::error(format!("`{name}` has another notation"))
            .at(node.span, format!("found {}", node.kind()))
            .help(format!("write it like {form}")),
    );
}

fn word(cx: &mut Reader<'_>, node: &Node) -> Option<Schema> {
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
                        "expected {}, with `?` if it is optional",
                        one_of(WORDS.iter().copied())
                    ),
                )
                .maybe_help(rust_name(word).or_else(|| did_you_mean(word, WORDS.iter().copied()))),
        );
        return None;
    };
    Some(if optional {
        Schema::Option(Box::new(schema))
    } else {
        schema
    })
}

fn of_word(word: &str) -> Option<Schema> {
    let bits = |digits: &str| digits.parse::<u8>().ok();
    match word {
        "bool" => Some(Schema::Bool),
        "f32" => Some(Schema::F32),
        "f64" => Some(Schema::F64),
        "char" => Some(Schema::Char),
        "string" => Some(Schema::String),
        "bytes" => Some(Schema::Bytes),
        "unit" => Some(Schema::Unit),
        _ if !WORDS.contains(&word) => None,
        _ => match word.split_at(1) {
            ("u", digits) => bits(digits).map(Schema::Unsigned),
            ("i", digits) => bits(digits).map(Schema::Signed),
            _ => None,
        },
    }
}

/// Returns a suggestion for the name of a Rust or JSON type.
fn rust_name(word: &str) -> Option<String> {
    let ours = match word {
        "String" | "str" | "&str" | "text" => "string",
        "usize" | "uint" => "u64",
        "isize" | "int" | "integer" => "i64",
        "float" | "double" | "number" => "f64",
        "boolean" => "bool",
        "()" | "null" => "unit",
        "Vec<u8>" => "bytes",
        _ => return rust_shape(word),
    };
    Some(format!("did you mean `{ours}`?"))
}

/// Returns the syntax for a generic Rust type.
fn rust_shape(word: &str) -> Option<String> {
    let form = |name: &str| {
        let form = FORMS.iter().find(|(form, _)| *form == name)?;
        Some(format!("write it like {}", form.1))
    };
    let (outer, _) = word.split_once(['<', '(', '['])?;
    match outer {
        "Option" => Some("write it like `string?` or `{$option: {price: f64}}`".to_owned()),
        "Vec" | "VecDeque" | "BTreeSet" | "HashSet" => Some("write it like `[string]`".to_owned()),
        "BTreeMap" | "HashMap" => form("$map"),
        "" if word.starts_with('(') => form("$tuple"),
        "" if word.starts_with('[') => form("$array"),
        _ => None,
    }
}
