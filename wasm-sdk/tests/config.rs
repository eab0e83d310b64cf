//! `#[derive(OperatorConfig)]`: what is read, which mistakes are found, and the schema.

use mosaik_wasm_sdk::prelude::*;
use mosaik_wasm_sdk::{OrderedMap, parse_config};
use std::collections::BTreeMap;

/// The configuration.
#[derive(Debug, PartialEq, OperatorConfig)]
#[config(one_of(every, at), check = check)]
struct Config {
    /// How often. Further sentences are not in the table.
    #[config(min = 1, max = LIMIT, was = "often")]
    every: Option<u32>,
    /// When, like "noon".
    #[config(unset = "at once", conflicts(names))]
    at: Option<String>,
    /// Its names.
    #[config(unset = "none", max = 2)]
    names: Vec<String>,
    /// A factor.
    #[config(default = 1.5, min = 0, requires(every))]
    factor: f64,
    /// The mode.
    #[config(name = "type", default = "fast_lane")]
    mode: Mode,
    /// The parts.
    #[config(default = [])]
    parts: Vec<Part>,
    /// By name.
    #[config(unset = "")]
    limits: BTreeMap<String, i64>,
    #[config(default = false)]
    r#loop: bool,
}

const LIMIT: u32 = 2 * 50;

#[derive(Debug, PartialEq, OperatorConfig)]
enum Mode {
    FastLane,
    #[config(name = "slow")]
    Other,
}

#[derive(Debug, PartialEq, OperatorConfig)]
#[config(shorthand(name))]
struct Part {
    name: String,
    #[config(default = 1)]
    count: u8,
    #[config(serde)]
    more: Option<Shape>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "kind")]
enum Shape {
    Circle { radius: f64 },
}

fn check(config: &Config, mistakes: &mut Mistakes) {
    if config.parts.len() > 3 {
        mistakes.add_at("parts", "too many to count");
    }
}

fn error(text: &str) -> String {
    let error = parse_config::<Config>(text).expect_err(text);
    error.into_reason()
}

