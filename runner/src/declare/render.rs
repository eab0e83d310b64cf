//! Formats findings for people, with underlined lines of the manifest.

use std::{borrow::Cow, fmt::Write};

use annotate_snippets::{
    AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};

use super::{
    diagnostics::{Diagnostic, Severity},
    source::{Source, Span},
};

/// Maximum number of findings shown: 50. The rest are counted.
const MAX_SHOWN: usize = 50;

pub(super) fn render(
    source: &Source,
    list: &[Diagnostic],
    masked: &[Span],
    colour: bool,
) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let text = mask(source.text(), masked);
    let mut out = String::new();
    for found in list.iter().take(MAX_SHOWN) {
        let shown = one(source, &text, found, &renderer);
        out.push_str(&shown);
        out.push_str("\n\n");
    }
    if out.ends_with("\n\n") {
        out.pop();
    }
    if list.len() > MAX_SHOWN {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "\n… and {} more", list.len() - MAX_SHOWN);
    }
    out
}

fn one(source: &Source, text: &str, found: &Diagnostic, renderer: &Renderer) -> String {
    let level = match found.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(found.message.as_str()));
    group = match &found.primary {
        None if source.name().is_empty() => group,
        None => group.element(Origin::path(source.name())),
        Some((span, label)) => {
            let secondary = found
                .secondary
                .iter()
                .map(|(span, label)| (*span, label, AnnotationKind::Context));
            let places: Vec<_> = [(*span, label, AnnotationKind::Primary)]
                .into_iter()
                .chain(secondary)
                .map(|(span, label, kind)| (source.first_line(span), label, kind))
                .collect();
            // Pass only the affected lines: a manifest may have a million lines.
            let first = places
                .iter()
                .map(|(span, ..)| span.start)
                .min()
                .unwrap_or_default();
            let last = places
                .iter()
                .map(|(span, ..)| span.end)
                .max()
                .unwrap_or_default();
            let start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
            let end = text[last..]
                .find('\n')
                .map_or(text.len(), |newline| last + newline);
            let annotations = places.into_iter().map(|(span, label, kind)| {
                let label = (!label.is_empty()).then_some(label.as_str());
                kind.span(span.start - start..span.end - start).label(label)
            });
            let snippet = Snippet::source(&text[start..end])
                .path(source.name())
                .line_start(source.position(start).0)
                .annotations(annotations);
            group.element(snippet)
        }
    };
    if let Some(help) = &found.help {
        group = group.element(
            Level::HELP
                .with_name("hint")
                .message(normalize_untrusted_str(help)),
        );
    }
    renderer.render(&[group])
}

/// Masks the secrets written in a text. Every other byte keeps its position.
fn mask<'a>(text: &'a str, masked: &[Span]) -> Cow<'a, str> {
    if masked.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = text.to_owned();
    for span in masked {
        if let Some(part) = text.get(span.start..span.end) {
            let stars: String = part.chars().flat_map(|c| stars(c).chars()).collect();
            out.replace_range(span.start..span.end, &stars);
        }
    }
    Cow::Owned(out)
}

const fn stars(c: char) -> &'static str {
    match (c, c.len_utf8()) {
        ('\n', _) => "\n",
        (_, 1) => "*",
        (_, 2) => "**",
        (_, 3) => "***",
        _ => "****",
    }
}
