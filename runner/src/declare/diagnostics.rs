//! Findings about a manifest, each with its location, the expected content and a suggestion.

use std::{fmt, path::PathBuf, sync::Arc};

use super::{
    render,
    source::{Source, Span},
};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The manifest cannot be run.
    Error,
    /// The manifest can be run, but probably does not have the intended effect.
    Warning,
}

/// An error or a warning about a place in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it is an error or a warning.
    pub severity: Severity,
    /// The problem, as a sentence without a full stop.
    pub message: String,
    /// The location of the problem and the expected content; `None` without a location, as for a missing file.
    pub primary: Option<(Span, String)>,
    /// Related locations.
    pub secondary: Vec<(Span, String)>,
    /// A suggestion for a fix.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Creates an error.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            help: None,
        }
    }

    /// Creates a warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Sets the location and the expected content.
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some((span, label.into()));
        self
    }

    /// Adds a related location.
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push((span, label.into()));
        self
    }

    /// Sets the suggestion.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the suggestion, if there is one.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

/// All findings about one manifest, in the order of its text.
///
/// `Display` formats them like [`Diagnostics::render`] without colour.
#[derive(Clone, Default)]
pub struct Diagnostics {
    source: Arc<Source>,
    list: Vec<Diagnostic>,
    masked: Vec<Span>,
    files: Vec<PathBuf>,
}

impl Diagnostics {
    /// Collects findings about `source`. The text under `masked` is never shown.
    pub(crate) fn new(source: Arc<Source>, mut list: Vec<Diagnostic>, masked: Vec<Span>) -> Self {
        list.sort_by_key(|found| found.primary.as_ref().map(|(span, _)| span.start));
        Self {
            source,
            list,
            masked,
            files: Vec::new(),
        }
    }

    /// Adds the files that make up the manifest.
    pub(crate) fn of_files(mut self, files: Vec<PathBuf>) -> Self {
        self.files = files;
        self
    }

    /// Returns the manifest and the files that it names, including missing ones: a change of any of them may fix a
    /// finding.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Iterates over the findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Returns the number of findings.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns whether there are no findings.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|found| found.severity == Severity::Error)
    }

    /// Returns the name of the file with the findings, as shown in messages.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// Returns the line and column of a finding, both counted from 1.
    pub fn position(&self, found: &Diagnostic) -> Option<(usize, usize)> {
        found
            .primary
            .as_ref()
            .map(|(span, _)| self.source.position(span.start))
    }

    /// Formats the findings for people, each with the underlined line of the manifest. Ends with a newline unless
    /// empty.
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

/// Returns a suggestion with the candidate closest to `text`.
pub(crate) fn did_you_mean<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(text, candidates).map(|near| format!("did you mean `{near}`?"))
}

/// Returns the candidate closest to `text`, if any is close enough.
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

/// Formats names as `` `a`, `b` or `c` ``.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names, "or")
}

/// Formats names as `` `a`, `b` and `c` ``.
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
