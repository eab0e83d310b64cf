//! [`Components`]: access to operators for the checks of a manifest, and the reasons that it fails.

use std::fmt::Display;

use super::{ComponentInfo, Graph, OperatorStage, Stage};
use crate::{
    code::Code,
    manifest::{Grants, OperatorLimits},
};

/// Access to components for the checks of a manifest.
pub trait Components {
    /// Returns the code of a built-in operator.
    fn builtin(&self, name: &str) -> Result<Code, Unusable>;

    /// Returns the description of a component, if all of its imports are granted.
    fn describe(
        &self,
        code: &Code,
        limits: &OperatorLimits,
        grants: &Grants,
    ) -> Result<ComponentInfo, Unusable>;

    /// Returns the names of the built-in operators.
    fn builtins(&self) -> Vec<&str>;

    /// Opens an operator of a graph as for running it, to check that it accepts its configuration.
    fn open(
        &self,
        graph: &Graph,
        stage: &Stage,
        operator: &OperatorStage,
    ) -> Result<(), OpenRefusal>;
}

/// The reason that a component is unusable, in lower case without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unusable {
    reason: String,
    help: Option<String>,
}

impl Unusable {
    /// Creates a reason, with a suggestion for the user. If the reason has several lines, those after the first are
    /// part of the suggestion.
    pub fn new(reason: impl Display, help: Option<String>) -> Self {
        let text = reason.to_string();
        let (reason, more) = match text.split_once('\n') {
            Some((reason, more)) => (reason.to_owned(), Some(more.to_owned())),
            None => (text, None),
        };
        let help: Vec<_> = more.into_iter().chain(help).collect();
        Self {
            reason,
            help: (!help.is_empty()).then(|| help.join("\n")),
        }
    }

    /// Returns the suggestion for the user.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

/// The reason that an operator did not open, in lower case without a full stop. Its first line is complete without the
/// others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenRefusal(pub String);
