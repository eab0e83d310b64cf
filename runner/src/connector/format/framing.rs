//! Converts bytes to records: one [`Cutter`] for every [`Format`], fed with chunks of any size. No I/O.

use bytes::BytesMut;
use mosaik_streams::{Encoding, FramesBuilder, schema::TranscodeError};

use super::{
    csv::{CsvCutter, Header, settings::CsvRead},
    lines::{LineCutter, LineKind},
    place::{ColumnPlace, Place},
    postcard::ToPostcard,
};
use crate::connector::Format;

/// An invalid header; nothing after it can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Two columns have the same name, but a JSON object can hold only one of them.
    #[error("the header names the column {name:?} twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A name is not UTF-8.
    #[error("the header is not UTF-8")]
    NotUtf8,
    /// The header is longer than the longest allowed record.
    #[error("the header is longer than {max_bytes} bytes")]
    TooLong {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The header names more columns than [`MAX_COLUMNS`](super::MAX_COLUMNS).
    #[error("the header names more than {max} columns")]
    TooManyColumns {
        /// The limit.
        max: usize,
    },
}

/// The format of the input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::connector) struct Cut {
    pub(in crate::connector) format: Format,
    /// For `csv` only.
    pub(in crate::connector) csv: CsvRead,
}

impl From<Format> for Cut {
    fn from(format: Format) -> Self {
        let csv = CsvRead::default();
        Self { format, csv }
    }
}

/// The reason that a line or row was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("makes a record longer than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("does not have the header's {expected} columns")]
    Columns { expected: usize },
    #[error("has a value in the column {column:?} that is not a {kind}")]
    Type { column: String, kind: &'static str },
    #[error("has a quote that is never closed, and holds {lines} lines to the end of the file")]
    OpenQuote { lines: u64 },
    #[error("is {0}")]
    Schema(TranscodeError),
}

impl From<TranscodeError> for Refusal {
    fn from(error: TranscodeError) -> Self {
        match error {
            TranscodeError::TooLarge { max_bytes } => Self::TooLarge { max_bytes },
            error => Self::Schema(error),
        }
    }
}

/// A line or row that has begun and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::connector) enum Held {
    /// One line, or a part of it.
    Line,
    /// A row with an open quote, which has consumed further lines.
    OpenQuote {
        /// The line on which the row begins.
        line: u64,
        /// Number of complete lines it has consumed.
        lines: u64,
    },
}

/// Maximum number of distinct refusals kept for warnings: 16.
const REFUSALS_MAX: usize = 16;
/// Maximum number of notes kept for warnings: 16.
const NOTES_MAX: usize = 16;

/// Lines that were refused for the same reason.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::connector) struct Refused {
    /// The reason.
    pub(in crate::connector) refusal: Refusal,
    /// The first of the lines, counted from 1.
    pub(in crate::connector) line: u64,
    /// The number of lines.
    pub(in crate::connector) count: u64,
}

/// Counters of refused input, with the reasons since the last [`take_refused`](Self::take_refused) for warnings.
#[derive(Debug, Default)]
pub(in crate::connector) struct Tally {
    pub(in crate::connector) too_large: u64,
    pub(in crate::connector) invalid: u64,
    /// Number of fields that do not match the kind of their column.
    pub(in crate::connector) mixed: u64,
    refused: Vec<Refused>,
    /// Peculiarities of the content that do not cause refusals.
    notes: Vec<String>,
}

impl Tally {
    pub(in crate::connector) fn refuse(&mut self, line: u64, refusal: Refusal) {
        match refusal {
            Refusal::TooLarge { .. } => self.too_large += 1,
            Refusal::NotUtf8
            | Refusal::Columns { .. }
            | Refusal::Type { .. }
            | Refusal::Schema(_) => self.invalid += 1,
            Refusal::OpenQuote { lines } => self.invalid += lines,
        }
        let same = |refused: &&mut Refused| refused.refusal == refusal;
        if let Some(refused) = self.refused.iter_mut().find(same) {
            refused.count += 1;
        } else if self.refused.len() < REFUSALS_MAX {
            self.refused.push(Refused {
                refusal,
                line,
                count: 1,
            });
        } else if let Some(last) = self.refused.last_mut() {
            // Beyond the limit, count the refusal under the last reason kept.
            last.count += 1;
        }
    }

    /// Adds a note about the content for a warning. Keeps at most 16 notes until they are taken.
    pub(in crate::connector) fn note(&mut self, odd: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(odd);
        }
    }

    /// Takes the notes added since the last call.
    pub(in crate::connector) fn take_notes(&mut self) -> std::vec::Drain<'_, String> {
        self.notes.drain(..)
    }

    /// Takes the first refusal since the last call, with the line on which it begins, counted from 1.
    pub(in crate::connector) fn take_first(&mut self) -> Option<(u64, Refusal)> {
        let first = self.take_refused().next()?;
        Some((first.line, first.refusal))
    }

    /// Takes the refusals since the last call, with at most 16 reasons.
    pub(in crate::connector) fn take_refused(&mut self) -> std::vec::Drain<'_, Refused> {
        self.refused.drain(..)
    }
}

/// Destination of a cutter's records, refusals and notes.
pub(in crate::connector) struct Target<'a> {
    pub(in crate::connector) out: &'a mut FramesBuilder,
    pub(in crate::connector) tally: &'a mut Tally,
    /// Converts the JSON of the records to postcard; `None` if the stream's encoding is not postcard.
    pub(in crate::connector) postcard: Option<&'a mut ToPostcard>,
    /// Size in bytes, including headers, from which on the batch is full.
    pub(in crate::connector) full_bytes: usize,
}

