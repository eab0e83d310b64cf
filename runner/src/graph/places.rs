//! Locations of the parts of a manifest, for errors that only occur when the parts are started.

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc};

use super::{Role, StageKey};
use crate::declare::{Diagnostic, Diagnostics, Source, Span};
use crate::manifest::Manifest;

/// A part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// An address of `node.listen`.
    Listen(SocketAddr),
    /// The source of a producer, the sink of a consumer, or an operator.
    Stage(StageKey),
}

/// Locations of the parts of a manifest.
#[derive(Clone, Default)]
pub struct Places {
    source: Arc<Source>,
    masked: Vec<Span>,
    listen: Vec<(SocketAddr, Span)>,
    stages: BTreeMap<StageKey, Span>,
}

impl fmt::Debug for Places {
    // The text may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").finish_non_exhaustive()
    }
}

impl Places {
    pub(super) fn new(manifest: &Manifest, source: Arc<Source>, masked: Vec<Span>) -> Self {
        let key = |role, name: &super::StageName| StageKey {
            role,
            name: name.clone(),
        };
        let producers = manifest.producers.iter();
        let producers =
            producers.map(|decl| (key(Role::Producer, &decl.name.value), decl.path_span()));
        let operators = manifest.operators.iter();
        let operators =
            operators.map(|decl| (key(Role::Operator, &decl.name.value), decl.name.span));
        let consumers = manifest.consumers.iter();
        let consumers =
            consumers.map(|decl| (key(Role::Consumer, &decl.name.value), decl.path_span()));
        Self {
            source,
            masked,
            listen: manifest.node.listen.clone(),
            stages: producers.chain(operators).chain(consumers).collect(),
        }
    }

    /// Returns the file, line and column of a part: `m.yaml:4:12`.
    pub fn position(&self, part: &Part) -> Option<String> {
        let span = match part {
            Part::Listen(address) => self.listen.iter().find(|(listen, _)| listen == address)?.1,
            Part::Stage(key) => *self.stages.get(key)?,
        };
        let (line, column) = self.source.position(span.start);
        Some(format!("{}:{line}:{column}", self.source.name()))
    }

    /// Creates an error at the location of a part; `None` if the manifest does not contain the part.
    pub fn error(&self, part: &Part, message: &str) -> Option<Diagnostics> {
        let (span, label, help) = match part {
            Part::Listen(address) => {
                let (_, span) = self.listen.iter().find(|(listen, _)| listen == address)?;
                let help =
                    "stop the other process, or listen on another port; port 0 selects a free one";
                (*span, "cannot listen here", Some(help.to_owned()))
            }
            Part::Stage(key) => (*self.stages.get(key)?, "cannot be opened", None),
        };
        let error = Diagnostic::error(message).at(span, label).maybe_help(help);
        Some(Diagnostics::new(
            Arc::clone(&self.source),
            vec![error],
            self.masked.clone(),
        ))
    }
}
