//! Plain explanations of YAML syntax errors.

use serde_saphyr::granit_parser::ErrorKind;

use super::{diagnostics::Diagnostic, source::Span, yaml::MAX_DEPTH};

/// Explains a syntax error at `offset`.
pub(crate) fn explain(text: &str, kind: &ErrorKind, offset: usize) -> Diagnostic {
    let offset = text.floor_char_boundary(offset);
    let here = one_char(text, offset);
    if let Some(tab) = tab_of_indentation(text, offset) {
        return Diagnostic::error("a tab in the indentation")
            .at(tab, "expected spaces")
            .help("YAML is indented with spaces only; replace each tab, two spaces is usual");
    }
    let in_braces = matches!(
        kind,
        ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::ExpectedFlowSequenceSeparator
            | ErrorKind::FlowMappingValueAdjacentCollection
    );
    if in_braces && text[..offset].ends_with('$') && text[offset..].starts_with('{') {
        let end = text[offset..]
            .find('}')
            .map_or(offset + 1, |end| offset + end + 1);
        return Diagnostic::error("a substitution within braces or brackets must be quoted")
            .at(
                Span::new(offset - 1, end),
                "YAML reads its `{` as a mapping",
            )
            .help(format!("write `\"{}\"`", &text[offset - 1..end]));
    }
    match kind {
        ErrorKind::RecursionLimitExceeded => Diagnostic::error(format!(
            "lists and mappings are nested more than {MAX_DEPTH} deep"
        ))
        .at(here, "nested too deeply from here"),
        ErrorKind::UnclosedFlowCollection { open } => {
            Diagnostic::error(format!("`{open}` is never closed"))
                .at(here, format!("expected `{}`", closing(*open)))
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            Diagnostic::error(format!("`{open}` is closed by `{close}`"))
                .at(here, format!("expected `{}`", closing(*open)))
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            Diagnostic::error("a closing bracket without an opening one")
                .at(here, "nothing to close here")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::UnexpectedEofFlowMapping => {
            let found = Diagnostic::error("a mapping in braces is never closed")
                .at(here, "expected `,` or `}`");
            with_opening(text, offset, found)
        }
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => {
            let found = Diagnostic::error("a list in brackets is never closed")
                .at(here, "expected `,` or `]`");
            with_opening(text, offset, found)
        }
        ErrorKind::UnclosedQuotedScalar => {
            Diagnostic::error("a quote is never closed").at(here, "the quoted text does not end")
        }
        ErrorKind::UnknownAnchor => Diagnostic::error("an unknown alias")
            .at(word(text, offset), "no `&name` with this name precedes it")
            .help("text that starts with `*` must be quoted"),
        ErrorKind::SimpleKeyExpected => {
            let line = line_at(text, offset);
            Diagnostic::error("a line that is neither `key: value` nor an item `- …`")
                .at(line, "expected `:` after the key")
        }
        ErrorKind::MappingValueNotAllowed if bare_line_before(text, offset).is_some() => {
            let line = bare_line_before(text, offset).unwrap_or(here);
            Diagnostic::error("a line that is neither `key: value` nor an item `- …`")
                .at(line, "expected `:` after the key")
        }
        ErrorKind::MappingValueNotAllowed => Diagnostic::error("an unexpected `:`")
            .at(here, "not a key here")
            .help("text with `: ` in it must be quoted; a mapping starts on a line of its own"),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            Diagnostic::error("inconsistent indentation").at(
                here,
                "expected a key with the indentation of the keys before",
            )
        }
        ErrorKind::UnexpectedCharacter { character } => {
            Diagnostic::error(format!("text cannot start with `{character}`"))
                .at(here, "unexpected")
                .help("put the value in quotes")
        }
        other => {
            Diagnostic::error(format!("not YAML: {other}")).at(here, "the error is detected here")
        }
    }
}

const fn closing(open: char) -> char {
    match open {
        '[' => ']',
        '{' => '}',
        other => other,
    }
}

fn one_char(text: &str, offset: usize) -> Span {
    let offset = if offset >= text.trim_end().len() {
        last_char(text)
    } else {
        offset
    };
    let length = text[offset..]
        .chars()
        .next()
        .filter(|c| *c != '\n')
        .map_or(0, char::len_utf8);
    Span::new(offset, offset + length)
}

/// Errors at the end of a text are shown at its last character, not on an empty line below.
fn last_char(text: &str) -> usize {
    let trimmed = text.trim_end();
    trimmed
        .char_indices()
        .next_back()
        .map_or(0, |(index, _)| index)
}

/// Adds the location of the bracket that is still open at `offset`, as far as it can be found without parsing.
fn with_opening(text: &str, offset: usize, found: Diagnostic) -> Diagnostic {
    let mut open = Vec::new();
    for (index, c) in text[..offset].char_indices() {
        match c {
            '{' | '[' => open.push(index),
            '}' | ']' => drop(open.pop()),
            _ => {}
        }
    }
    open.last().map_or(found.clone(), |index| {
        found.also(Span::new(*index, index + 1), "opened here")
    })
}

/// Returns the line above `offset` if it consists of a single word: a key with a missing colon.
fn bare_line_before(text: &str, offset: usize) -> Option<Span> {
    let this = text[..offset].rfind('\n')?;
    let line = line_at(
        text,
        text.floor_char_boundary(text[..this].trim_end().len().saturating_sub(1)),
    );
    let written = &text[line.start..line.end];
    let bare = !written.is_empty() && !written.contains(':') && !written.starts_with(['-', '#']);
    bare.then_some(line)
}

fn word(text: &str, offset: usize) -> Span {
    let rest = &text[offset..];
    let end = rest
        .find(|c: char| c.is_whitespace() || ",]}".contains(c))
        .unwrap_or(rest.len());
    Span::new(offset, offset + end)
}

fn line_at(text: &str, offset: usize) -> Span {
    let offset = if offset >= text.trim_end().len() {
        last_char(text)
    } else {
        offset
    };
    let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[offset..]
        .find('\n')
        .map_or(text.len(), |newline| offset + newline);
    let line = &text[start..end];
    let indent = line.len() - line.trim_start().len();
    Span::new(start + indent, start + line.trim_end().len().max(indent))
}

/// Returns the tabs in the indentation of the line at or just before `offset`.
fn tab_of_indentation(text: &str, offset: usize) -> Option<Span> {
    let this = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let before = text[..this.saturating_sub(1)]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    [this, before].into_iter().find_map(|start| {
        let line = text[start..].split('\n').next().unwrap_or_default();
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let first = line[..indent].find('\t')?;
        (indent < line.len()).then(|| Span::new(start + first, start + indent))
    })
}
