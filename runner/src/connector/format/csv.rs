//! Comma-separated values: cuts each row into a JSON object whose keys follow the order of the header. No I/O.
//!
//! The syntax is RFC 4180 as implemented by `csv-core`: fields may be quoted, and quoted fields may contain commas,
//! line ends and doubled quotes. Rows end with `\n`, `\r\n` or `\r`. Blank lines and a leading byte order mark are
//! skipped. The first row names the columns, unless the settings do. Content that follows earlier content, for example
//! after a log rotation, keeps the earlier columns unless its first row is a header. A quote that is never closed consumes the rest of the
//! content, and each of the consumed lines is counted.
//!
//! An empty field is `null`, unless it is quoted. A column holds either numbers, written digit for digit
//! ([`is_number`](super::json::is_number)), or text: `true`, `007` and ` 1` are text, and a column with text in its
//! first rows is a text column. Text that appears later in a column of numbers becomes a string and is counted. The
//! stream's schema takes precedence for the columns it names: text stays text even if it looks like a number, and
//! `true` and `false` are booleans. A type that is set takes precedence over both, and other values refuse their row.

mod bounds;
mod columns;
pub(in crate::connector) mod encoder;
mod header;
mod place;
mod quoted;
mod sample;
pub(in crate::connector) mod settings;

use bytes::BufMut;
use csv_core::{ReadRecordResult, Reader};
use memchr::memchr_iter;

pub(in crate::connector) use self::columns::ColumnKind;
use self::{
    columns::{Column, Fit},
    quoted::Quoted,
    sample::Sample,
    settings::{CsvRead, InputHeader},
};
use super::framing::{HeaderError, Held, Refusal, Target};

/// Maximum number of columns in a header: 65,536.
pub const MAX_COLUMNS: usize = 65_536;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const FIRST_CONTENT_BYTES: usize = 4096;
const FIRST_ENDS: usize = 64;

/// The columns of a header, with the kinds determined so far.
#[derive(Debug, Clone)]
pub(in crate::connector) struct Header(Vec<Column>);

/// State of the current row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// No row has begun: the next byte begins a row or is part of a blank line.
    None,
    /// The row is being read.
    Taken,
    /// The row is refused and skipped to its end.
    Refused,
}

/// Cuts CSV rows into records.
#[derive(Debug)]
pub(in crate::connector) struct CsvCutter {
    max_datum_bytes: usize,
    settings: CsvRead,
    reader: Reader,
    /// Number of bytes of the byte order mark seen so far; `None` once the content has begun.
    mark_bytes: Option<usize>,
    /// Set once the reader has received its first byte in a call of its own. A first call with three bytes would make
    /// it look for a byte order mark itself.
    primed: bool,
    /// `None` until the header has been read, or the first row has begun.
    columns: Option<Vec<Column>>,
    /// The columns of earlier content, until the first row begins.
    resumed: Option<Vec<Column>>,
    /// The columns come from earlier content, and the first row may be a header that replaces them.
    inherited: bool,
    /// Unquoted, concatenated values of the current row. Grows to at most one byte more than the longest record.
    content: Vec<u8>,
    content_len: usize,
    /// End offset of each value in `content`. Has room for one value more than there are columns.
    ends: Vec<usize>,
    ends_len: usize,
    row: Row,
    /// Line on which the current row begins.
    row_line: u64,
    /// Number of bytes of the current row that were consumed.
    row_bytes: u64,
    /// State in which the next row begins: refused if an earlier process has refused and counted it.
    begins_as: Row,
    /// Number of line ends that were not passed to the reader.
    blank_lines: u64,
    /// Quoting of the current row, if the row spans several reads or contains a doubled quote.
    quoted: Quoted,
    /// The input consumed last ends with a line end.
    ends_line: bool,
    /// Determines the kinds of columns that the schema does not set.
    sample: Sample,
}

impl CsvCutter {
    pub(in crate::connector) fn new(settings: CsvRead, max_datum_bytes: usize) -> Self {
        Self {
            max_datum_bytes,
            reader: settings.dialect.reader(),
            quoted: Quoted::new(settings.dialect),
            settings,
            mark_bytes: Some(0),
            primed: false,
            columns: None,
            resumed: None,
            inherited: false,
            content: vec![0; FIRST_CONTENT_BYTES.min(max_datum_bytes.saturating_add(1))],
            content_len: 0,
            ends: vec![0; FIRST_ENDS],
            ends_len: 0,
            row: Row::None,
            row_line: 1,
            row_bytes: 0,
            begins_as: Row::Taken,
            blank_lines: 0,
            ends_line: false,
            sample: Sample::new(),
        }
    }

