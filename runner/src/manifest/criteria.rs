//! `criteria`: the records that a stream or an edge selects, and the combination of both.

use std::sync::Arc;

use mosaik_streams::{Criteria, Encoding, Schema, criteria::Path, path};

use crate::connector::through_options;
use crate::declare::{
    Diagnostic, Diagnostics, Entry, Guarded, Kind, Node, Plain, Reader, Shape, Source, Span, Value,
    did_you_mean, from_node, one_of, parse_yaml,
};

/// Criteria as written in the manifest.
#[derive(Debug, Clone)]
pub(crate) struct CriteriaDecl {
    /// A list of mappings from fields to conditions, after substitution.
    alternatives: Vec<Vec<Entry>>,
    criteria: Guarded<Criteria>,
}

impl CriteriaDecl {
    /// Returns the fields, with their locations, that none of these JSON records has and whose conditions therefore
    /// never hold.
    pub(crate) fn missing_in(&self, records: &[Vec<u8>]) -> Vec<(String, Span)> {
        let any_meets = |criteria: &Criteria, records: &[Vec<u8>]| {
            let selector = criteria.selector(&Encoding::Json).ok();
            // Criteria that cannot be inspected are assumed to match.
            selector.is_none_or(|selector| {
                let mut met = records.iter().map(|record| selector.matches(record));
                met.any(|met| met.unwrap_or(true))
            })
        };
        let mut missing = Vec::new();
        for entry in self.alternatives.iter().flatten() {
            let alone = node(Value::Mapping(vec![entry.clone()]));
            let Ok(alone) = from_node::<Criteria>(&alone) else {
                continue;
            };
            let is_there =
                |path: &Path| any_meets(&Criteria::field(path.clone()).exists(true), records);
            if !any_meets(&alone, &[b"{}".to_vec()]) && !alone.paths().any(is_there) {
                missing.push((entry.key.text.clone(), entry.key.span));
            }
        }
        missing
    }
}

/// Parses criteria in the syntax of manifests: `{city: Oslo}`.
///
/// # Errors
/// Returns every mistake with its location.
pub fn parse(text: &str) -> Result<Criteria, Diagnostics> {
    let mut found = Vec::new();
    let criteria = parse_yaml(text, &mut found).and_then(|node| match node {
        Some(node) => {
            ambiguous(&node, &mut found);
            from_node::<Criteria>(&node).map_err(|wrong| *wrong)
        }
        None => Err(Diagnostic::error("the criteria are empty").help("like `{city: Oslo}`")),
    });
    match criteria {
        Ok(criteria) if found.is_empty() => Ok(criteria),
        Ok(_) => Err(mistakes(text, found)),
        Err(wrong) => {
            found.push(wrong);
            Err(mistakes(text, found))
        }
    }
}

fn mistakes(text: &str, found: Vec<Diagnostic>) -> Diagnostics {
    Diagnostics::new(Arc::new(Source::new("criteria", text)), found, Vec::new())
}

/// Criteria of a stream or of an edge.
pub(crate) fn kind() -> Kind<CriteriaDecl> {
    Kind::new(Shape::Criteria, |cx, node, _| read(cx, node))
}

fn read(cx: &mut Reader<'_>, node: &Node) -> Option<CriteriaDecl> {
    if !matches!(node.value, Value::Mapping(_) | Value::Sequence(_)) {
        cx.expected(
            node,
            "criteria",
            "a mapping from fields to conditions, or a list of such mappings",
        );
        return None;
    }
    let node = cx.resolve(node)?;
    if refuse_ambiguous(cx, &node) {
        return None;
    }
    let criteria = match from_node::<Criteria>(&node) {
        Ok(criteria) => Guarded::new(criteria, node.has_secrets()),
        Err(wrong) => {
            cx.note(*wrong);
            return None;
        }
    };
    let alternatives = match node.value {
        Value::Mapping(entries) if entries.is_empty() => Vec::new(),
        Value::Mapping(entries) => vec![entries],
        Value::Sequence(items) => items.into_iter().filter_map(entries_of).collect(),
        Value::Scalar(_) => Vec::new(),
    };
    Some(CriteriaDecl {
        alternatives,
        criteria,
    })
}

