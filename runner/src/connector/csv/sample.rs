//! [`Sample`]: the first rows, which decide what columns hold numbers and what columns hold text. No I/O.
//!
//! The sample is always the same rows, however they arrive. Those that arrive together are looked at before the first of
//! them is written, and no row waits for others: where rows come one by one, a column of numbers becomes text when the
//! first text arrives.

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::columns::Column;
use crate::manifest::connector::Delimiter;

/// The most rows of the sample: 100.
const ROWS: usize = 100;
/// The most bytes of their values and delimiters: 64 KiB. A row that is longer than what is left is not part of it.
const BYTES: usize = 64 * 1024;

/// How much of the sample is still to come.
#[derive(Debug)]
pub(super) struct Sample {
    rows_left: usize,
    bytes_left: usize,
    /// Rows that were looked at before they were reached.
    ahead: usize,
}

impl Sample {
    pub(super) const fn new() -> Self {
        Self {
            rows_left: ROWS,
            bytes_left: BYTES,
            ahead: 0,
        }
    }

    /// None at all: a schema says what the columns are.
    pub(super) const fn none() -> Self {
        Self {
            rows_left: 0,
            bytes_left: 0,
            ahead: 0,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.rows_left == 0
    }

    /// The content ends, and other content follows: the rest of the sample comes from there.
    pub(super) const fn end_content(&mut self) {
        self.ahead = 0;
    }

    /// Whether the row that is reached was looked at before.
    pub(super) const fn knows_row(&mut self) -> bool {
        let is_known = self.ahead > 0;
        if is_known {
            self.ahead -= 1;
        }
        is_known
    }

    /// Looks at a row with the header's number of columns.
    pub(super) fn add<'v>(
        &mut self,
        columns: &mut [Column],
        values: impl Iterator<Item = &'v [u8]>,
        content_len: usize,
    ) {
        let len = content_len + columns.len();
        if len > self.bytes_left {
            self.rows_left = 0;
        } else {
            for (column, value) in columns.iter_mut().zip(values) {
                column.sample(value);
            }
            self.bytes_left -= len;
            self.rows_left -= 1;
        }
        if self.is_over() {
            columns.iter_mut().for_each(Column::settle);
        }
    }

    /// Looks at the rows that end in `rest`, which begins between two rows.
    pub(super) fn look_ahead(
        &mut self,
        columns: &mut [Column],
        delimiter: Delimiter,
        mut rest: &[u8],
        max_datum_bytes: usize,
    ) {
        if self.is_over() || rest.is_empty() {
            return;
        }
        // Not a clone: that of `csv-core` 0.1.13 ends a row at each byte.
        let mut reader = ReaderBuilder::new().delimiter(delimiter.byte()).build();
        // Past the place where it looks for a byte order mark of its own.
        let _ = reader.read_record(b"\n", &mut [0], &mut [0]);
        // A row that does not fit is not part of the sample.
        let mut content = vec![0; self.bytes_left.min(rest.len()) + 1];
        let mut ends = vec![0; columns.len() + 1];
        let (mut content_len, mut ends_len, mut is_too_wide) = (0, 0, false);
        // Given no bytes, the reader would take that for the end of the content.
        while !self.is_over() && !rest.is_empty() {
            let (result, taken, written, ended) =
                reader.read_record(rest, &mut content[content_len..], &mut ends[ends_len..]);
            rest = &rest[taken..];
            content_len += written;
            ends_len += ended;
            match result {
                ReadRecordResult::Record => {
                    let is_row =
                        !is_too_wide && ends_len == columns.len() && content_len <= max_datum_bytes;
                    if is_row {
                        let starts = std::iter::once(0).chain(ends.iter().copied());
                        let values = starts
                            .zip(&ends[..ends_len])
                            .map(|(start, end)| &content[start..*end]);
                        self.add(columns, values, content_len);
                        self.ahead += 1;
                    }
                    (content_len, ends_len, is_too_wide) = (0, 0, false);
                }
                ReadRecordResult::OutputEndsFull => {
                    (content_len, ends_len, is_too_wide) = (0, 0, true);
                }
                // A row that is too wide is passed over, whatever its length.
                ReadRecordResult::OutputFull if is_too_wide => content_len = 0,
                ReadRecordResult::OutputFull
                | ReadRecordResult::InputEmpty
                | ReadRecordResult::End => return,
            }
        }
    }
}
