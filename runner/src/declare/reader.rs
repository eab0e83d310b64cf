//! Reads a tree according to the expected structure, and reports every mistake instead of stopping at the first.
//!
//! A function that returns `None` has reported the reason. The meaning of a manifest is defined in other modules.

use std::path::{Path, PathBuf};

use super::{
    Presence, Section,
    diagnostics::{Diagnostic, did_you_mean, nearest, one_of},
    guarded::Guarded,
    source::{Source, Span, Spanned},
    substitute::{self, Environment},
    tree::{Entry, Node, Plain, Scalar, Value},
};

/// The name of the outermost mapping in messages.
pub(crate) const WHOLE: &str = "the manifest";

pub(crate) struct Reader<'a> {
    source: &'a Source,
    env: &'a dyn Environment,
    base: &'a Path,
    pub(crate) found: Vec<Diagnostic>,
    /// Locations of secrets that are written in the manifest itself.
    pub(crate) masked: Vec<Span>,
    /// Texts substituted from the environment or from files, in the order of reading.
    put_in: Vec<String>,
    /// Files named by `${file:…}`.
    pub(crate) files: Vec<PathBuf>,
}

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

    /// Returns the value of a finite number; `None` for other text.
    pub(crate) fn number(&self) -> Option<f64> {
        let plain = Scalar {
            plain: self.scalar.plain || self.value.is_secret(),
            ..self.scalar.clone()
        };
        match plain.resolve() {
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

/// Describes the location of a key; the manifest itself has no name.
fn place(what: &str) -> String {
    if what == WHOLE {
        format!("in {what}")
    } else {
        format!("in `{what}`")
    }
}

/// Formats text in backticks, truncated to 60 characters.
fn shorten(text: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 60;
    if text.chars().count() > MAX_SHOWN_CHARS {
        let start: String = text.chars().take(MAX_SHOWN_CHARS).collect();
        return format!("`{start}…`");
    }
    format!("`{text}`")
}

/// A mapping with known keys.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'n> {
    section: &'static Section,
    entries: &'n [Entry],
    pub(crate) span: Span,
}

impl<'n> Fields<'n> {
    /// Returns the entry of a key of the section.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'n Entry> {
        debug_assert!(
            self.section.names().any(|name| name == key),
            "`{key}` is not in `{}`",
            self.section.name
        );
        self.entries.iter().find(|entry| entry.key.text == key)
    }

    /// Returns whether an unknown key in the mapping is probably a misspelling of this one.
    pub(crate) fn is_misspelt(&self, key: &'static str) -> bool {
        let is_known = |text: &str| self.section.names().any(|name| name == text);
        self.entries
            .iter()
            .filter(|entry| !is_known(&entry.key.text))
            .any(|entry| nearest(&entry.key.text, self.section.names()) == Some(key))
    }

    /// Returns the value of a key of the section.
    pub(crate) fn node(&self, key: &'static str) -> Option<&'n Node> {
        self.get(key).map(|entry| &entry.node)
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Source, env: &'a dyn Environment, base: &'a Path) -> Self {
        Self {
            source,
            env,
            base,
            found: Vec::new(),
            masked: Vec::new(),
            put_in: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Reports a finding.
    pub(crate) fn note(&mut self, found: Diagnostic) {
        self.found.push(found);
    }

    /// Returns an environment variable, if it is set and valid text.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.env.var(name)
    }

    /// Resolves a path relative to the manifest.
    pub(crate) fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    /// Reports that `what` has an unexpected value.
    pub(crate) fn expected(&mut self, node: &Node, what: &str, expected: &str) {
        let found = if node.is_null() {
            "found nothing".to_owned()
        } else {
            format!("found {}", node.kind())
        };
        let mut wrong = Diagnostic::error(format!("`{what}` must be {expected}, {found}"))
            .at(node.span, format!("expected {expected}"));
        if node.is_null() && expected.contains("a mapping") {
            wrong = wrong.help(format!("for an empty one write `{what}: {{}}`"));
        }
        self.note(wrong);
    }

    /// Reads a mapping with the section's keys. Reports unknown keys, which are ignored, and missing keys.
    pub(crate) fn section<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        section: &'static Section,
    ) -> Option<Fields<'n>> {
        let Value::Mapping(entries) = &node.value else {
            self.expected(node, what, "a mapping");
            return None;
        };
        for entry in entries {
            if !section.names().any(|name| name == entry.key.text) {
                self.unknown_key(entry, what, section);
            }
        }
        let span = node.span;
        let fields = Fields {
            section,
            entries,
            span,
        };
        for key in section
            .all_keys()
            .filter(|key| matches!(key.presence, Presence::Required))
        {
            if fields.get(key.name).is_none() && !fields.is_misspelt(key.name) {
                self.note(
                    Diagnostic::error(format!("`{}` is missing", key.name))
                        .at(span, place(what))
                        .maybe_help(
                            (what == WHOLE)
                                .then(|| format!("a manifest starts with `{}: v1`", key.name)),
                        ),
                );
            }
        }
        Some(fields)
    }

    fn unknown_key(&mut self, entry: &Entry, what: &str, section: &'static Section) {
        let label = if section.names().next().is_none() {
            "no keys are expected here".to_owned()
        } else {
            format!("expected {}", one_of(section.names()))
        };
        let place = place(what);
        self.note(
            Diagnostic::error(format!("unknown key `{}` {place}", entry.key.text))
                .at(entry.key.span, label)
                .maybe_help(did_you_mean(&entry.key.text, section.names())),
        );
    }

    /// Reads a mapping from names to any values.
    pub(crate) fn mapping<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        if let Value::Mapping(entries) = &node.value {
            return Some(entries);
        }
        self.expected(node, what, "a mapping");
        None
    }

    /// Reads the key of an entry as a name.
    pub(crate) fn name<T>(
        &mut self,
        entry: &Entry,
        kind: &str,
        new: impl Fn(&str) -> Option<T>,
    ) -> Option<Spanned<T>> {
        let name = new(&entry.key.text);
        if name.is_none() {
            self.bad_name(&shorten(&entry.key.text), entry.key.span, kind);
        }
        name.map(|name| Spanned::new(name, entry.key.span))
    }

    pub(crate) fn bad_name(&mut self, shown: &str, span: Span, kind: &str) {
        self.note(
            Diagnostic::error(format!("{shown} is not a name for {kind}"))
                .at(span, format!("expected {}", super::scalar::NAME_RULE)),
        );
    }

    /// Reads the text of a scalar as a name.
    pub(crate) fn name_value<T>(
        &mut self,
        node: &Node,
        what: &str,
        kind: &str,
        new: impl Fn(&str) -> Option<T>,
    ) -> Option<Spanned<T>> {
        let text = self.text(node, what, &format!("the name of {kind}"))?;
        if text.value.is_secret() {
            // Names appear in every log, plan and metric, so they must not contain secrets.
            self.note(
                Diagnostic::error(format!("`{what}` cannot be substituted"))
                    .at(node.span, format!("expected the name of {kind} itself"))
                    .help("substituted values are secret, but names are visible everywhere"),
            );
            return None;
        }
        let name = new(text.as_str());
        if name.is_none() {
            self.bad_name(&text.shown(), node.span, kind);
        }
        name.map(|name| Spanned::new(name, node.span))
    }

    /// Reads the items of a list with `item`. Leaves out items with mistakes.
    pub(crate) fn list<T>(
        &mut self,
        node: &Node,
        what: &str,
        mut item: impl FnMut(&mut Self, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::Sequence(items) = &node.value else {
            self.expected(node, what, "a list");
            if let (Some(last), Value::Scalar(scalar)) = (self.found.last_mut(), &node.value)
                && !node.is_null()
            {
                last.help = Some(format!("for a list of one write `[{}]`", scalar.text));
            }
            return None;
        };
        Some(items.iter().filter_map(|node| item(self, node)).collect())
    }

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

    /// Substitutes like [`resolve`](Self::resolve), and also returns the substituted texts.
    pub(crate) fn resolve_with(&mut self, node: &Node) -> Option<(Node, Vec<String>)> {
        let before = self.put_in.len();
        let node = self.resolve(node)?;
        Some((node, self.put_in[before..].to_vec()))
    }

    /// Substitutes every scalar in the tree. Returns `None` if any substitution fails.
    pub(crate) fn resolve(&mut self, node: &Node) -> Option<Node> {
        let value = match &node.value {
            Value::Scalar(scalar) => Value::Scalar(self.substitute(scalar, node.span)?),
            Value::Sequence(items) => {
                // Resolve all items, so that all mistakes are reported.
                let items: Vec<_> = items.iter().map(|item| self.resolve(item)).collect();
                Value::Sequence(items.into_iter().collect::<Option<_>>()?)
            }
            Value::Mapping(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|entry| {
                        Some(Entry {
                            key: entry.key.clone(),
                            node: self.resolve(&entry.node)?,
                        })
                    })
                    .collect();
                Value::Mapping(entries.into_iter().collect::<Option<_>>()?)
            }
        };
        Some(Node {
            span: node.span,
            value,
        })
    }

    fn substitute(&mut self, scalar: &Scalar, span: Span) -> Option<Scalar> {
        if scalar.secret || !scalar.text.contains("${") {
            return Some(scalar.clone());
        }
        match substitute::substitute(&scalar.text, self.env, self.base, &mut self.files) {
            Ok(done) => {
                let secret = !done.put_in.is_empty();
                self.put_in.extend(done.put_in);
                Some(Scalar {
                    text: done.text,
                    plain: scalar.plain,
                    secret,
                })
            }
            Err(mistake) => {
                let start = self
                    .source
                    .slice(span)
                    .find(&mistake.piece)
                    .map(|offset| span.start + offset);
                let place =
                    start.map_or(span, |start| Span::new(start, start + mistake.piece.len()));
                self.note(
                    Diagnostic::error(mistake.message)
                        .at(place, mistake.label)
                        .maybe_help(mistake.help),
                );
                None
            }
        }
    }

    /// Marks a secret that is written in the manifest itself, so that no message shows it.
    pub(crate) fn mask(&mut self, node: &Node) {
        if matches!(&node.value, Value::Scalar(scalar) if !scalar.text.contains("${")) {
            self.masked.push(node.span);
        }
    }

    /// Reads `true` or `false`.
    pub(crate) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        let text = self.text(node, what, "`true` or `false`")?;
        let flag = Self::as_bool(&text);
        if flag.is_none() {
            self.note(
                Diagnostic::error(format!("`{what}` is neither true nor false"))
                    .at(node.span, "expected `true` or `false`"),
            );
        }
        flag
    }

    /// Returns the value of `true` or `false`; `None` for other text.
    pub(crate) fn as_bool(text: &Text) -> Option<bool> {
        let plain = Scalar {
            plain: text.scalar.plain || text.value.is_secret(),
            ..text.scalar.clone()
        };
        match plain.resolve() {
            Plain::Bool(value) => Some(value),
            _ => None,
        }
    }
}
