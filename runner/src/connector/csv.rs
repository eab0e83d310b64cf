//! Cutting comma-separated values: a JSON object a row, keys in the order of the header. No I/O.
//!
//! RFC 4180 as `csv-core` reads it: fields may be quoted, quoted ones hold commas, quotes (doubled) and line ends; rows
//! end with `\n`, `\r\n` or `\r`; blank lines are skipped, and a byte order mark in front. The first row names the columns.
//! Content that follows other content, as after a log was rotated, has the columns of that, unless its first row names
//! them again or anew. A quote that is never closed takes what follows with it, which is counted, line by line.
//!
//! An empty field is `null`, unless it is quoted. A column is of numbers, which are written digit for digit
//! ([`is_number`](super::json::is_number)), or of text: `true` and `007` and ` 1` are texts, and a column with a text in its first
//! rows is text. A text that comes later in a column of numbers is a string, and counted. Where the stream's
//! schema has the column, that says it: text stays text, whatever it looks like, and `true` and `false` are what they say.

mod columns;
mod quoted;
mod sample;

use std::collections::HashSet;

use bytes::BufMut;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr_iter, memmem};

pub(super) use self::columns::ColumnKind;
use self::{
    columns::{Column, Fit},
    quoted::Quoted,
    sample::Sample,
};
use super::{
    framing::{HeaderError, Held, Refusal, Target},
    json,
};
use crate::manifest::connector::Delimiter;

/// The most columns a header may name: 65,536.
pub const MAX_COLUMNS: usize = 65_536;

/// A quoted field of more lines is warned of: 100.
const FIELD_LINES: u64 = 100;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const FIRST_CONTENT_BYTES: usize = 4096;
const FIRST_ENDS: usize = 64;
/// What may separate columns where the delimiter does not.
const SEPARATORS: [u8; 4] = *b",;\t|";

