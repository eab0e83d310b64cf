//! Cutting comma-separated values: a JSON object a row, keys in the order of the header. No I/O.
//!
//! RFC 4180 as `csv-core` reads it: fields may be quoted, quoted ones hold commas, quotes (doubled) and line ends; rows
//! end with `\n`, `\r\n` or `\r`; blank lines are skipped, and a byte order mark in front. The first row names the columns.
//! Of a field's value, quoted or not:
//! an empty one is `null`; one that JSON would spell the same way as a number is that number, digit for digit
//! ([`is_number`](json::is_number)); all others, `true` and `007` and ` 1` among them, are strings. Where the stream's
//! schema has the column, it says more: text stays text, whatever it looks like, and `true` and `false` are what they say.

use std::collections::HashSet;

use bytes::{BufMut, BytesMut};
use csv_core::{ReadRecordResult, Reader};
use memchr::memchr_iter;

use super::{
    framing::{HeaderError, Refusal, Target},
    json,
};

/// The most columns a header may name: 65,536.
pub const MAX_COLUMNS: usize = 65_536;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const FIRST_CONTENT_BYTES: usize = 4096;
const FIRST_ENDS: usize = 64;

/// What is known of a column.
#[derive(Debug)]
struct Column {
    /// What stands before every value: `{"symbol":`, `,"date":`.
    before: Vec<u8>,
    kind: ColumnKind,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ColumnKind {
    /// What they look like.
    #[default]
    Any,
    /// Text, or `null` if that is what an empty one is.
    Text { empty_is_null: bool },
    /// `true` and `false`.
    Bool,
}

/// Cuts rows.
#[derive(Debug)]
pub(super) struct CsvCutter {
    max_datum_bytes: usize,
    reader: Reader,
    /// Bytes of the byte order mark seen so far; `None` once the content has begun.
    mark_bytes: Option<usize>,
    /// Whether the reader has been given its first byte, alone: with three it would look for a mark of its own.
    primed: bool,
    /// Once the header is read.
    columns: Option<Vec<Column>>,
    /// The values of the row at hand, unquoted, one after the other: grows to one byte more than the longest datum.
    content: Vec<u8>,
    content_len: usize,
    /// Where each value ends in `content`; one more than there are columns.
    ends: Vec<usize>,
    ends_len: usize,
    /// The row at hand is refused and passed over to its end.
    skipping: bool,
    /// The next byte begins a row, or a blank line.
    between_rows: bool,
    /// The line on which the row at hand begins.
    row_line: u64,
    /// Line ends that were kept from the reader.
    blank_lines: u64,
}

impl CsvCutter {
    pub(super) fn new(max_datum_bytes: usize) -> Self {
        Self {
            max_datum_bytes,
            reader: Reader::new(),
            mark_bytes: Some(0),
            primed: false,
            columns: None,
            content: vec![0; FIRST_CONTENT_BYTES.min(max_datum_bytes.saturating_add(1))],
            content_len: 0,
            ends: vec![0; FIRST_ENDS],
            ends_len: 0,
            skipping: false,
            between_rows: true,
            row_line: 1,
            blank_lines: 0,
        }
    }

    pub(super) fn cut(
        &mut self,
        input: &[u8],
        target: &mut Target<'_>,
    ) -> Result<usize, HeaderError> {
        let mut taken = self.pass_mark(input, target)?;
        while taken < input.len() {
            if self.between_rows {
                let rest = &input[taken..];
                let blank = rest
                    .iter()
                    .position(|byte| !matches!(byte, b'\r' | b'\n'))
                    .unwrap_or(rest.len());
                self.blank_lines += memchr_iter(b'\n', &rest[..blank]).count() as u64;
                taken += blank;
                if taken == input.len() {
                    break;
                }
                self.begin_row();
            }
            taken += self.step(&input[taken..], target)?;
            if self.between_rows && target.is_full() {
                break;
            }
        }
        Ok(taken)
    }

    pub(super) fn finish(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        if let Some(mark_bytes) = self.mark_bytes.take() {
            self.feed(&BYTE_ORDER_MARK[..mark_bytes], target)?;
        }
        if !self.between_rows {
            while !self.between_rows {
                self.step(b"", target)?;
            }
        }
        *self = Self::new(self.max_datum_bytes);
        Ok(())
    }

    /// Passes over the byte order mark, which may come in pieces, and says how many bytes it took.
    fn pass_mark(&mut self, input: &[u8], target: &mut Target<'_>) -> Result<usize, HeaderError> {
        let mut taken = 0;
        while let (Some(mark_bytes), Some(byte)) = (self.mark_bytes, input.get(taken)) {
            if *byte == BYTE_ORDER_MARK[mark_bytes] {
                taken += 1;
                self.mark_bytes =
                    Some(mark_bytes + 1).filter(|bytes| *bytes < BYTE_ORDER_MARK.len());
            } else {
                self.mark_bytes = None;
                self.feed(&BYTE_ORDER_MARK[..mark_bytes], target)?;
            }
        }
        Ok(taken)
    }

    /// Gives the reader bytes that end no row.
    fn feed(&mut self, mut input: &[u8], target: &mut Target<'_>) -> Result<(), HeaderError> {
        if !input.is_empty() {
            self.begin_row();
        }
        while !input.is_empty() {
            let taken = self.step(input, target)?;
            input = &input[taken..];
        }
        Ok(())
    }

