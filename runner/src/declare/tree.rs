//! A YAML document as a tree in which every value and key has its location. Independent of the meaning of a manifest.

use mosaik_streams::criteria;

use super::source::Span;

/// A value with its location.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// The content of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// Text. Unquoted text may also be a number, `true`, `false` or `null`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) plain: bool,
    /// Set if the text was substituted from the environment or a file.
    pub(crate) secret: bool,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) node: Node,
}

/// The key of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.secret {
            f.write_str("***")
        } else {
            self.text.fmt(f)
        }
    }
}

impl Node {
    /// Returns the kind of value, for use in a sentence.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.resolve() {
                Plain::Null => "nothing",
                Plain::Bool(_) => "`true` or `false`",
                Plain::Signed(_) | Plain::Unsigned(_) | Plain::Float(_) => "a number",
                Plain::Text => "text",
            },
        }
    }

    /// Returns whether the value is missing or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.resolve() == Plain::Null)
    }

    /// Returns whether any part of the value was substituted from the environment or a file.
    pub(crate) fn has_secrets(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => scalar.secret,
            Value::Sequence(items) => items.iter().any(Self::has_secrets),
            Value::Mapping(entries) => entries.iter().any(|entry| entry.node.has_secrets()),
        }
    }

    /// Returns the entry of a key, if this is a mapping that contains it.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|entry| entry.key.text == key),
            _ => None,
        }
    }
}

/// The type of an unquoted scalar in YAML's core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text,
}

impl Scalar {
    /// Resolves the scalar without an expected type.
    pub(crate) fn resolve(&self) -> Plain {
        if !self.plain {
            return Plain::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
            "true" | "True" | "TRUE" => return Plain::Bool(true),
            "false" | "False" | "FALSE" => return Plain::Bool(false),
            _ => {}
        }
        let digits = self.text.strip_prefix(['-', '+']).unwrap_or(&self.text);
        // `.inf`, `.nan` and Rust's own `inf` and `nan` stay text, since no key accepts them.
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Plain::Text;
        }
        let unsigned = self.text.strip_prefix('+').unwrap_or(&self.text);
        let leading_zero =
            digits.len() > 1 && digits.starts_with('0') && !digits.contains(['.', 'e', 'E']);
        if leading_zero {
            return Plain::Text;
        }
        if let Ok(number) = unsigned.parse::<u64>() {
            Plain::Unsigned(number)
        } else if let Ok(number) = unsigned.parse::<i64>() {
            Plain::Signed(number)
        } else {
            match unsigned.parse::<f64>() {
                Ok(number) if number.is_finite() => Plain::Float(number),
                _ => Plain::Text,
            }
        }
    }
}

impl Scalar {
    /// Returns the exact number to which the scalar resolves without an expected type.
    pub(crate) fn number(&self) -> Option<criteria::Scalar> {
        criteria::Scalar::number(&self.json_number()?)
    }

    /// Returns the number to which the scalar resolves without an expected type, as JSON that preserves the written
    /// digits.
    pub(crate) fn json_number(&self) -> Option<String> {
        if !matches!(
            self.resolve(),
            Plain::Signed(_) | Plain::Unsigned(_) | Plain::Float(_)
        ) {
            return None;
        }
        // YAML accepts a plus sign, a point without digits on one of its sides, and leading zeros before a point.
        let (sign, digits) = match self.text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", self.text.strip_prefix('+').unwrap_or(&self.text)),
        };
        let mantissa = digits.find(['e', 'E']).unwrap_or(digits.len());
        let (mantissa, exponent) = digits.split_at(mantissa);
        let mantissa = mantissa.trim_start_matches('0');
        let is_digit = |c: char| c.is_ascii_digit();
        let zero = if mantissa.starts_with(is_digit) {
            ""
        } else {
            "0"
        };
        let behind = if mantissa.ends_with('.') { "0" } else { "" };
        // An integer has no negative zero.
        let sign = if digits == "0" { "" } else { sign };
        Some(format!("{sign}{zero}{mantissa}{behind}{exponent}"))
    }

    /// Returns whether the scalar is text here but a number to people or to other YAML readers: `0x10`, `.nan`,
    /// `1_000`, `1e999`, `007`.
    pub(crate) fn resembles_number(&self) -> bool {
        if !self.plain || self.resolve() != Plain::Text {
            return false;
        }
        let digits = self.text.strip_prefix(['-', '+']).unwrap_or(&self.text);
        let in_base = |prefix: &str, base: u32| {
            digits.strip_prefix(prefix).is_some_and(|digits| {
                !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_digit(base))
            })
        };
        let starts_with_digit = digits.starts_with(|c: char| c.is_ascii_digit());
        let is_number = |text: &str| starts_with_digit && text.parse::<f64>().is_ok();
        in_base("0x", 16)
            || in_base("0o", 8)
            || in_base("0b", 2)
            || matches!(
                digits.to_ascii_lowercase().as_str(),
                ".nan" | ".inf" | "nan" | "inf" | "infinity"
            )
            || (digits.contains(['_', 'e', 'E']) && is_number(&digits.replace('_', "")))
            // With leading zeros, other readers treat it as an octal or a decimal number.
            || digits.bytes().all(|byte| byte.is_ascii_digit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_resembles_a_number_is_distinguished() {
        let resembles = |text: &str| {
            let scalar = Scalar {
                text: text.to_owned(),
                plain: true,
                secret: false,
            };
            scalar.resembles_number()
        };
        for text in [
            "0x10", "-0xFF", "0o17", "0b1", ".nan", ".NaN", "-.inf", "1_000", "1e999", "007", "-01",
        ] {
            assert!(resembles(text), "{text}");
        }
        for text in [
            "10",
            "1.5",
            "",
            "x",
            "0xyz",
            "e5",
            "_1",
            "2024-01-01",
            "1h",
            "00a",
            "nano",
        ] {
            assert!(!resembles(text), "{text}");
        }
    }

    #[test]
    fn unquoted_text_has_the_type_it_resembles() {
        let cases = [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("true", Plain::Bool(true)),
            ("yes", Plain::Text),
            ("0", Plain::Unsigned(0)),
            ("12", Plain::Unsigned(12)),
            ("-12", Plain::Signed(-12)),
            ("+3", Plain::Unsigned(3)),
            ("007", Plain::Text),
            ("1.5", Plain::Float(1.5)),
            (".5", Plain::Float(0.5)),
            ("1e3", Plain::Float(1000.0)),
            ("1e999", Plain::Text),
            ("nan", Plain::Text),
            ("-", Plain::Text),
            ("1h", Plain::Text),
            ("127.0.0.1", Plain::Text),
            (
                "18446744073709551616",
                Plain::Float(18_446_744_073_709_551_616.0),
            ),
        ];
        for (text, expected) in cases {
            let scalar = Scalar {
                text: text.to_owned(),
                plain: true,
                secret: false,
            };
            assert_eq!(scalar.resolve(), expected, "{text:?}");
            let quoted = Scalar {
                plain: false,
                ..scalar
            };
            assert_eq!(quoted.resolve(), Plain::Text, "{text:?}");
        }
    }
}