#[test]
fn a_key_has_its_value_or_default() {
    let config = parse_config::<Config>(r#"{"every":3,"at":null}"#).unwrap();
    assert_eq!(
        config,
        Config {
            every: Some(3),
            at: None,
            names: Vec::new(),
            factor: 1.5,
            mode: Mode::FastLane,
            parts: Vec::new(),
            limits: BTreeMap::new(),
            r#loop: false,
        }
    );
    let text = r#"{"every":100,"names":["a","b"],"factor":2,"type":"slow","loop":true,"limits":{"x":-1},
        "parts":["p",{"name":"q","count":2,"more":{"kind":"Circle","radius":1}}]}"#;
    let config = parse_config::<Config>(text).unwrap();
    assert_eq!(
        (config.every, config.factor, config.r#loop),
        (Some(100), 2.0, true)
    );
    assert_eq!((config.mode, config.limits["x"]), (Mode::Other, -1));
    let part = |name: &str, count, more| Part {
        name: name.to_owned(),
        count,
        more,
    };
    let circle = Shape::Circle { radius: 1.0 };
    assert_eq!(
        config.parts,
        [part("p", 1, None), part("q", 2, Some(circle))]
    );
}

#[test]
fn all_mistakes_are_found_with_their_places() {
    let text = r#"{"every":0,"names":["a",2,"c"],"factor":-1,"type":"quick","parts":[{"name":7},{"count":300},{"name":"x","more":{"kind":"Square"}}],"limits":{"a":1.5},"loop":"yes"}"#;
    let expected = [
        "config.every: must be 1 to 100",
        "config.names[1]: must be a text, found a number",
        "config.factor: must be at least 0",
        "config.type: unknown value `quick`, expected `fast_lane`, `slow`",
        "config.parts[0].name: must be a text, found a number",
        "config.parts[1]: missing key `name`",
        "config.parts[1].count: must be at most 255",
        "config.parts[2].more.kind: unknown variant `Square`, expected `Circle`",
        "config.limits.a: must be a whole number, found 1.5",
        "config.loop: must be `true` or `false`, found a text",
    ];
    assert_eq!(error(text).lines().collect::<Vec<_>>(), expected);
    for (text, expected) in [
        ("", "config: set exactly one of `every`, `at`"),
        (
            r#"{"evry":1}"#,
            "config.evry: unknown key `evry`, expected `every`, `at`, `names`, `factor`, `type`, `parts`, `limits`, `loop`",
        ),
        (
            r#"{"often":1,"at":"x"}"#,
            "config.often: unknown key `often`, renamed to `every`",
        ),
        (
            r#"{"every":1,"at":"x"}"#,
            "config: set exactly one of `every`, `at`",
        ),
        (
            r#"{"at":"x","factor":1}"#,
            "config.factor: requires `every`",
        ),
        (
            r#"{"at":"x","names":[]}"#,
            "config.at: cannot be combined with `names`",
        ),
        (
            r#"{"every":1,"names":["a","b","c"]}"#,
            "config.names: must have at most 2 items",
        ),
        (
            r#"{"every":1,"names":"a"}"#,
            "config.names: must be a list, found a text",
        ),
        (
            r#"{"every":1,"parts":["a","b","c","d"]}"#,
            "config.parts: too many to count",
        ),
        (
            r#"{"every":1,"parts":[7]}"#,
            "config.parts[0]: must be a text, found a number",
        ),
        ("[]", "config: must be a mapping, found a list"),
        ("7", "config: must be a mapping, found a number"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
    assert!(error(r#"{"every":1} x"#).starts_with("config: trailing characters"));
    let many = format!(r#"{{"every":1,"parts":[{}]}}"#, vec!["7"; 100].join(","));
    assert_eq!(error(&many).lines().count(), 16);
}

#[test]
fn nothing_is_an_empty_configuration() {
    for text in ["", " null ", "{}"] {
        assert_eq!(parse_config::<NoConfig>(text).unwrap(), NoConfig {});
        parse_config::<()>(text).unwrap();
    }
    assert_eq!(
        parse_config::<NoConfig>(r#"{"a":1}"#).unwrap_err().reason(),
        "config.a: unknown key `a`, none is expected"
    );
    assert_eq!(parse_config::<Option<u8>>("").unwrap(), None);
    assert_eq!(parse_config::<Option<u8>>("7").unwrap(), Some(7));
}

#[test]
fn an_ordered_map_keeps_the_order() {
    let map = parse_config::<OrderedMap<bool>>(r#"{"b":true,"a":false}"#).unwrap();
    assert_eq!(map.0, [("b".to_owned(), true), ("a".to_owned(), false)]);
}

#[test]
fn the_schema_has_what_is_declared() {
    let schema: serde_json::Value = serde_json::from_str(Config::SCHEMA).unwrap();
    let expected = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "oneOf": [{"required": ["every"]}, {"required": ["at"]}],
        "dependentRequired": {"factor": ["every"]},
        "dependentSchemas": {"at": {"properties": {"names": false}}},
        "additionalProperties": false,
        "properties": {
            "every": {
                "description": "How often. Further sentences are not in the table.",
                "type": "integer", "minimum": 1, "maximum": 100
            },
            "at": {"description": "When, like \"noon\".", "type": "string"},
            "names": {"description": "Its names.", "type": "array", "maxItems": 2, "items": {"type": "string"}},
            "factor": {"description": "A factor.", "type": "number", "minimum": 0, "default": 1.5},
            "type": {"description": "The mode.", "enum": ["fast_lane", "slow"], "default": "fast_lane"},
            "parts": {
                "description": "The parts.", "type": "array", "default": [],
                "items": {
                    "type": ["string", "object"], "required": ["name"], "additionalProperties": false,
                    "properties": {
                        "name": {"type": "string"},
                        "count": {"type": "integer", "minimum": 0, "default": 1},
                        "more": {}
                    }
                }
            },
            "limits": {"description": "By name.", "type": "object", "additionalProperties": {"type": "integer"}},
            "loop": {"type": "boolean", "default": false}
        }
    });
    assert_eq!(schema, expected);
    assert_eq!(
        NoConfig::SCHEMA,
        r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":["object","null"],"additionalProperties":false,"properties":{}}"#
    );
}

#[derive(Deserialize, OperatorConfig)]
#[config(serde, schema = r#"{ "type": "object" }"#)]
struct BySerde {
    #[serde(default)]
    list: Vec<u8>,
}

#[test]
fn serde_may_read_a_type() {
    assert!(parse_config::<BySerde>("").unwrap().list.is_empty());
    assert_eq!(BySerde::SCHEMA, r#"{ "type": "object" }"#);
    let error = |text| parse_config::<BySerde>(text).err().unwrap().into_reason();
    assert_eq!(
        error(r#"{"list":[1,"x"]}"#),
        r#"config.list[1]: invalid type: string "x", expected u8"#
    );
    assert_eq!(
        error("[7]"),
        "config[0]: invalid type: integer `7`, expected a sequence"
    );
}

#[test]
fn the_table_has_a_line_for_each_key() {
    let folder = std::env::temp_dir().join(format!("mosaik-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let table = "| key | value | default | meaning |\n|---|---|---|---|\n\
        | `every` | 1 to 100 | one of `every`, `at` | How often |\n\
        | `at` | text | at once | When, like \"noon\", not with `names` |\n\
        | `names` | list of texts, at most 2 | none | Its names |\n\
        | `factor` | number | `1.5` | A factor; requires `every` |\n\
        | `type` | `fast_lane`, `slow` | `fast_lane` | The mode |\n\
        | `parts` | list of text, or `{name, count, more}` | `[]` | The parts |\n\
        | `limits` | mapping from names to whole numbers | none | By name |\n\
        | `loop` | `true`, `false` | `false` |  |\n";
    let page = format!("# x\n\n<!-- generated: config -->\n\n{table}\n<!-- end -->\n");
    std::fs::write(folder.join("README.md"), page).unwrap();
    testing::documented::<Config>(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
}
