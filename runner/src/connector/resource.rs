//! The resources that connectors use outside of the process, and the problems with them that a check reports.

use std::path::PathBuf;

/// Something outside of the process that a connector uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Standard input.
    Stdin,
    /// A file that is read.
    ReadFile(PathBuf),
    /// A file that is written.
    WrittenFile(PathBuf),
}

/// The reason that a connector cannot be opened, for a report with the place in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key of the connector that is at fault.
    pub key: &'static str,
    /// The message, in lower case without a full stop.
    pub message: String,
    /// The note at the place, such as the expected value.
    pub label: String,
    /// A suggestion for the user.
    pub help: Option<String>,
    /// Whether message or suggestion may show values of the settings, which may be secret.
    pub shows_settings: bool,
}

impl Problem {
    /// Creates a problem without a suggestion.
    pub(super) fn new(
        key: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            key,
            message: message.into(),
            label: label.into(),
            help: None,
            shows_settings: false,
        }
    }

    /// Adds a suggestion.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
