//! Checks of sources and sinks for errors that `up` would report when it opens them.

use crate::{
    connector::{Problem, check_source as check_settings},
    declare::{Diagnostic, Span},
    manifest::{ConsumerDecl, ProducerDecl, StreamDecl},
};

/// Checks a producer's settings, and that its source can be opened.
pub(super) fn check_source(
    decl: &ProducerDecl,
    stream: Option<&StreamDecl>,
    found: &mut Vec<Diagnostic>,
) {
    let encoding = stream.map(|stream| &stream.config.encoding);
    let checked = encoding.map(|encoding| check_settings(&decl.from, encoding));
    if let Some(Err(error)) = checked {
        let reason = if decl.from.is_secret() {
            "a setting of this source is invalid".to_owned()
        } else {
            error.to_string()
        };
        found.push(Diagnostic::error(reason).at(decl.span_of(error.key()), "invalid"));
    }
    if let Err(problem) = decl.from.probe(encoding) {
        let span = decl.span_of(problem.key);
        found.push(diagnostic(problem, span, decl.from.is_secret()));
    }
}

/// Checks that a consumer's sink can be opened.
pub(super) fn check_sink(decl: &ConsumerDecl, found: &mut Vec<Diagnostic>) {
    if let Err(problem) = decl.to.probe() {
        let span = decl.span_of(problem.key);
        found.push(diagnostic(problem, span, decl.to.is_secret()));
    }
}

fn diagnostic(problem: Problem, span: Span, is_secret: bool) -> Diagnostic {
    let help = problem
        .help
        .filter(|_| !(is_secret && problem.shows_settings));
    Diagnostic::error(problem.message)
        .at(span, problem.label)
        .maybe_help(help)
}
