//! The text of a manifest, bounded, and positions in it.

use std::{io, path::Path};

use crate::files;

/// The most text a manifest may have: 1 MiB.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;

/// A stretch of a source's text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Where it starts.
    pub start: usize,
    /// Where it ends, exclusive.
    pub end: usize,
}

impl Span {
    /// From `start` up to `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Whether it covers nothing.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// A value and where it was written.
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

/// A manifest's text and the name of its file, as it is shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Source {
    name: String,
    text: String,
}

/// Why a manifest's text cannot be had.
pub(crate) enum Unreadable {
    /// The file cannot be read.
    Io(io::Error),
    /// More than [`MAX_MANIFEST_BYTES`]; how much, if known.
    TooLarge(Option<u64>),
    /// Not UTF-8 from this byte on; the text with what is wrong replaced.
    NotUtf8(Source, Span),
}

impl Source {
    /// A text that is already there.
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
            // Of a pipe no more is known than that it goes on.
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

    /// The file, as it is shown.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a span covers; empty if it lies outside.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line and the column (in characters) of a byte, both from 1.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    /// The span within the text, on character boundaries, and cut at the end of its first line.
    pub(crate) fn first_line(&self, span: Span) -> Span {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.ceil_char_boundary(span.end.max(start));
        let covered = &self.text[start..end];
        let line = covered.split('\n').next().unwrap_or_default().trim_end();
        Span::new(start, start + line.len())
    }
}
