//! [`OperatorConfig`]: the configuration of an operator, as values and as the JSON that the operator receives.

use std::{fmt, ops::Deref, path::Path, sync::Arc};

use serde_json::Value as Json;

use crate::declare::{
    Diagnostic, Diagnostics, Environment, Guarded, Kind, Node, Reader, Shape, Source, Value,
    from_node, parse_yaml,
};

/// The configuration of an operator. Its JSON preserves every number as written, including numbers that [`Json`] cannot
/// represent.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorConfig {
    value: Json,
    json: String,
}

impl OperatorConfig {
    /// Reads a configuration after substitution.
    pub(crate) fn from_node(node: &Node) -> Result<Self, Box<Diagnostic>> {
        let value = from_node(node)?;
        let mut json = String::new();
        write(node, &mut json);
        Ok(Self { value, json })
    }

    /// Returns the configuration as JSON.
    pub fn json(&self) -> &str {
        &self.json
    }
}

impl From<Json> for OperatorConfig {
    fn from(value: Json) -> Self {
        let json = value.to_string();
        Self { value, json }
    }
}

impl PartialEq<Json> for OperatorConfig {
    fn eq(&self, other: &Json) -> bool {
        self.value == *other
    }
}

impl Deref for OperatorConfig {
    type Target = Json;

    fn deref(&self) -> &Json {
        &self.value
    }
}

impl fmt::Display for OperatorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.json)
    }
}

/// The configuration of an operator: any value.
pub(super) fn kind() -> Kind<Guarded<OperatorConfig>> {
    Kind::new(Shape::Anything, |cx, node, _| config(cx, node))
}

fn config(cx: &mut Reader<'_>, node: &Node) -> Option<Guarded<OperatorConfig>> {
    cx.guarded(|cx| {
        let node = cx.resolve(node)?;
        let config = OperatorConfig::from_node(&node);
        config.map_err(|wrong| cx.note(*wrong)).ok()
    })
}

/// Parses a value of `config` and substitutes `${…}`. Paths are relative to `base`.
///
/// # Errors
/// Returns all mistakes.
pub fn parse_config(
    text: &str,
    env: &dyn Environment,
    base: &Path,
) -> Result<Guarded<OperatorConfig>, Diagnostics> {
    let source = Arc::new(Source::new("config", text));
    let mut cx = Reader::new(&source, env, base);
    let read = match parse_yaml(source.text(), &mut cx.found) {
        Ok(Some(root)) => config(&mut cx, &root),
        Ok(None) => Some(Guarded::open(Json::Null.into())),
        Err(wrong) => {
            cx.note(wrong);
            None
        }
    };
    match read {
        Some(config) if cx.found.is_empty() => Ok(config),
        _ => {
            let (found, masked) = (cx.found, cx.masked);
            Err(Diagnostics::new(source, found, masked))
        }
    }
}

/// Returns whether a text is valid YAML, which includes JSON.
pub(crate) fn is_yaml(text: &str) -> bool {
    parse_yaml(text, &mut Vec::new()).is_ok()
}

fn write(node: &Node, to: &mut String) {
    match &node.value {
        Value::Sequence(items) => {
            to.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    to.push(',');
                }
                write(item, to);
            }
            to.push(']');
        }
        Value::Mapping(entries) => {
            to.push('{');
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    to.push(',');
                }
                to.push_str(&Json::from(entry.key.text.as_str()).to_string());
                to.push(':');
                write(&entry.node, to);
            }
            to.push('}');
        }
        Value::Scalar(scalar) => {
            if let Some(digits) = scalar.json_number() {
                to.push_str(&digits);
                return;
            }
            let value = from_node::<Json>(node).unwrap_or_default();
            to.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_every_number_as_it_was_written() {
        for (written, expected) in [
            (
                "{a: [1, -2, +3, 1.5, .5, 1e3]}",
                r#"{"a":[1,-2,3,1.5,0.5,1e3]}"#,
            ),
            (
                "{id: 100000000000000000001, x: -.30000000000000000001}",
                r#"{"id":100000000000000000001,"x":-0.30000000000000000001}"#,
            ),
            (
                "{a: [1.10, 1e2, -0.0, 5., 1.E4, -0]}",
                r#"{"a":[1.10,1e2,-0.0,5.0,1.0E4,0]}"#,
            ),
            (
                r#"{"a\"b": ~, t: yes, f: false, q: '7'}"#,
                r#"{"a\"b":null,"t":"yes","f":false,"q":"7"}"#,
            ),
            ("word", r#""word""#),
        ] {
            let node = parse_yaml(written, &mut Vec::new()).unwrap().unwrap();
            let config = OperatorConfig::from_node(&node).unwrap();
            assert_eq!(config.json(), expected, "{written}");
            assert_eq!(config, serde_json::from_str::<Json>(config.json()).unwrap());
        }
    }
}
