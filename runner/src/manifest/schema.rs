//! The JSON Schema of a manifest, generated from the tables that the reader uses. Editors use it for completion and
//! validation.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{postcard_schema, text::MANIFEST};
use crate::declare::{DURATION_PATTERN, Key, NAME_PATTERN, Presence, SIZE_PATTERN, Section, Shape};

/// Matches a value that is substituted from the environment or from a file.
const SUBSTITUTED: &str = r"\$\{(env|file):";

/// Returns the JSON Schema (draft 2020-12) of a manifest.
pub fn schema() -> Value {
    let mut defs = Defs::default();
    let Value::Object(root) = defs.section(MANIFEST) else {
        return Value::Null;
    };
    let mut all: Map<String, Value> = defs.sections.into_iter().collect();
    know_configs(&mut all);
    all.insert("criteria".into(), criteria());
    all.insert("condition_on_a_field".into(), field_condition());
    all.insert("postcard".into(), postcard());
    let mut schema = Map::new();
    schema.insert(
        "$schema".into(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".into(), json!("mosaik-runner manifest"));
    schema.extend(root);
    schema.insert("$defs".into(), Value::Object(all));
    Value::Object(schema)
}

/// The schemas of the `config` of built-in operators, by name.
const CONFIGS: &[(&str, &str)] = &[
    (
        "dedupe",
        include_str!("../../../operators/dedupe/config.schema.json"),
    ),
    (
        "enrich",
        include_str!("../../../operators/enrich/config.schema.json"),
    ),
    (
        "join",
        include_str!("../../../operators/join/config.schema.json"),
    ),
    (
        "jq",
        include_str!("../../../operators/jq/config.schema.json"),
    ),
    (
        "sample",
        include_str!("../../../operators/sample/config.schema.json"),
    ),
    (
        "split",
        include_str!("../../../operators/split/config.schema.json"),
    ),
    (
        "window",
        include_str!("../../../operators/window/config.schema.json"),
    ),
];

/// Adds the schemas of the built-in operators' `config`, and makes the schema of an operator select one by the value of
/// `wasm`.
fn know_configs(all: &mut Map<String, Value>) {
    let mut cases = Vec::new();
    for (name, text) in CONFIGS {
        let Ok(Value::Object(mut schema)) = serde_json::from_str(text) else {
            continue;
        };
        schema.remove("$schema");
        // A part of the configuration may also come from `files`.
        schema.remove("required");
        schema.remove("oneOf");
        let own = format!("{name}_config");
        for (part, mut definition) in take_definitions(&mut schema) {
            point_into(&own, &mut definition);
            all.insert(format!("{own}_{part}"), definition);
        }
        let mut schema = Value::Object(schema);
        point_into(&own, &mut schema);
        all.insert(own.clone(), schema);
        cases.push(json!({
            "if": { "properties": { "wasm": { "const": format!("builtin:{name}") } }, "required": ["wasm"] },
            "then": { "properties": { "config": { "$ref": format!("#/$defs/{own}") } } },
        }));
    }
    if let Some(Value::Object(operator)) = all.get_mut("operator") {
        operator.insert("allOf".into(), Value::Array(cases));
    }
}

fn take_definitions(schema: &mut Map<String, Value>) -> Map<String, Value> {
    match schema.remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    }
}

/// Renames the references of a schema whose definitions are moved into the schema of the manifest, and allows `${…}` in
/// place of values that are not text.
fn point_into(own: &str, schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            for (key, value) in keys.iter_mut() {
                match value
                    .as_str()
                    .and_then(|text| text.strip_prefix("#/$defs/"))
                {
                    Some(part) if key == "$ref" => *value = json!(format!("#/$defs/{own}_{part}")),
                    _ => point_into(own, value),
                }
            }
            let is_leaf = keys.contains_key("pattern")
                || keys.contains_key("enum")
                || matches!(
                    keys.get("type").and_then(Value::as_str),
                    Some("integer" | "number" | "boolean")
                );
            if is_leaf {
                let description = keys.remove("description");
                let mut either = or_substituted(Value::Object(std::mem::take(keys)));
                if let (Value::Object(either), Some(description)) = (&mut either, description) {
                    either.insert("description".into(), description);
                }
                *schema = either;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_into(own, item)),
        _ => {}
    }
}

#[derive(Default)]
struct Defs {
    sections: BTreeMap<String, Value>,
}