/// The columns that a header names, and what is known of them.
#[derive(Debug, Clone)]
pub(super) struct Header(Vec<Column>);

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
    columns: Option<Vec<Column>>,
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
    /// What decides about columns, unless the schema does.
    sample: Sample,
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
            sample: Sample::new(),
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
        let mut next = Self::new(self.delimiter, self.max_datum_bytes);
        if self.columns.is_some() {
            next.columns = self.columns.take();
            next.inherited = true;
            std::mem::swap(&mut next.ends, &mut self.ends);
            std::mem::swap(&mut next.sample, &mut self.sample);
            next.sample.end_content();
        }
        *self = next;
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
        self.columns.clone().map(Header)
    }

    /// Goes on with content that has these columns, after its first row.
    pub(super) fn go_on_with(&mut self, Header(columns): Header) {
        if self.sample.is_over() && columns.iter().any(Column::is_sampled) {
            self.sample = Sample::new();
        }
        self.ends = vec![0; columns.len() + 1];
        (self.columns, self.inherited, self.mark_bytes) = (Some(columns), false, None);
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
        let line = self.reader.line() + self.blank_lines;
        if line - self.row_line > FIELD_LINES && self.row == Row::Taken {
            self.report_long(&input[..taken], target);
        }
        match result {
            ReadRecordResult::Record => {
                self.end_row(&input[..taken], &input[taken..], target)?;
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

    /// Warns of a row that holds too many lines within one pair of quotes; it ends, or goes on, with `raw`.
    fn report_long(&mut self, raw: &[u8], target: &mut Target<'_>) {
        if self.quoted.is_empty() {
            self.quoted.read(raw);
        }
        let Some(before) = self.quoted.first_longer_than(FIELD_LINES) else {
            return;
        };
        let opened = self.row_line + before;
        target.tally.note(format!(
            "line {opened}: the quote that opens here holds more than {FIELD_LINES} lines; is the one that closes it missing?"
        ));
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

    /// The row at hand ends with `raw`, before `rest`.
    fn end_row(
        &mut self,
        raw: &[u8],
        rest: &[u8],
        target: &mut Target<'_>,
    ) -> Result<(), HeaderError> {
        if self.row != Row::Refused {
            if self.content_len > self.max_datum_bytes {
                self.refuse(self.too_large(), target)?;
            } else if std::mem::take(&mut self.inherited) && self.names_columns() {
                self.begin_columns(target)?;
            } else if self.columns.is_some() {
                if self.quoted.is_empty() && memmem::find(raw, b"\"\"").is_some() {
                    self.quoted.read(raw);
                }
                if let Err(refusal) = self.add(rest, target) {
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
        let known = self.columns.take().unwrap_or_default();
        let names = values(&self.content, &self.ends[..self.ends_len]);
        let columns = Column::all(names, &known, target.postcard.as_deref())?;
        if target.postcard.is_some() {
            self.sample = Sample::none();
        } else if self.sample.is_over() && columns.iter().any(Column::is_sampled) {
            self.sample = Sample::new();
        }
        if let [only] = columns.as_slice()
            && let Some(other) = only.name().iter().find(|byte| SEPARATORS.contains(byte))
            && *other != self.delimiter.byte()
        {
            let other = match other {
                b'\t' => "tab".to_owned(),
                other => char::from(*other).to_string(),
            };
            target.tally.note(format!(
                "the header has one column, {:?}: `delimiter: \"{other}\"` cuts it at each {other}",
                String::from_utf8_lossy(only.name())
            ));
        }
        self.ends = vec![0; columns.len() + 1];
        self.columns = Some(columns);
        Ok(())
    }

    /// Whether the first row of content that follows other content is a header again: it has at least half of the
    /// columns' names where they were, or the same names in another order, or names where the number of columns is
    /// another.
    fn names_columns(&self) -> bool {
        let Some(columns) = &self.columns else {
            return true;
        };
        let values: Vec<_> = values(&self.content, &self.ends[..self.ends_len]).collect();
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
            .filter(|(column, value)| column.name() == **value)
            .count();
        2 * same >= columns.len() || columns.iter().all(|column| names.contains(column.name()))
    }

    /// Adds the row at hand, of which `rest` is what follows.
    fn add(&mut self, rest: &[u8], target: &mut Target<'_>) -> Result<(), Refusal> {
        let columns = self.columns.as_mut().expect("the header is read");
        if self.ends_len != columns.len() {
            return Err(Refusal::Columns {
                expected: columns.len(),
            });
        }
        let values = values(&self.content, &self.ends[..self.ends_len]);
        if !self.sample.is_over() && !self.sample.knows_row() {
            self.sample.add(columns, values.clone(), self.content_len);
            let max = self.max_datum_bytes;
            self.sample.look_ahead(columns, self.delimiter, rest, max);
        }
        let mut mixed = 0;
        let mut notes = Vec::new();
        target.push_with(|out| {
            let start = out.len();
            for (index, (column, value)) in columns.iter_mut().zip(values).enumerate() {
                let is_quoted = value.is_empty() && self.quoted.is_quoted(index);
                let fit = column.write(out, value, is_quoted)?;
                if fit != Fit::Fits {
                    mixed += fit.mixed();
                    notes.extend(column.report(fit, self.row_line));
                }
                // Keys and escapes count too: the datum is what is limited.
                if out.len() - start >= self.max_datum_bytes {
                    return Err(Refusal::TooLarge {
                        max_bytes: self.max_datum_bytes,
                    });
                }
            }
            out.put_u8(b'}');
            Ok(())
        })?;
        target.tally.mixed += mixed;
        for note in notes {
            target.tally.note(note);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.content.capacity()
            + self.quoted.held_bytes()
            + self.ends.capacity() * size_of::<usize>()
    }
}

/// The values of a row.
fn values<'v>(content: &'v [u8], ends: &'v [usize]) -> impl Iterator<Item = &'v [u8]> + Clone {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| &content[start..*end])
}

#[cfg(test)]
mod tests;
