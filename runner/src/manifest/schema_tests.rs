//! Compares the JSON Schema with manifests, using a validator for the few keywords that the schema contains.

use serde_json::{Value, json};

use super::{schema, text::MANIFEST};
use crate::declare::{Section, Shape, from_node, parse_yaml, table};

fn json_of(text: &str) -> Value {
    let root = parse_yaml(text, &mut Vec::new()).unwrap().unwrap();
    from_node(&root).unwrap()
}

/// Returns whether `value` matches `schema`. Ignores patterns, except the one that distinguishes fields from types.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return fits(root, root.pointer(&reference[1..]).unwrap(), value);
    }
    let is_type = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("{other}"),
    };
    let typed = match &schema["type"] {
        Value::String(name) => is_type(name),
        Value::Array(names) => names.iter().any(|name| is_type(name.as_str().unwrap())),
        _ => true,
    };
    let any = |key: &str| {
        schema[key]
            .as_array()
            .is_none_or(|all| all.iter().any(|one| fits(root, one, value)))
    };
    let known = schema["enum"]
        .as_array()
        .is_none_or(|words| words.contains(value));
    let constant = schema.get("const").is_none_or(|constant| constant == value);
    let items = value.as_array().is_none_or(|items| {
        schema
            .get("items")
            .is_none_or(|schema| items.iter().all(|item| fits(root, schema, item)))
    });
    let object = value.as_object().is_none_or(|object| {
        let required = schema["required"].as_array().is_none_or(|keys| {
            keys.iter()
                .all(|key| object.contains_key(key.as_str().unwrap()))
        });
        let no_type = schema["propertyNames"]["pattern"] != "^[^$]"
            || !object.keys().any(|key| key.starts_with('$'));
        required
            && no_type
            && object.iter().all(|(key, value)| {
                match (&schema["properties"][key], &schema["additionalProperties"]) {
                    (Value::Null, Value::Bool(false)) => false,
                    (Value::Null, Value::Null | Value::Bool(true)) => true,
                    (Value::Null, other) => fits(root, other, value),
                    (property, _) => fits(root, property, value),
                }
            })
    });
    typed && any("anyOf") && any("oneOf") && known && constant && items && object
}

const EXAMPLE: &str = r#"
mosaik: v1
network: markets
node:
  name: edge-1
  secret_key: ${env:MOSAIK_SECRET_KEY}
  listen: ["0.0.0.0:4433"]
  bootstrap: ["0000000000000000000000000000000000000000000000000000000000000000@203.0.113.7:4433"]
  mdns: true
  tags: [ingest, eu]
  tickets: [{jwt: "${file:/run/secrets/feed.jwt}"}]
streams:
  prices:
    scope: network
    buffer_size: 4096
    disconnect_lagging: 5s
    online_when: {minimum_of: 2, with_tags: [trusted]}
    require:
      consumers: {tags: [trusted], tickets: [{jwt: {issuer: my-app, hs256: "${env:FEED_KEY}"}}]}
    criteria: {price: {gte: 100}, symbol: [ETH, BTC], note: {not: {exists: true}}}
    backoff: {initial: 500ms, max: 60s, max_elapsed: 5m}
  packed: {encoding: postcard, schema: {symbol: string, tags: [string], note: string?}}
  shapes: {encoding: postcard, schema: {id: {$array: [u8, 32]}, at: {$option: {x: f64}}, by: {$map: [{$enum: {A: ~}}, char]}, side: {$enum: {Bid: ~, Ask: {size: u32}, Cross: {$tuple: [bool, unit]}}}}}
  spreads: {online_when: {producer: {minimum_of: 1}}, disconnect_lagging: true}
producers:
  stocks: {from: {file: {path: data/stocks.csv, format: csv}}, to: prices}
operators:
  spread:
    wasm: operators/spread.wasm
    from: {trades: prices, quotes: {stream: prices, buffer_bytes: 64KiB}}
    to: {out: spreads, late: packed}
    config: {window: 60s}
    limits: {memory: 64MiB, time: 100ms, binary: 10MiB}
    on_error: {to: spreads}
    state: carry
    tick: 1s
    checkpoint: 30s
    postcard: json
    instances: 2
    key: symbol
    allow: {}
consumers:
  print: {from: spreads, to: {stdout: {}}}
  bad: {from: {stream: spreads}, to: {file: {path: rejected.jsonl}}}
"#;

#[test]
fn valid_manifests_match_the_schema() {
    let schema = schema();
    assert!(fits(&schema, &schema, &json_of(EXAMPLE)));
}

#[test]
fn every_reference_of_the_schema_resolves() {
    fn walk(root: &Value, value: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    assert!(root.pointer(&reference[1..]).is_some(), "{reference}");
                }
                object.values().for_each(|value| walk(root, value));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(root, value)),
            _ => {}
        }
    }
    let schema = schema();
    walk(&schema, &schema);
}