    pub(in crate::connector) fn cut(
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
                self.begin_row(target)?;
            }
            taken += self.step(&input[taken..], target)?;
            if self.row == Row::None && target.is_full() {
                break;
            }
        }
        self.ends_line = input[..taken].last() == Some(&b'\n');
        Ok(taken)
    }

    pub(in crate::connector) fn finish(
        &mut self,
        target: &mut Target<'_>,
    ) -> Result<(), HeaderError> {
        if let Some(mark_bytes) = self.mark_bytes.take() {
            self.feed(&BYTE_ORDER_MARK[..mark_bytes], target)?;
        }
        let line = self.reader.line() + self.blank_lines;
        while self.row != Row::None {
            // A line end that does not end a row is inside quotes.
            if self.step(b"\n", target)? > 0 && self.row != Row::None {
                // A row that was too long has been counted already.
                let lines = line - self.row_line + u64::from(!self.ends_line);
                let lines = lines - u64::from(self.row == Row::Refused);
                let refusal = Refusal::OpenQuote { lines };
                target.tally.refuse(self.row_line, refusal);
                break;
            }
        }
        let settings = std::mem::take(&mut self.settings);
        let mut next = Self::new(settings, self.max_datum_bytes);
        if self.columns.is_some() || self.resumed.is_some() {
            next.columns = self.columns.take();
            next.resumed = self.resumed.take();
            next.inherited = next.settings.header == InputHeader::FirstLine;
            std::mem::swap(&mut next.ends, &mut self.ends);
            std::mem::swap(&mut next.sample, &mut self.sample);
            next.sample.end_content();
        }
        *self = next;
        Ok(())
    }

    /// Returns the state of a row that has begun and not ended.
    pub(in crate::connector) fn held(&self) -> Option<Held> {
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

    /// Returns the columns of the current content, if its header has been read.
    pub(in crate::connector) fn header(&self) -> Option<Header> {
        let columns = self.columns.as_ref().or(self.resumed.as_ref());
        columns.cloned().map(Header)
    }

    /// Continues with content that has these columns and whose first row is already read. Names and types that are set
    /// take precedence.
    pub(in crate::connector) fn go_on_with(&mut self, Header(columns): Header) {
        (self.columns, self.resumed) = (None, Some(columns));
        (self.inherited, self.mark_bytes) = (false, None);
    }

    /// Skips the byte order mark, which may arrive in pieces, and returns the number of bytes consumed.
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

    /// Passes bytes that end no row to the reader.
    fn feed(&mut self, mut input: &[u8], target: &mut Target<'_>) -> Result<(), HeaderError> {
        if !input.is_empty() {
            self.begin_row(target)?;
        }
        while !input.is_empty() {
            let taken = self.step(input, target)?;
            input = &input[taken..];
        }
        Ok(())
    }

    fn begin_row(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        if self.columns.is_none() {
            self.begin_content(target)?;
        }
        self.row = std::mem::replace(&mut self.begins_as, Row::Taken);
        self.row_line = self.reader.line() + self.blank_lines;
        self.row_bytes = 0;
        Ok(())
    }

    /// Calls the reader once, with no bytes at the end of the content. Returns the number of bytes consumed.
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
        self.row_bytes += taken as u64;
        self.content_len += content_len;
        self.ends_len += ends_len;
        // The quoting of a row that arrives in one read is inspected when the row ends.
        let is_at_once = result == ReadRecordResult::Record && self.quoted.is_empty();
        if self.row != Row::Refused && !is_at_once {
            self.quoted.read(&input[..taken]);
        }
        let line = self.reader.line() + self.blank_lines;
        if line - self.row_line > bounds::FIELD_LINES && self.row == Row::Taken {
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

    /// Ends the current row, whose last bytes are `raw`; `rest` is the input that follows it.
    fn end_row(
        &mut self,
        raw: &[u8],
        rest: &[u8],
        target: &mut Target<'_>,
    ) -> Result<(), HeaderError> {
        if self.row != Row::Refused {
            if self.content_len > self.max_datum_bytes {
                self.refuse(self.too_large(), target)?;
            } else if !self.is_header(target)? {
                if self.quoted.is_empty() && self.settings.dialect.has_doubled(raw) {
                    self.quoted.read(raw);
                }
                if let Err(refusal) = self.add(rest, target) {
                    target.tally.refuse(self.row_line, refusal);
                }
            }
        }
        self.row = Row::None;
        (self.content_len, self.ends_len) = (0, 0);
        Ok(())
    }

    /// Adds the current row as a record. `rest` is the input that follows the row.
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
            let dialect = self.settings.dialect;
            self.sample.look_ahead(columns, dialect, rest, max);
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
                // The limit applies to the record, so keys and escapes count too.
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
    pub(in crate::connector) fn held_bytes(&self) -> usize {
        self.content.capacity()
            + self.quoted.held_bytes()
            + self.ends.capacity() * size_of::<usize>()
    }
}

/// Iterates over the values of a row.
fn values<'v>(content: &'v [u8], ends: &'v [usize]) -> impl Iterator<Item = &'v [u8]> + Clone {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, end)| &content[start..*end])
}

#[cfg(test)]
mod tests;