impl Target<'_> {
    pub(in crate::connector) fn is_full(&self) -> bool {
        self.out.wire_len() >= self.full_bytes
    }

    /// Adds a record.
    pub(in crate::connector) fn push(&mut self, datum: &[u8]) -> Result<(), Refusal> {
        match &self.postcard {
            None => self.out.push(datum),
            Some(postcard) => postcard.push(self.out, datum)?,
        }
        Ok(())
    }

    /// Adds a record that `write` appends. Adds nothing if `write` fails.
    pub(in crate::connector) fn push_with(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        match &mut self.postcard {
            None => self.out.push_with(write),
            Some(postcard) => postcard.push_with(self.out, write),
        }
    }
}

/// Cuts bytes into records. The result does not depend on the chunk boundaries.
///
/// Holds at most about two times the longest allowed record, whatever the length of a line.
#[derive(Debug)]
pub(in crate::connector) enum Cutter {
    Lines(LineCutter),
    Csv(Box<CsvCutter>),
}

impl Cutter {
    pub(in crate::connector) fn new(cut: Cut, encoding: &Encoding, max_datum_bytes: usize) -> Self {
        let kind = match (cut.format, encoding) {
            (Format::Csv, _) => {
                return Self::Csv(Box::new(CsvCutter::new(cut.csv, max_datum_bytes)));
            }
            (Format::Jsonl, _) => LineKind::Jsonl,
            (Format::Lines, Encoding::Json | Encoding::Postcard(_)) => LineKind::JsonString,
            (Format::Lines, Encoding::Text) => LineKind::Text,
            (Format::Lines, Encoding::Bytes) => LineKind::Raw,
        };
        Self::Lines(LineCutter::new(kind, max_datum_bytes))
    }

    /// Adds the records that end in `input` until the batch is full, and keeps the beginning of the next record.
    /// Returns the number of bytes consumed.
    pub(in crate::connector) fn cut(
        &mut self,
        input: &[u8],
        target: &mut Target<'_>,
    ) -> Result<usize, HeaderError> {
        match self {
            Self::Lines(lines) => Ok(lines.cut(input, target)),
            Self::Csv(csv) => csv.cut(input, target),
        }
    }

    /// Ends the content: adds the kept bytes as the last record, and resets the cutter for new content.
    pub(in crate::connector) fn finish(
        &mut self,
        target: &mut Target<'_>,
    ) -> Result<(), HeaderError> {
        match self {
            Self::Lines(lines) => lines.finish(target),
            Self::Csv(csv) => csv.finish(target)?,
        }
        Ok(())
    }

    /// Returns the state of a line or row that has begun and not ended.
    pub(in crate::connector) fn held(&self) -> Option<Held> {
        match self {
            Self::Lines(lines) => lines.is_within_line().then_some(Held::Line),
            Self::Csv(csv) => csv.held(),
        }
    }

    /// Returns the columns of the current content, if it has any.
    pub(in crate::connector) fn header(&self) -> Option<Header> {
        match self {
            Self::Lines(_) => None,
            Self::Csv(csv) => csv.header(),
        }
    }

    /// Continues with content that has these columns and whose first row is already read.
    pub(in crate::connector) fn go_on_with(&mut self, header: Header) {
        if let Self::Csv(csv) = self {
            csv.go_on_with(header);
        }
    }

    /// Returns the state at the beginning of the current line or row, and the number of bytes consumed since.
    pub(in crate::connector) fn place(&self) -> (u64, Place) {
        match self {
            Self::Lines(lines) => lines.place(),
            Self::Csv(csv) => csv.place(),
        }
    }

    /// Goes on at a place of an earlier process. Call before the first [`cut`](Self::cut).
    pub(in crate::connector) fn resume(
        &mut self,
        place: &Place,
        postcard: Option<&ToPostcard>,
    ) -> Result<(), HeaderError> {
        match self {
            Self::Lines(lines) => lines.resume(place),
            Self::Csv(csv) => csv.resume(place, postcard)?,
        }
        Ok(())
    }

    /// Returns columns of an earlier process; `None` if the format has none.
    pub(in crate::connector) fn header_of(
        &self,
        columns: &[ColumnPlace],
        postcard: Option<&ToPostcard>,
    ) -> Result<Option<Header>, HeaderError> {
        match self {
            Self::Lines(_) => Ok(None),
            Self::Csv(csv) => csv.header_of(columns, postcard).map(Some),
        }
    }

    /// Number of bytes of memory held.
    #[cfg(test)]
    pub(in crate::connector) fn held_bytes(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.held_bytes(),
            Self::Csv(csv) => csv.held_bytes(),
        }
    }
}

/// Cuts `chunks`, in batches of `full_bytes`, as one content.
#[cfg(test)]
pub(in crate::connector) fn cut_all(
    cutter: &mut Cutter,
    chunks: &[&[u8]],
    full_bytes: usize,
) -> (Result<Vec<Vec<u8>>, HeaderError>, Tally) {
    let (mut datums, mut tally) = (Vec::new(), Tally::default());
    let mut out = FramesBuilder::new();
    let mut run = || {
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let taken = cutter.cut(
                    rest,
                    &mut Target {
                        out: &mut out,
                        tally: &mut tally,
                        postcard: None,
                        full_bytes,
                    },
                )?;
                rest = &rest[taken..];
                datums.extend(out.finish().iter().map(<[u8]>::to_vec));
            }
        }
        cutter.finish(&mut Target {
            out: &mut out,
            tally: &mut tally,
            postcard: None,
            full_bytes,
        })?;
        datums.extend(out.finish().iter().map(<[u8]>::to_vec));
        Ok(())
    };
    let done = run();
    (done.map(|()| datums), tally)
}

/// Splits `bytes` into pieces of the lengths in `cuts`, which repeat.
#[cfg(test)]
pub(in crate::connector) fn chunks<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*cut).clamp(1, bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
