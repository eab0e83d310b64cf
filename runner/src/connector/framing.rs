//! Bytes to datums: one [`Cutter`] for every [`Format`], fed with chunks of any size. No I/O.

use bytes::BytesMut;
use mosaik_streams::{Encoding, FramesBuilder, schema::TranscodeError};

use super::{
    csv::{CsvCutter, Header},
    lines::{LineCutter, LineKind},
    postcard::ToPostcard,
};
use crate::manifest::connector::{Delimiter, Format};

/// A first line that names no columns; nothing after it can be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Two columns have one name, and a JSON object has room for one of them.
    #[error("the header names the column {name:?} twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A name is not UTF-8.
    #[error("the header is not UTF-8")]
    NotUtf8,
    /// The header is longer than a datum may be.
    #[error("the header is longer than {max_bytes} bytes")]
    TooLong {
        /// The limit.
        max_bytes: usize,
    },
    /// The header names more columns than [`MAX_COLUMNS`](super::MAX_COLUMNS).
    #[error("the header names more than {max} columns")]
    TooManyColumns {
        /// The limit.
        max: usize,
    },
}

/// How bytes are cut into datums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cut {
    pub(super) format: Format,
    /// Of `csv`.
    pub(super) delimiter: Delimiter,
}

impl From<Format> for Cut {
    fn from(format: Format) -> Self {
        let delimiter = Delimiter::default();
        Self { format, delimiter }
    }
}

/// Why a line or row became no datum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("makes a datum longer than {max_bytes} bytes")]
    TooLarge { max_bytes: usize },
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("does not have the header's {expected} columns")]
    Columns { expected: usize },
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

/// The beginning of a line or row whose end has not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// One line, or a part of it.
    Line,
    /// A row with an open quote, which has taken other lines in.
    OpenQuote {
        /// The line on which it begins.
        line: u64,
        /// Whole lines that it has taken in.
        lines: u64,
    },
}

/// Distinct refusals that are kept for a warning.
const REFUSALS_MAX: usize = 16;
/// Notes that are kept for a warning.
const NOTES_MAX: usize = 16;

/// Lines that became no datum for the same reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Why.
    pub(super) refusal: Refusal,
    /// The first of them, counted from 1.
    pub(super) line: u64,
    /// How many.
    pub(super) count: u64,
}

/// What became no datum, counted, with the reasons since [`take_refused`](Self::take_refused) for a warning.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) too_large: u64,
    pub(super) invalid: u64,
    /// Fields that are not of their column's kind.
    pub(super) mixed: u64,
    refused: Vec<Refused>,
    /// What is odd about the content, and refuses nothing.
    notes: Vec<String>,
}

impl Tally {
    pub(super) fn refuse(&mut self, line: u64, refusal: Refusal) {
        match refusal {
            Refusal::TooLarge { .. } => self.too_large += 1,
            Refusal::NotUtf8 | Refusal::Columns { .. } | Refusal::Schema(_) => self.invalid += 1,
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
            // Beyond the bound, the number matters more than the reason.
            last.count += 1;
        }
    }

    /// Notes what is odd about the content, for a warning; no more than 16 before they are taken.
    pub(super) fn note(&mut self, odd: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(odd);
        }
    }

    /// What was noted since the last call.
    pub(super) fn take_notes(&mut self) -> std::vec::Drain<'_, String> {
        self.notes.drain(..)
    }

    /// The first refusal since the last call, with the line it starts at, counted from 1.
    pub(super) fn take_first(&mut self) -> Option<(u64, Refusal)> {
        let first = self.take_refused().next()?;
        Some((first.line, first.refusal))
    }

    /// What was refused since the last call, at most 16 reasons.
    pub(super) fn take_refused(&mut self) -> std::vec::Drain<'_, Refused> {
        self.refused.drain(..)
    }
}

/// Where a cutter puts what it finds.
pub(super) struct Target<'a> {
    pub(super) out: &'a mut FramesBuilder,
    pub(super) tally: &'a mut Tally,
    /// What makes postcard of the datums' JSON, where the stream is of that.
    pub(super) postcard: Option<&'a mut ToPostcard>,
    /// The batch is full from so many bytes on, headers included.
    pub(super) full_bytes: usize,
}

impl Target<'_> {
    pub(super) fn is_full(&self) -> bool {
        self.out.wire_len() >= self.full_bytes
    }

    /// Adds a datum.
    pub(super) fn push(&mut self, datum: &[u8]) -> Result<(), Refusal> {
        match &self.postcard {
            None => self.out.push(datum),
            Some(postcard) => postcard.push(self.out, datum)?,
        }
        Ok(())
    }

    /// Adds a datum that `write` appends; nothing is added when it fails.
    pub(super) fn push_with(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        match &mut self.postcard {
            None => self.out.push_with(write),
            Some(postcard) => postcard.push_with(self.out, write),
        }
    }
}

/// Cuts bytes into datums, whatever the chunks they come in.
///
/// Holds at most about two times the longest datum allowed, however long a line is.
#[derive(Debug)]
pub(super) enum Cutter {
    Lines(LineCutter),
    Csv(Box<CsvCutter>),
}

impl Cutter {
    pub(super) fn new(cut: Cut, encoding: &Encoding, max_datum_bytes: usize) -> Self {
        let kind = match (cut.format, encoding) {
            (Format::Csv, _) => {
                return Self::Csv(Box::new(CsvCutter::new(cut.delimiter, max_datum_bytes)));
            }
            (Format::Jsonl, _) => LineKind::Jsonl,
            (Format::Lines, Encoding::Json | Encoding::Postcard(_)) => LineKind::JsonString,
            (Format::Lines, Encoding::Text) => LineKind::Text,
            (Format::Lines, Encoding::Bytes) => LineKind::Raw,
        };
        Self::Lines(LineCutter::new(kind, max_datum_bytes))
    }

    /// Adds the datums that end in `input` until the batch is full, keeps the beginning of the next one, and says how
    /// many bytes it took.
    pub(super) fn cut(
        &mut self,
        input: &[u8],
        target: &mut Target<'_>,
    ) -> Result<usize, HeaderError> {
        match self {
            Self::Lines(lines) => Ok(lines.cut(input, target)),
            Self::Csv(csv) => csv.cut(input, target),
        }
    }

    /// Says that nothing follows: adds what was kept as the last datum, and starts anew.
    pub(super) fn finish(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        match self {
            Self::Lines(lines) => lines.finish(target),
            Self::Csv(csv) => csv.finish(target)?,
        }
        Ok(())
    }

    /// What was taken and is not whole yet.
    pub(super) fn held(&self) -> Option<Held> {
        match self {
            Self::Lines(lines) => lines.is_within_line().then_some(Held::Line),
            Self::Csv(csv) => csv.held(),
        }
    }

    /// The columns of the present content, if it has any.
    pub(super) fn header(&self) -> Option<Header> {
        match self {
            Self::Lines(_) => None,
            Self::Csv(csv) => csv.header(),
        }
    }

    /// Goes on with content that has these columns, after its first row.
    pub(super) fn go_on_with(&mut self, header: Header) {
        if let Self::Csv(csv) = self {
            csv.go_on_with(header);
        }
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.held_bytes(),
            Self::Csv(csv) => csv.held_bytes(),
        }
    }
}

/// Cuts `chunks`, in batches of `full_bytes`, as one content.
#[cfg(test)]
pub(super) fn cut_all(
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

/// `bytes` in pieces whose lengths are those of `cuts`, over and over.
#[cfg(test)]
pub(super) fn chunks<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
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
