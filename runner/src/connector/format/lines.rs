//! Lines: cuts them into raw bytes, text, JSON strings, or existing JSON. No I/O.
//!
//! A line ends with `\n` or `\r\n`, which is not part of the record; the last line may lack a line end. In `jsonl`,
//! blank lines are skipped. A byte order mark before the first line is removed, except in raw lines.

use memchr::memchr_iter;

use super::{
    framing::{Refusal, Target},
    json,
    place::Place,
};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Conversion of a line to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connector) enum LineKind {
    /// The bytes of the line.
    Raw,
    /// The bytes of the line, which must be UTF-8.
    Text,
    /// A JSON string with the text of the line, which must be UTF-8.
    JsonString,
    /// The bytes of the line, assumed to be JSON. Blank lines are skipped.
    Jsonl,
}

/// Cuts lines.
#[derive(Debug)]
pub(in crate::connector) struct LineCutter {
    kind: LineKind,
    max_datum_bytes: usize,
    /// The beginning of a line that has not ended: at most the longest allowed record and a `\r`.
    partial: Vec<u8>,
    /// The current line is too long and is skipped to its end.
    skipping: bool,
    /// Number of its bytes that were skipped.
    skipped_bytes: u64,
    /// Number of lines that have ended.
    lines: u64,
}

impl LineCutter {
    pub(in crate::connector) fn new(kind: LineKind, max_datum_bytes: usize) -> Self {
        Self {
            kind,
            max_datum_bytes,
            partial: Vec::new(),
            skipping: false,
            skipped_bytes: 0,
            lines: 0,
        }
    }

    pub(in crate::connector) fn cut(&mut self, input: &[u8], target: &mut Target<'_>) -> usize {
        let mut start = 0;
        for end in memchr_iter(b'\n', input) {
            self.end_line(&input[start..end], target);
            start = end + 1;
            if target.is_full() {
                return start;
            }
        }
        self.keep(&input[start..], target);
        input.len()
    }

    pub(in crate::connector) fn finish(&mut self, target: &mut Target<'_>) {
        if !self.partial.is_empty() {
            self.end_line(b"", target);
        }
        self.skipping = false;
        self.lines = 0;
    }

    /// Returns whether a line has begun that has not ended and is not being skipped.
    pub(in crate::connector) fn is_within_line(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Returns the state at the beginning of the current line, and the number of bytes consumed since.
    pub(in crate::connector) fn place(&self) -> (u64, Place) {
        let held = if self.skipping {
            self.skipped_bytes
        } else {
            self.partial.len() as u64
        };
        let place = Place {
            line: self.lines + 1,
            is_refused: self.skipping,
            csv: None,
        };
        (held, place)
    }

    /// Goes on at the beginning of a line. Call before the first [`cut`](Self::cut).
    pub(in crate::connector) const fn resume(&mut self, place: &Place) {
        self.lines = place.line.saturating_sub(1);
        self.skipping = place.is_refused;
        self.skipped_bytes = 0;
    }

    /// Keeps the beginning of a line.
    fn keep(&mut self, piece: &[u8], target: &mut Target<'_>) {
        if self.skipping {
            self.skipped_bytes += piece.len() as u64;
            return;
        }
        if self.partial.len() + piece.len() > self.max_datum_bytes.saturating_add(1) {
            self.skipping = true;
            self.skipped_bytes = (self.partial.len() + piece.len()) as u64;
            self.partial.clear();
            target.tally.refuse(
                self.lines + 1,
                Refusal::TooLarge {
                    max_bytes: self.max_datum_bytes,
                },
            );
        } else {
            self.partial.extend_from_slice(piece);
        }
    }

    /// Ends the current line with `piece`.
    fn end_line(&mut self, piece: &[u8], target: &mut Target<'_>) {
        if !self.partial.is_empty() {
            self.keep(piece, target);
        }
        if self.skipping {
            self.skipping = false;
        } else {
            let line = if self.partial.is_empty() {
                piece
            } else {
                &self.partial
            };
            if let Err(refusal) = self.add(line, target) {
                target.tally.refuse(self.lines + 1, refusal);
            }
            self.partial.clear();
        }
        self.lines += 1;
    }

    fn add(&self, line: &[u8], target: &mut Target<'_>) -> Result<(), Refusal> {
        let too_large = || Refusal::TooLarge {
            max_bytes: self.max_datum_bytes,
        };
        if line.len() > self.max_datum_bytes.saturating_add(1) {
            return Err(too_large());
        }
        let mut line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.lines == 0 && self.kind != LineKind::Raw {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if self.kind == LineKind::Jsonl && line.trim_ascii().is_empty() {
            return Ok(());
        }
        if line.len() > self.max_datum_bytes {
            return Err(too_large());
        }
        match self.kind {
            LineKind::Raw | LineKind::Jsonl => target.push(line),
            LineKind::Text => target.push(
                std::str::from_utf8(line)
                    .map_err(|_| Refusal::NotUtf8)?
                    .as_bytes(),
            ),
            LineKind::JsonString => {
                let text = std::str::from_utf8(line).map_err(|_| Refusal::NotUtf8)?;
                target.push_with(|out| {
                    let start = out.len();
                    json::write_string(out, text);
                    if out.len() - start > self.max_datum_bytes {
                        Err(too_large())
                    } else {
                        Ok(())
                    }
                })
            }
        }
    }

    #[cfg(test)]
    pub(in crate::connector) fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }
}

#[cfg(test)]
mod tests;