    fn begin_row(&mut self) {
        self.between_rows = false;
        self.row_line = self.reader.line() + self.blank_lines;
    }

    /// One call of the reader, on no bytes when there are no more; says how many it took.
    fn step(&mut self, input: &[u8], target: &mut Target<'_>) -> Result<usize, HeaderError> {
        let input = if self.primed || input.is_empty() {
            input
        } else {
            &input[..1]
        };
        self.primed = true;
        if self.skipping {
            (self.content_len, self.ends_len) = (0, 0);
        }
        let (result, taken, content_len, ends_len) = self.reader.read_record(
            input,
            &mut self.content[self.content_len..],
            &mut self.ends[self.ends_len..],
        );
        self.content_len += content_len;
        self.ends_len += ends_len;
        match result {
            ReadRecordResult::Record => self.end_row(target)?,
            ReadRecordResult::OutputFull if !self.skipping => self.widen_content(target)?,
            ReadRecordResult::OutputEndsFull if !self.skipping => self.widen_ends(target)?,
            ReadRecordResult::End => self.between_rows = true,
            ReadRecordResult::InputEmpty
            | ReadRecordResult::OutputFull
            | ReadRecordResult::OutputEndsFull => {}
        }
        Ok(taken)
    }

    fn widen_content(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        if self.content.len() > self.max_datum_bytes {
            return self.refuse(self.too_large(), target);
        }
        let len = (self.content.len() * 2).min(self.max_datum_bytes + 1);
        self.content.reserve_exact(len - self.content.len());
        self.content.resize(len, 0);
        Ok(())
    }

    fn widen_ends(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        if let Some(columns) = &self.columns {
            let expected = columns.len();
            return self.refuse(Refusal::Columns { expected }, target);
        }
        if self.ends.len() > MAX_COLUMNS {
            return Err(HeaderError::TooManyColumns { max: MAX_COLUMNS });
        }
        self.ends
            .resize((self.ends.len() * 2).min(MAX_COLUMNS + 1), 0);
        Ok(())
    }

    fn too_large(&self) -> Refusal {
        Refusal::TooLarge {
            max_bytes: self.max_datum_bytes,
        }
    }

    /// Counts the row at hand as no datum and passes over the rest of it; a header is needed, so its refusal is an error.
    fn refuse(&mut self, refusal: Refusal, target: &mut Target<'_>) -> Result<(), HeaderError> {
        if self.columns.is_none() {
            return Err(HeaderError::TooLong {
                max_bytes: self.max_datum_bytes,
            });
        }
        target.tally.refuse(self.row_line, refusal);
        self.skipping = true;
        Ok(())
    }

    fn end_row(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        self.between_rows = true;
        if !self.skipping {
            if self.content_len > self.max_datum_bytes {
                self.refuse(self.too_large(), target)?;
            } else if let Some(columns) = &self.columns {
                if let Err(refusal) = self.add(columns, target) {
                    target.tally.refuse(self.row_line, refusal);
                }
            } else {
                let columns = self.header(target)?;
                self.ends = vec![0; columns.len() + 1];
                self.columns = Some(columns);
            }
        }
        self.skipping = false;
        (self.content_len, self.ends_len) = (0, 0);
        Ok(())
    }

    /// The values of the row at hand.
    fn values(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends[..self.ends_len])
            .map(|(start, end)| &self.content[start..*end])
    }

    fn header(&self, target: &Target<'_>) -> Result<Vec<Column>, HeaderError> {
        if self.ends_len > MAX_COLUMNS {
            return Err(HeaderError::TooManyColumns { max: MAX_COLUMNS });
        }
        let mut names = HashSet::new();
        self.values()
            .map(|name| {
                let name = std::str::from_utf8(name).map_err(|_| HeaderError::NotUtf8)?;
                if !names.insert(name) {
                    return Err(HeaderError::Duplicate {
                        name: name.to_owned(),
                    });
                }
                let mut before = BytesMut::new();
                before.put_u8(if names.len() == 1 { b'{' } else { b',' });
                json::write_string(&mut before, name);
                before.put_u8(b':');
                let postcard = target.postcard.as_ref();
                Ok(Column {
                    before: before.to_vec(),
                    kind: postcard.map_or(ColumnKind::Any, |postcard| postcard.column(name)),
                })
            })
            .collect()
    }

    fn add(&self, columns: &[Column], target: &mut Target<'_>) -> Result<(), Refusal> {
        if self.ends_len != columns.len() {
            return Err(Refusal::Columns {
                expected: columns.len(),
            });
        }
        target.push_with(|out| {
            let start = out.len();
            for (column, value) in columns.iter().zip(self.values()) {
                out.put_slice(&column.before);
                match column.kind {
                    ColumnKind::Any if json::is_number(value) => out.put_slice(value),
                    ColumnKind::Bool if matches!(value, b"true" | b"false") => out.put_slice(value),
                    ColumnKind::Any
                    | ColumnKind::Bool
                    | ColumnKind::Text {
                        empty_is_null: true,
                    } if value.is_empty() => out.put_slice(b"null"),
                    _ => json::write_string(
                        out,
                        std::str::from_utf8(value).map_err(|_| Refusal::NotUtf8)?,
                    ),
                }
                // Keys and escapes count too: the datum is what is limited.
                if out.len() - start >= self.max_datum_bytes {
                    return Err(self.too_large());
                }
            }
            out.put_u8(b'}');
            Ok(())
        })
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.content.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests;