/// Rejects text in criteria that resembles a number, and bounds that are neither numbers nor text. Returns whether it
/// found any.
pub(crate) fn refuse_ambiguous(cx: &mut Reader<'_>, node: &Node) -> bool {
    let mut found = Vec::new();
    ambiguous(node, &mut found);
    let any = !found.is_empty();
    for wrong in found {
        cx.note(wrong);
    }
    any
}

fn ambiguous(node: &Node, found: &mut Vec<Diagnostic>) {
    match &node.value {
        Value::Sequence(alternatives) => {
            for alternative in alternatives {
                ambiguous(alternative, found);
            }
        }
        Value::Mapping(fields) => {
            for field in fields {
                ambiguous_condition(&field.node, found);
            }
        }
        Value::Scalar(_) => {}
    }
}

fn ambiguous_condition(node: &Node, found: &mut Vec<Diagnostic>) {
    const BOUNDS: [&str; 4] = ["gt", "gte", "lt", "lte"];
    match &node.value {
        Value::Scalar(_) => found.extend(resembles_number(node)),
        Value::Sequence(values) => found.extend(values.iter().filter_map(resembles_number)),
        Value::Mapping(entries) => {
            for Entry { key, node } in entries {
                if key.text == "not" {
                    ambiguous_condition(node, found);
                } else if BOUNDS.contains(&key.text.as_str()) {
                    found.extend(resembles_number(node).or_else(|| no_bound(&key.text, node)));
                }
            }
        }
    }
}

fn resembles_number(node: &Node) -> Option<Diagnostic> {
    let Value::Scalar(scalar) = &node.value else {
        return None;
    };
    scalar.resembles_number().then(|| {
        let shown = if scalar.secret {
            "this".to_owned()
        } else {
            format!("`{}`", scalar.text)
        };
        Diagnostic::error(format!("{shown} is not a number that criteria support"))
            .at(node.span, "expected a decimal number or text")
            .help("write a number in decimal digits, like `16` or `1.5e3`; put text in quotes")
    })
}

fn no_bound(name: &str, node: &Node) -> Option<Diagnostic> {
    let Value::Scalar(scalar) = &node.value else {
        return None;
    };
    matches!(scalar.resolve(), Plain::Null | Plain::Bool(_)).then(|| {
        Diagnostic::error(format!(
            "`{name}` must be a number or text, found {}",
            node.kind()
        ))
        .at(node.span, "no value is within this bound")
    })
}

fn entries_of(node: Node) -> Option<Vec<Entry>> {
    match node.value {
        Value::Mapping(entries) => Some(entries),
        _ => None,
    }
}

/// Combines the criteria of a stream and of an edge: a record must match both. The result pairs every alternative of
/// one with every alternative of the other.
pub(crate) fn both(
    stream: Option<&CriteriaDecl>,
    edge: Option<&CriteriaDecl>,
) -> Result<Guarded<Criteria>, String> {
    let (first, second) = match (stream, edge) {
        (None, None) => return Ok(Guarded::default()),
        (Some(only), None) | (None, Some(only)) => return Ok(only.criteria.clone()),
        (Some(first), Some(second)) if first.criteria.is_everything() => {
            return Ok(second.criteria.clone());
        }
        (Some(first), Some(second)) if second.criteria.is_everything() => {
            return Ok(first.criteria.clone());
        }
        (Some(first), Some(second)) => (first, second),
    };
    let count = first.alternatives.len() * second.alternatives.len();
    if count > mosaik_streams::criteria::MAX_CONDITIONS {
        return Err(format!(
            "combined with the criteria of the stream, these are {count} alternatives, too many"
        ));
    }
    let pairs = first
        .alternatives
        .iter()
        .flat_map(|a| second.alternatives.iter().map(move |b| (a, b)));
    let items = pairs
        .map(|(a, b)| node(Value::Mapping([a.as_slice(), b.as_slice()].concat())))
        .collect();
    let secret = first.criteria.is_secret() || second.criteria.is_secret();
    match from_node(&node(Value::Sequence(items))) {
        Ok(criteria) => Ok(Guarded::new(criteria, secret)),
        Err(wrong) => Err(format!(
            "combined with the criteria of the stream: {}",
            wrong.message
        )),
    }
}