#[test]
fn invalid_manifests_do_not_match_the_schema() {
    let schema = schema();
    for (right, wrong) in [
        ("mosaik: v1", "mosaik: v2"),
        ("network:", "netwrok:"),
        ("scope: network", "scope: net"),
        ("buffer_size: 4096", "buffer_size: many"),
        ("gte: 100", "greater: 100"),
        ("format: csv", "format: cvs"),
        ("to: {stdout: {}}", "to: stdout"),
        ("state: carry", "state: keep"),
        ("wasm: operators/spread.wasm", "was: operators/spread.wasm"),
        ("jwt: {issuer: my-app", "jwt: {issue: my-app"),
        ("from: {stream: spreads}", "from: {strem: spreads}"),
        ("allow: {}", "allow: {net: x}"),
        ("{$tuple: [bool, unit]}", "{$tuple: bool}"),
        ("{$array: [u8, 32]}", "[u8, 32]"),
        ("$option: {x", "x: {x}, $option: {x"),
    ] {
        let text = EXAMPLE.replace(right, wrong);
        assert_ne!(text, EXAMPLE, "{right}");
        // A word in place of a number could be a substitution, which only the pattern excludes.
        if wrong != "buffer_size: many"
            && wrong != "scope: net"
            && wrong != "state: keep"
            && wrong != "format: cvs"
            && wrong != "mosaik: v2"
        {
            assert!(!fits(&schema, &schema, &json_of(&text)), "{wrong}");
        }
    }
}

#[test]
fn every_key_is_described() {
    fn walk(section: &'static Section) {
        assert!(!section.doc().is_empty());
        for key in section.all_keys() {
            assert!(key.doc().ends_with('.'), "{}: {}", section.name, key.name);
            inner(&(key.shape)());
        }
    }
    fn inner(shape: &Shape) {
        match shape {
            Shape::Of(section) => walk(section),
            Shape::List(shape) | Shape::Map(shape) | Shape::Columns(shape) => inner(shape),
            Shape::Either(shapes) => shapes.iter().for_each(inner),
            Shape::OneOf(shapes) => shapes.iter().for_each(|(_, shape)| inner(shape)),
            _ => {}
        }
    }
    walk(MANIFEST);
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        json!("https://json-schema.org/draft/2020-12/schema")
    );
    assert_eq!(
        schema["properties"].as_object().unwrap().len(),
        MANIFEST.keys.len()
    );
}

/// Adds a section and all sections within it, each once.
fn all_sections(section: &'static Section, found: &mut Vec<&'static Section>) {
    fn within(shape: &Shape, found: &mut Vec<&'static Section>) {
        match shape {
            Shape::Of(section) => all_sections(section, found),
            Shape::List(shape) | Shape::Map(shape) | Shape::Columns(shape) => within(shape, found),
            Shape::Either(shapes) => shapes.iter().for_each(|shape| within(shape, found)),
            Shape::OneOf(shapes) => shapes.iter().for_each(|(_, shape)| within(shape, found)),
            _ => {}
        }
    }
    if found.iter().any(|known| known.name == section.name) {
        return;
    }
    found.push(section);
    for key in section.all_keys() {
        within(&(key.shape)(), found);
    }
}

#[test]
fn the_pages_list_every_key() {
    // Sections of one or two keys, which the text around describes.
    let in_the_text = [
        "online_when",
        "require",
        "requirement",
        "ticket",
        "required_ticket",
        "on_error_to",
    ];
    let mut sections = Vec::new();
    all_sections(MANIFEST, &mut sections);
    for section in sections {
        if section.names().next().is_none() || in_the_text.contains(&section.name) {
            continue;
        }
        let page = if section.name == "jwt" {
            "docs/tickets.md"
        } else {
            "docs/manifest.md"
        };
        crate::generated::check(page, &format!("keys of {}", section.name), &table(section));
    }
}

#[test]
fn the_config_of_a_built_in_operator_is_known_by_its_name() {
    let schema = schema();
    let cases = schema["$defs"]["operator"]["allOf"].as_array().unwrap();
    let fits = |name: &str, config: &str| {
        let wasm = format!("builtin:{name}");
        let mut cases = cases.iter();
        let case = cases.find(|case| case["if"]["properties"]["wasm"]["const"] == wasm.as_str());
        let of = &case.unwrap()["then"]["properties"]["config"];
        fits(&schema, of, &json_of(config))
    };
    for (name, config) in [
        ("jq", ".price * 2"),
        ("jq", "{filter: ., max_outputs: '${env:MOST}'}"),
        ("enrich", "{by: city}"),
        (
            "window",
            "{every: hour, aggregate: {n: count, total: {sum: price}}}",
        ),
        ("split", "{routes: [{to: a, when: {price: {gt: 3}}}]}"),
        ("dedupe", "{by: id}"),
    ] {
        assert!(fits(name, config), "{name}: {config}");
    }
    for (name, config) in [
        ("jq", "{filtre: .}"),
        ("jq", "{filter: ., max_outputs: [1]}"),
        ("window", "{evry: hour}"),
        ("window", "{aggregate: {total: {summ: price}}}"),
        ("split", "{routes: [{to: a, if: {}}]}"),
    ] {
        assert!(!fits(name, config), "{name}: {config}");
    }
}