impl Defs {
    /// Returns the schema of a section, as an object.
    fn section(&mut self, section: &'static Section) -> Value {
        let mut properties = Map::new();
        for key in section.all_keys() {
            let shape = (key.shape)();
            let mut schema = self.shape(&shape);
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".into(), json!(description(key, &shape)));
            }
            properties.insert(key.name.into(), schema);
        }
        let required: Vec<_> = section
            .all_keys()
            .filter(|key| matches!(key.presence, Presence::Required))
            .map(|key| key.name)
            .collect();
        json!({
            "description": section.doc(),
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    fn reference(&mut self, section: &'static Section) -> Value {
        if !self.sections.contains_key(section.name) {
            let object = self.section(section);
            self.sections.insert(section.name.to_owned(), object);
        }
        json!({ "$ref": format!("#/$defs/{}", section.name) })
    }

    fn shape(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Text => json!({ "type": ["string", "number", "boolean"] }),
            Shape::Bool => or_substituted(json!({ "type": "boolean" })),
            Shape::Duration(..) => {
                or_substituted(json!({ "type": "string", "pattern": DURATION_PATTERN }))
            }
            Shape::Size(..) => or_substituted(
                json!({ "type": ["string", "integer"], "pattern": SIZE_PATTERN, "minimum": 0 }),
            ),
            Shape::Name => json!({ "type": ["string", "integer"], "pattern": NAME_PATTERN }),
            Shape::Count(min, max) => {
                or_substituted(json!({ "type": "integer", "minimum": min, "maximum": max }))
            }
            Shape::Number => or_substituted(json!({ "type": "number" })),
            Shape::Pattern(_, pattern) => {
                or_substituted(json!({ "type": "string", "pattern": pattern }))
            }
            Shape::Words(words) => or_substituted(json!({ "enum": words })),
            Shape::Anything => json!({}),
            Shape::List(item) => json!({ "type": "array", "items": self.shape(item) }),
            Shape::Map(value) => json!({
                "type": "object",
                "propertyNames": { "pattern": NAME_PATTERN },
                "additionalProperties": self.shape(value),
            }),
            Shape::Columns(value) => {
                json!({ "type": "object", "additionalProperties": self.shape(value) })
            }
            Shape::Of(section) => self.reference(section),
            Shape::Either(shapes) => {
                let shapes: Vec<_> = shapes.iter().map(|shape| self.shape(shape)).collect();
                json!({ "anyOf": shapes })
            }
            Shape::OneOf(shapes) => {
                let shapes = shapes.iter().map(|(name, shape)| {
                    json!({
                        "type": "object",
                        "properties": { *name: self.shape(shape) },
                        "required": [name],
                        "additionalProperties": false,
                    })
                });
                json!({ "oneOf": shapes.collect::<Vec<_>>() })
            }
            Shape::Criteria => json!({ "$ref": "#/$defs/criteria" }),
            Shape::PostcardSchema => json!({ "$ref": "#/$defs/postcard" }),
        }
    }
}

/// Returns the description of a key, with the bounds of its value and its default.
fn description(key: &Key, shape: &Shape) -> String {
    let default = key.default().map(|default| format!("Default: {default}."));
    let parts = [Some(key.doc()), shape.bounds(), default];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn or_substituted(value: Value) -> Value {
    json!({ "anyOf": [value, { "type": "string", "pattern": SUBSTITUTED }] })
}

fn criteria() -> Value {
    let alternative = json!({
        "type": "object",
        "additionalProperties": { "$ref": "#/$defs/condition_on_a_field" },
    });
    json!({
        "description": "A mapping from fields (dotted paths) to conditions, all of which must match, or a list of such mappings, any of which must match.",
        "anyOf": [alternative, { "type": "array", "items": alternative }],
    })
}

fn field_condition() -> Value {
    let scalar = json!({ "type": ["string", "number", "boolean", "null"] });
    let bound = |doc: &str| json!({ "description": doc, "type": ["string", "number"] });
    json!({
        "description": "A value, a list of values (one of), a range, or a test.",
        "anyOf": [
            scalar,
            { "type": "array", "items": scalar },
            {
                "type": "object",
                "properties": {
                    "gt": bound("More than."),
                    "gte": bound("At least."),
                    "lt": bound("Less than."),
                    "lte": bound("At most."),
                    "prefix": { "description": "Prefix of the text.", "type": "string" },
                    "exists": { "description": "Whether the field exists.", "type": "boolean" },
                    "not": { "description": "Not this.", "$ref": "#/$defs/condition_on_a_field" },
                },
                "additionalProperties": false,
                "minProperties": 1,
            },
        ],
    })
}

fn postcard() -> Value {
    let this = || json!({ "$ref": "#/$defs/postcard" });
    let words = postcard_schema::WORDS.join("|");
    let keys = postcard_schema::KEY_WORDS.join("|");
    let form = |name: &str, doc: &str, mut of: Value| {
        if let Value::Object(of) = &mut of {
            of.insert("description".into(), json!(doc));
        }
        json!({
            "type": "object",
            "properties": { name: of },
            "required": [name],
            "additionalProperties": false,
        })
    };
    let pair = |first: Value, second: Value| json!({ "type": "array", "prefixItems": [first, second], "items": false, "minItems": 2 });
    let len = json!({ "type": "integer", "minimum": 0, "maximum": postcard_schema::MAX_ARRAY_LEN });
    let key = json!({ "anyOf": [
        { "type": "string", "pattern": format!("^({keys})$") },
        { "type": "object", "properties": { "$enum": {} }, "required": ["$enum"], "additionalProperties": false },
    ] });
    let variant = json!({ "anyOf": [this(), { "type": "null" }] });
    json!({
        "description": "Shape of a postcard record, its fields in the order of the Rust struct; `?` marks an optional one.",
        "anyOf": [
            { "type": "string", "pattern": format!("^({words})\\??$") },
            { "type": "array", "items": this(), "minItems": 1, "maxItems": 1 },
            { "type": "object", "propertyNames": { "pattern": "^[^$]" }, "additionalProperties": this() },
            form("$option", "Optional value of a type that is not a word.", this()),
            form("$array", "N values of one type: `[u8, 32]`.", pair(this(), len)),
            form("$tuple", "Types in this order.", json!({ "type": "array", "items": this() })),
            form("$map", "The type of the keys, and that of the values.", pair(key, this())),
            form(
                "$enum",
                "The variants in the order of the Rust enum, each with its content; `~` for none.",
                json!({ "type": "object", "additionalProperties": variant }),
            ),
        ],
    })
}
