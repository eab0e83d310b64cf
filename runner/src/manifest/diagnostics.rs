//! What is wrong with a manifest: a list of findings, each with its place, what was expected and what to do.

use std::{fmt, path::PathBuf, sync::Arc};

use super::{
    render,
    source::{Source, Span},
};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The manifest cannot be run.
    Error,
    /// It can, but perhaps not as meant.
    Warning,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// The offending text and what was expected there; none if there is no text, as for a missing file.
    pub primary: Option<(Span, String)>,
    /// Other places that belong to it.
    pub secondary: Vec<(Span, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            help: None,
        }
    }

    /// Something to think about.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Where it is, and what was expected there.
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some((span, label.into()));
        self
    }

    /// Another place that belongs to it.
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push((span, label.into()));
        self
    }

    /// What to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What to do about it, if anything can be said.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

/// All findings about one manifest, in the order of its text.
///
/// `Display` shows them as [`Diagnostics::render`] does without colour.
#[derive(Clone, Default)]
pub struct Diagnostics {
    source: Arc<Source>,
    list: Vec<Diagnostic>,
    masked: Vec<Span>,
    files: Vec<PathBuf>,
}

impl Diagnostics {
    /// Findings about `source`; the text under `masked` is never shown.
    pub(crate) fn new(source: Arc<Source>, mut list: Vec<Diagnostic>, masked: Vec<Span>) -> Self {
        list.sort_by_key(|found| found.primary.as_ref().map(|(span, _)| span.start));
        Self {
            source,
            list,
            masked,
            files: Vec::new(),
        }
    }

    /// With the files that the manifest is made of.
    pub(crate) fn of_files(mut self, files: Vec<PathBuf>) -> Self {
        self.files = files;
        self
    }

    /// The manifest and the files that it names, whether they are there or not: mending any of them may help.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|found| found.severity == Severity::Error)
    }

    /// The file they are about, as it is shown.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// Line and column of a finding, both from 1.
    pub fn position(&self, found: &Diagnostic) -> Option<(usize, usize)> {
        found
            .primary
            .as_ref()
            .map(|(span, _)| self.source.position(span.start))
    }

    /// As a person reads them: each with its line of the manifest, underlined. Ends with a newline unless empty.
    pub fn render(&self, colour: bool) -> String {
        render::render(&self.source, &self.list, &self.masked, colour)
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Diagnostics {}

/// The candidate that `text` was most likely meant to be, as a hint.
pub(crate) fn did_you_mean<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(text, candidates).map(|near| format!("did you mean `{near}`?"))
}

/// The candidate nearest to `text`, if any is near.
pub(crate) fn nearest<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const MAX_COMPARED_CHARS: usize = 128;
    if text.len() > MAX_COMPARED_CHARS {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| *candidate != text && candidate.len() <= MAX_COMPARED_CHARS)
        .map(|candidate| (strsim::jaro_winkler(text, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Names in a sentence: `` `a`, `b` or `c` ``.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names, "or")
}

/// Names in a sentence: `` `a`, `b` and `c` ``.
pub(crate) fn all_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names, "and")
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    const MAX_LISTED: usize = 24;
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.len() > MAX_LISTED {
        let more = names.len() - MAX_LISTED;
        names.truncate(MAX_LISTED);
        names.push(format!("{more} more"));
    }
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((end, start)) => format!("{} {last} {end}", start.join(", ")),
    }
}
