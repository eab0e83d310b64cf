//! Cutting comma-separated values: a JSON object a row, keys in the order of the header. No I/O.
//!
//! RFC 4180 as `csv-core` reads it: fields may be quoted, quoted ones hold commas, quotes (doubled) and line ends; rows
//! end with `\n`, `\r\n` or `\r`; blank lines are skipped, and a byte order mark in front. The first row names the columns.
//! Content that follows other content, as after a log was rotated, has the columns of that, unless its first row names
//! them again or anew. A quote that is never closed takes what follows with it, which is counted, line by line.
//! Of a field's value, quoted or not:
//! an empty one is `null`, unless it is quoted; one that JSON would spell the same way as a number is that number, digit for digit
//! ([`is_number`](json::is_number)); all others, `true` and `007` and ` 1` among them, are strings. Where the stream's
//! schema has the column, it says more: text stays text, whatever it looks like, and `true` and `false` are what they say.

mod quoted;

use std::{collections::HashSet, sync::Arc};

use bytes::{BufMut, BytesMut};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr_iter, memmem};

use self::quoted::Quoted;
use super::{
    framing::{HeaderError, Held, Refusal, Target},
    json,
};
use crate::manifest::connector::Delimiter;

/// The most columns a header may name: 65,536.
pub const MAX_COLUMNS: usize = 65_536;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const FIRST_CONTENT_BYTES: usize = 4096;
const FIRST_ENDS: usize = 64;
/// What may separate columns where the delimiter does not.
const SEPARATORS: [u8; 4] = *b",;\t|";

/// What is known of a column.
#[derive(Debug)]
pub(super) struct Column {
    name: Vec<u8>,
    /// What stands before every value: `{"symbol":`, `,"date":`.
    before: Vec<u8>,
    kind: ColumnKind,
}

/// The columns that a header names.
#[derive(Debug, Clone)]
pub(super) struct Header(Arc<[Column]>);

impl std::ops::Deref for Header {
    type Target = [Column];

    fn deref(&self) -> &[Column] {
        &self.0
    }
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

/// What becomes of the row at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// There is none: the next byte begins one, or a blank line.
    None,
    /// It is taken.
    Taken,
    /// It is refused, and passed over to its end.
    Refused,
}

/// Cuts rows.
#[derive(Debug)]
pub(super) struct CsvCutter {
    max_datum_bytes: usize,
    delimiter: Delimiter,
    reader: Reader,
    /// Bytes of the byte order mark seen so far; `None` once the content has begun.
    mark_bytes: Option<usize>,
    /// Whether the reader has been given its first byte, alone: with three it would look for a mark of its own.
    primed: bool,
    /// Once the header is read.
    columns: Option<Header>,
    /// The columns are those of the content before, and the first row may name them anew.
    inherited: bool,
    /// The values of the row at hand, unquoted, one after the other: grows to one byte more than the longest datum.
    content: Vec<u8>,
    content_len: usize,
    /// Where each value ends in `content`; one more than there are columns.
    ends: Vec<usize>,
    ends_len: usize,
    row: Row,
    /// The line on which the row at hand begins.
    row_line: u64,
    /// Line ends that were kept from the reader.
    blank_lines: u64,
    /// Of the row at hand, if it did not come at once or has two quotes in a row.
    quoted: Quoted,
    /// What was taken last ends with a line end.
    ends_line: bool,
}

impl CsvCutter {
    pub(super) fn new(delimiter: Delimiter, max_datum_bytes: usize) -> Self {
        Self {
            max_datum_bytes,
            delimiter,
            reader: ReaderBuilder::new().delimiter(delimiter.byte()).build(),
            mark_bytes: Some(0),
            primed: false,
            columns: None,
            inherited: false,
            content: vec![0; FIRST_CONTENT_BYTES.min(max_datum_bytes.saturating_add(1))],
            content_len: 0,
            ends: vec![0; FIRST_ENDS],
            ends_len: 0,
            row: Row::None,
            row_line: 1,
            blank_lines: 0,
            quoted: Quoted::new(delimiter),
            ends_line: false,
        }
    }

