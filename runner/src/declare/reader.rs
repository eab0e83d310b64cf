//! Reads a tree according to the expected structure, and reports every mistake instead of stopping at the first.
//!
//! A function that returns `None` has reported the reason. The meaning of a manifest is defined in other modules.

use std::path::{Path, PathBuf};

mod scalars;
mod substitution;

use super::{
    Presence, Section,
    diagnostics::{Diagnostic, did_you_mean, nearest, one_of},
    source::{Source, Span, Spanned},
    substitute::Environment,
    tree::{Entry, Node, Value},
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
}
