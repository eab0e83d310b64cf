//! The text of a manifest, limited in size, and locations in it.

use std::{io, path::Path};

use crate::files;

/// Maximum size of a manifest: 1 MiB.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// A range of a source's text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The start.
    pub start: usize,
    /// The end, exclusive.
    pub end: usize,
}

impl Span {
    /// Creates the range from `start` up to `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Returns whether the range is empty.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// A value with its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> Spanned<T> {
    pub(crate) const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// The text of a manifest, with the name of its file for messages.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Source {
    name: String,
    text: String,
}

/// Errors of reading the text of a manifest.
pub(crate) enum Unreadable {
    /// The file cannot be read.
    Io(io::Error),
    /// The file is larger than [`MAX_MANIFEST_BYTES`]. Contains its size in bytes, if known.
    TooLarge(Option<u64>),
    /// The text is not UTF-8. Contains the text with invalid parts replaced, and the location of the first one.
    NotUtf8(Source, Span),
}

impl Source {
    /// Creates a source from text in memory.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Reads a file of at most [`MAX_MANIFEST_BYTES`].
    pub(crate) fn read(path: &Path) -> Result<Self, Unreadable> {
        let name = path.display().to_string();
        let contents =
            files::read_given(path, MAX_MANIFEST_BYTES as u64).map_err(Unreadable::Io)?;
        if contents.length > MAX_MANIFEST_BYTES as u64 {
            // The total length of a pipe is unknown.
            let length = (!files::is_given(path)).then_some(contents.length);
            return Err(Unreadable::TooLarge(length));
        }
        match String::from_utf8(contents.bytes) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => {
                let start = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let end = start + char::REPLACEMENT_CHARACTER.len_utf8();
                Err(Unreadable::NotUtf8(
                    Self { name, text },
                    Span::new(start, end),
                ))
            }
        }
    }

    /// Returns the name of the file for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text of a range; empty if the range is outside the text.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Returns the line and the column (in characters) of a byte offset, both counted from 1.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    /// Restricts a range to the text and to its first line, on character boundaries.
    pub(crate) fn first_line(&self, span: Span) -> Span {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.ceil_char_boundary(span.end.max(start));
        let covered = &self.text[start..end];
        let line = covered.split('\n').next().unwrap_or_default().trim_end();
        Span::new(start, start + line.len())
    }
}
