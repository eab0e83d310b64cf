//! Reads single values: text, words, numbers, `true` and `false`.

use super::{Reader, shorten};
use crate::declare::{
    diagnostics::{Diagnostic, did_you_mean, one_of},
    guarded::Guarded,
    tree::{Node, Plain, Scalar, Value},
};

/// The text of a scalar after substitution.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) value: Guarded<String>,
    scalar: Scalar,
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.value
    }

    /// Returns the value that YAML gives the text. A substituted text counts as unquoted.
    fn resolve(&self) -> Plain {
        let plain = Scalar {
            plain: self.scalar.plain || self.value.is_secret(),
            ..self.scalar.clone()
        };
        plain.resolve()
    }

    /// Returns the value of `true` or `false`; `None` for other text.
    pub(crate) fn flag(&self) -> Option<bool> {
        match self.resolve() {
            Plain::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the value of a finite number; `None` for other text.
    pub(crate) fn number(&self) -> Option<f64> {
        match self.resolve() {
            Plain::Signed(number) => Some(number as f64),
            Plain::Unsigned(number) => Some(number as f64),
            Plain::Float(number) => Some(number).filter(|number| number.is_finite()),
            _ => None,
        }
    }

    /// Returns the text in backticks, or a replacement that does not reveal a secret.
    pub(crate) fn shown(&self) -> String {
        if self.value.is_secret() {
            "the substituted value".to_owned()
        } else {
            shorten(&self.value)
        }
    }
}

impl Reader<'_> {
    /// Reads the text of a scalar after substitution.
    pub(crate) fn text(&mut self, node: &Node, what: &str, expected: &str) -> Option<Text> {
        match &node.value {
            Value::Scalar(scalar) if !node.is_null() => {
                let before = self.put_in.len();
                let scalar = self.substitute(scalar, node.span)?;
                let value = Guarded::with(scalar.text.clone(), self.put_in[before..].to_vec());
                Some(Text { value, scalar })
            }
            _ => {
                self.expected(node, what, expected);
                None
            }
        }
    }

    /// Reads a scalar with `parse`, whose error consists of the expected content and an optional hint.
    pub(crate) fn parse<T>(
        &mut self,
        node: &Node,
        what: &str,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, (String, Option<String>)>,
    ) -> Option<T> {
        let text = self.text(node, what, expected)?;
        match parse(text.as_str()) {
            Ok(value) => Some(value),
            Err((label, help)) => {
                // A hint may repeat the text.
                let help = help.filter(|_| !text.value.is_secret());
                self.note(
                    Diagnostic::error(format!("{} is not {expected}", text.shown()))
                        .at(node.span, label)
                        .maybe_help(help),
                );
                None
            }
        }
    }

    /// Marks a value as a secret if text from the environment or from files is part of it.
    pub(crate) fn guarded<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Guarded<T>> {
        let before = self.put_in.len();
        let value = read(self)?;
        Some(Guarded::with(value, self.put_in[before..].to_vec()))
    }

    /// Reads one of the given words.
    pub(crate) fn word(
        &mut self,
        node: &Node,
        what: &str,
        words: &[&'static str],
    ) -> Option<&'static str> {
        let expected = one_of(words.iter().copied());
        let text = self.text(node, what, &expected)?;
        let word = words.iter().copied().find(|word| *word == text.as_str());
        if word.is_none() {
            let help = did_you_mean(text.as_str(), words.iter().copied())
                .filter(|_| !text.value.is_secret());
            self.note(
                Diagnostic::error(format!("`{what}` cannot be {}", text.shown()))
                    .at(node.span, format!("expected {expected}"))
                    .maybe_help(help),
            );
        }
        word
    }

    /// Reads a whole number within inclusive bounds.
    pub(crate) fn count(&mut self, node: &Node, what: &str, min: u64, max: u64) -> Option<u64> {
        let text = self.text(node, what, "a whole number")?;
        let number = match text.value.parse::<u64>() {
            // A quoted number is text, but a substituted one has no type of its own.
            Ok(number) if text.scalar.plain || text.value.is_secret() => number,
            _ => {
                let help = text
                    .value
                    .parse::<u64>()
                    .is_ok()
                    .then(|| "remove the quotes".to_owned());
                let shown = if help.is_some() {
                    "text".to_owned()
                } else {
                    text.shown()
                };
                self.note(
                    Diagnostic::error(format!("`{what}` must be a whole number, found {shown}"))
                        .at(node.span, "expected a whole number")
                        .maybe_help(help),
                );
                return None;
            }
        };
        self.within(node, what, number, (min, max), |number| number.to_string())
    }

    /// Checks that a value is within inclusive bounds, and reports it otherwise.
    pub(crate) fn within<T: PartialOrd>(
        &mut self,
        node: &Node,
        what: &str,
        value: T,
        (min, max): (T, T),
        show: impl Fn(T) -> String,
    ) -> Option<T> {
        let bounds = if value < min {
            format!("at least {}", show(min))
        } else if value > max {
            format!("at most {}", show(max))
        } else {
            return Some(value);
        };
        self.note(
            Diagnostic::error(format!("`{what}` must be {bounds}"))
                .at(node.span, format!("expected {bounds}")),
        );
        None
    }
}
