//! Checks of sources and sinks for errors that `up` would report when it opens them.

use mosaik_streams::Encoding;

use super::{Components, component::near_file};
use crate::{
    declare::{Diagnostic, io_reason},
    files,
    manifest::{
        ConsumerDecl, ProducerDecl, StreamDecl,
        connector::{FileSource, SourceConfig},
        sink_path,
    },
};

/// Size of the beginning of a source that is inspected for being text: 1 KiB.
const BEGINNING_BYTES: u64 = 1024;

/// Checks a producer's settings, and the beginning of its file.
pub(super) fn check_source(
    decl: &ProducerDecl,
    stream: Option<&StreamDecl>,
    components: &dyn Components,
    found: &mut Vec<Diagnostic>,
) {
    let encoding = stream.map(|stream| &stream.config.encoding);
    let checked = encoding.map(|encoding| components.check_source(&decl.from, encoding));
    if let Some(Err((key, reason))) = checked {
        let reason = if decl.from.is_secret() {
            "a setting of this source is invalid".to_owned()
        } else {
            reason
        };
        found.push(Diagnostic::error(reason).at(decl.span_of(key), "invalid"));
    }
    if let SourceConfig::File(file) = &*decl.from {
        // A stream of bytes accepts any content.
        let is_text = encoding != Some(&Encoding::Bytes);
        found.extend(check_file(file, decl, is_text.then_some(components)));
    }
}

/// Checks that a file is readable and, if `text` is set, that it contains text.
fn check_file(
    file: &FileSource,
    decl: &ProducerDecl,
    text: Option<&dyn Components>,
) -> Option<Diagnostic> {
    let at = |what: String, label: String| Diagnostic::error(what).at(decl.path_span(), label);
    let error = match files::beginning(&file.path, BEGINNING_BYTES) {
        Ok(beginning) => {
            let what = text?.other_than_text(&beginning)?;
            let (what, help) = match what.split_once("; ") {
                Some((what, help)) => (what, Some(help.to_owned())),
                None => (what.as_str(), None),
            };
            let found = at(
                format!("the source is not text: it is {what}"),
                "expected text".to_owned(),
            );
            return Some(found.maybe_help(help));
        }
        Err(error) => error,
    };
    let reason = io_reason(&error);
    let message = format!("the source cannot be read: {reason}");
    match error.kind() {
        // A followed file may be created later.
        std::io::ErrorKind::NotFound if file.follow => None,
        std::io::ErrorKind::IsADirectory => Some(at(message, "expected a file".to_owned())),
        // Opening it would fail.
        _ if files::is_not_regular(&error) => Some(at(message, "expected a file".to_owned()).help(
            "read it from stdin: `from: {stdin: {format: …}}`, and `mosaik-runner up MANIFEST < PIPE`",
        )),
        std::io::ErrorKind::NotFound if !decl.from.is_secret() => {
            Some(at(message, reason).maybe_help(near_file(&file.path)))
        }
        _ => Some(at(message, reason)),
    }
}

/// Checks that a consumer's file is writable.
pub(super) fn check_sink(decl: &ConsumerDecl, found: &mut Vec<Diagnostic>) {
    let Some(path) = sink_path(&decl.to) else {
        return;
    };
    // The meaning of these paths depends on the process.
    if path.starts_with("/dev") || path.starts_with("/proc") {
        return;
    }
    if let Err(error) = files::check_appendable(path) {
        let reason = io_reason(&error);
        let label =
            if files::is_not_regular(&error) || error.kind() == std::io::ErrorKind::IsADirectory {
                "expected a file".to_owned()
            } else {
                reason.clone()
            };
        found.push(
            Diagnostic::error(format!("the file cannot be written: {reason}"))
                .at(decl.to_span, label),
        );
    }
}