    pub(super) fn cut(
        &mut self,
        input: &[u8],
        target: &mut Target<'_>,
    ) -> Result<usize, HeaderError> {
        let mut taken = self.pass_mark(input, target)?;
        while taken < input.len() {
            if self.row == Row::None {
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
            if self.row == Row::None && target.is_full() {
                break;
            }
        }
        self.ends_line = input[..taken].last() == Some(&b'\n');
        Ok(taken)
    }

    pub(super) fn finish(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        if let Some(mark_bytes) = self.mark_bytes.take() {
            self.feed(&BYTE_ORDER_MARK[..mark_bytes], target)?;
        }
        let line = self.reader.line() + self.blank_lines;
        while self.row != Row::None {
            // A line end that ends no row is within quotes.
            if self.step(b"\n", target)? > 0 && self.row != Row::None {
                // A row that was too long is counted already.
                let lines = line - self.row_line + u64::from(!self.ends_line);
                let lines = lines - u64::from(self.row == Row::Refused);
                let refusal = Refusal::OpenQuote { lines };
                target.tally.refuse(self.row_line, refusal);
                break;
            }
        }
        let (columns, ends) = (self.columns.take(), std::mem::take(&mut self.ends));
        *self = Self::new(self.delimiter, self.max_datum_bytes);
        if columns.is_some() {
            (self.columns, self.ends, self.inherited) = (columns, ends, true);
        }
        Ok(())
    }

    /// What was taken of a row that has not ended.
    pub(super) fn held(&self) -> Option<Held> {
        if self.row != Row::Taken {
            return None;
        }
        if !self.quoted.is_within() {
            return Some(Held::Line);
        }
        let line = self.row_line;
        let lines = self.reader.line() + self.blank_lines - line;
        Some(Held::OpenQuote { line, lines })
    }

    /// The columns of the present content, if its header is read.
    pub(super) fn header(&self) -> Option<Header> {
        self.columns.clone()
    }

    /// Goes on with content that has these columns, after its first row.
    pub(super) fn go_on_with(&mut self, header: Header) {
        self.ends = vec![0; header.len() + 1];
        (self.columns, self.inherited, self.mark_bytes) = (Some(header), false, None);
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
        self.row = Row::Taken;
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
        if self.row == Row::Refused {
            (self.content_len, self.ends_len) = (0, 0);
        }
        let (result, taken, content_len, ends_len) = self.reader.read_record(
            input,
            &mut self.content[self.content_len..],
            &mut self.ends[self.ends_len..],
        );
        self.content_len += content_len;
        self.ends_len += ends_len;
        // A row that comes at once is looked at when it ends.
        let is_at_once = result == ReadRecordResult::Record && self.quoted.is_empty();
        if self.row != Row::Refused && !is_at_once {
            self.quoted.read(&input[..taken]);
        }
        match result {
            ReadRecordResult::Record => {
                self.end_row(&input[..taken], target)?;
                self.quoted.clear();
            }
            ReadRecordResult::OutputFull if self.row != Row::Refused => {
                self.widen_content(target)?;
            }
            ReadRecordResult::OutputEndsFull if self.row != Row::Refused => {
                self.widen_ends(target)?;
            }
            ReadRecordResult::End => self.row = Row::None,
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
        self.row = Row::Refused;
        Ok(())
    }

    fn end_row(&mut self, raw: &[u8], target: &mut Target<'_>) -> Result<(), HeaderError> {
        if self.row != Row::Refused {
            if self.content_len > self.max_datum_bytes {
                self.refuse(self.too_large(), target)?;
            } else if std::mem::take(&mut self.inherited) && self.names_columns() {
                self.begin_columns(target)?;
            } else if let Some(columns) = &self.columns {
                if self.quoted.is_empty() && memmem::find(raw, b"\"\"").is_some() {
                    self.quoted.read(raw);
                }
                if let Err(refusal) = self.add(columns, target) {
                    target.tally.refuse(self.row_line, refusal);
                }
            } else {
                self.begin_columns(target)?;
            }
        }
        self.row = Row::None;
        (self.content_len, self.ends_len) = (0, 0);
        Ok(())
    }

    /// Takes the row at hand for the header.
    fn begin_columns(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        let columns = self.read_header(target)?;
        if let [only] = columns.as_slice()
            && let Some(other) = only.name.iter().find(|byte| SEPARATORS.contains(byte))
            && *other != self.delimiter.byte()
        {
            let other = match other {
                b'\t' => "tab".to_owned(),
                other => char::from(*other).to_string(),
            };
            target.tally.note(format!(
                "the header has one column, {:?}: `delimiter: \"{other}\"` cuts it at each {other}",
                String::from_utf8_lossy(&only.name)
            ));
        }
        self.ends = vec![0; columns.len() + 1];
        self.columns = Some(Header(columns.into()));
        Ok(())
    }

    /// Whether the first row of content that follows other content is a header again: it has at least half of the
    /// columns' names where they were, or the same names in another order, or names where the number of columns is
    /// another.
    fn names_columns(&self) -> bool {
        let Some(columns) = &self.columns else {
            return true;
        };
        let values: Vec<_> = self.values().collect();
        let names: HashSet<_> = values.iter().copied().collect();
        if names.len() < values.len()
            || values
                .iter()
                .any(|value| std::str::from_utf8(value).is_err())
        {
            return false;
        }
        if values.len() != columns.len() {
            let is_name = |value: &&[u8]| !value.is_empty() && !json::is_number(value);
            return values.iter().all(is_name);
        }
        let same = columns.iter().zip(&values);
        let same = same
            .filter(|(column, value)| column.name == **value)
            .count();
        2 * same >= columns.len() || columns.iter().all(|column| names.contains(&*column.name))
    }

    /// The values of the row at hand.
    fn values(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends[..self.ends_len])
            .map(|(start, end)| &self.content[start..*end])
    }

    fn read_header(&self, target: &Target<'_>) -> Result<Vec<Column>, HeaderError> {
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
                    name: name.as_bytes().to_vec(),
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
            for (index, (column, value)) in columns.iter().zip(self.values()).enumerate() {
                out.put_slice(&column.before);
                let is_text = value.is_empty() && self.quoted.is_quoted(index);
                if is_text && column.kind != ColumnKind::Bool {
                    out.put_slice(b"\"\"");
                    continue;
                }
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
        self.content.capacity()
            + self.quoted.held_bytes()
            + self.ends.capacity() * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests;