fn node(value: Value) -> Node {
    Node {
        span: Span::default(),
        value,
    }
}

/// Checks that records of this encoding can have the fields of the criteria.
pub(crate) fn check(
    decl: &CriteriaDecl,
    encoding: &Encoding,
    encoding_span: Span,
    found: &mut Vec<Diagnostic>,
) {
    for entry in decl.alternatives.iter().flatten() {
        match encoding {
            Encoding::Json => {}
            Encoding::Text | Encoding::Bytes => {
                found.push(
                    Diagnostic::error(format!(
                        "`{}` records have no fields to select by",
                        encoding.name()
                    ))
                    .at(entry.key.span, "no such field")
                    .also(encoding_span, "the stream's encoding")
                    .help("criteria work on `json` and `postcard` streams"),
                );
                // One finding for all fields is enough.
                return;
            }
            Encoding::Postcard(schema) => check_path(schema, entry, found),
        }
    }
}

fn check_path(schema: &Schema, entry: &Entry, found: &mut Vec<Diagnostic>) {
    let mut schema = schema;
    let mut offset = entry.key.span.start;
    // The text of a quoted key begins one byte later, after the quote.
    let quoted =
        entry.key.span.end.saturating_sub(entry.key.span.start) == entry.key.text.len() + 2;
    offset += usize::from(quoted);
    for (place, field) in path::parts(&entry.key.text) {
        let field = &*field;
        let span = Span::new(offset + place.start, offset + place.end);
        let inner = through_options(schema);
        schema = match inside(inner, field) {
            Some(Ok(next)) => next,
            Some(Err(names)) => {
                let names = || names.iter().copied();
                found.push(
                    Diagnostic::error(format!("the schema has no field `{field}`"))
                        .at(span, format!("expected {}", one_of(names())))
                        .maybe_help(did_you_mean(field, names())),
                );
                return;
            }
            None => {
                let wrong = Diagnostic::error(format!("there is no field `{field}` here"));
                found.push(wrong.at(
                    span,
                    format!("the schema has {} at this position", describe(inner)),
                ));
                return;
            }
        };
    }
}

/// Returns the schema of a field within another schema, or the names of the existing fields. Returns `None` if the
/// schema has no fields.
fn inside<'s>(schema: &'s Schema, field: &str) -> Option<Result<&'s Schema, Vec<&'s str>>> {
    let named: Vec<(&str, &Schema)> = match schema {
        Schema::Struct(fields) => fields.iter().map(|(name, of)| (&**name, of)).collect(),
        Schema::Enum(variants) => variants
            .iter()
            .filter_map(|(name, content)| Some((&**name, content.as_ref()?)))
            .collect(),
        Schema::Map(_, value) => return Some(Ok(value)),
        _ => return None,
    };
    if named.is_empty() {
        return None;
    }
    let next = named.iter().find(|(name, _)| *name == field);
    Some(next.map_or_else(
        || Err(named.iter().map(|(name, _)| *name).collect()),
        |(_, next)| Ok(*next),
    ))
}

fn describe(schema: &Schema) -> &'static str {
    match schema {
        Schema::Sequence(_) | Schema::Array(..) | Schema::Tuple(_) => "a list",
        Schema::Bytes => "bytes",
        Schema::String => "text",
        Schema::Char => "a character",
        Schema::Bool => "`true` or `false`",
        Schema::Unit => "nothing",
        Schema::Struct(_) => "a struct without fields",
        Schema::Enum(_) => "an enum whose variants have no fields",
        _ => "a number",
    }
}
