//! [`Sample`]: the first rows, from which the kind of each column (number or text) is determined. No I/O.
//!
//! The sample consists of the same rows however they arrive. Rows that arrive in one chunk are inspected before the
//! first of them is written, and no row is delayed to wait for others: if rows arrive one at a time, a column of
//! numbers becomes a text column when the first text arrives.

use csv_core::ReadRecordResult;

use super::{columns::Column, settings::Dialect, values};
use crate::connector::format::place::SamplePlace;

/// Maximum number of rows in the sample: 100.
const ROWS: usize = 100;
/// Maximum size of the sampled values and delimiters: 64 KiB. A row that exceeds the remaining size is not sampled.
const BYTES: usize = 64 * 1024;

/// Remaining size of the sample.
#[derive(Debug)]
pub(super) struct Sample {
    rows_left: usize,
    bytes_left: usize,
    /// Number of rows that were inspected ahead of being cut.
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

    /// Creates an empty sample, for columns whose kinds are set by a schema.
    pub(super) const fn none() -> Self {
        Self {
            rows_left: 0,
            bytes_left: 0,
            ahead: 0,
        }
    }

    /// Goes on with a sample that another cutter has begun.
    pub(super) const fn at(place: SamplePlace) -> Self {
        Self {
            rows_left: place.rows,
            bytes_left: place.bytes,
            ahead: place.ahead,
        }
    }

    /// Returns the remaining size for a checkpoint.
    pub(super) const fn place(&self) -> SamplePlace {
        SamplePlace {
            rows: self.rows_left,
            bytes: self.bytes_left,
            ahead: self.ahead,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.rows_left == 0
    }

    /// Begins a new sample if this one is over and some of these columns have not been sampled.
    pub(super) fn cover(&mut self, columns: &[Column]) {
        if self.is_over() && columns.iter().any(Column::is_sampled) {
            *self = Self::new();
        }
    }

    /// Ends the current content. The rest of the sample is taken from the content that follows.
    pub(super) const fn end_content(&mut self) {
        self.ahead = 0;
    }

    /// Advances to the next row and returns whether that row has been inspected ahead.
    pub(super) const fn knows_row(&mut self) -> bool {
        let is_known = self.ahead > 0;
        if is_known {
            self.ahead -= 1;
        }
        is_known
    }

    /// Inspects a row that has as many fields as the header.
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

    /// Inspects the complete rows in `rest`, which begins at a row boundary.
    pub(super) fn look_ahead(
        &mut self,
        columns: &mut [Column],
        dialect: Dialect,
        mut rest: &[u8],
        max_datum_bytes: usize,
    ) {
        if self.is_over() || rest.is_empty() {
            return;
        }
        // Not a clone: a cloned reader of `csv-core` 0.1.13 ends a row at each byte.
        let mut reader = dialect.reader();
        // Moves the reader past the position where it looks for a byte order mark.
        let _ = reader.read_record(b"\n", &mut [0], &mut [0]);
        // A row that exceeds the buffer is not part of the sample.
        let mut content = vec![0; self.bytes_left.min(rest.len()) + 1];
        let mut ends = vec![0; columns.len() + 1];
        let (mut content_len, mut ends_len, mut is_too_wide) = (0, 0, false);
        // The reader treats an empty input as the end of the content.
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
                        self.add(columns, values(&content, &ends[..ends_len]), content_len);
                        self.ahead += 1;
                    }
                    (content_len, ends_len, is_too_wide) = (0, 0, false);
                }
                ReadRecordResult::OutputEndsFull => {
                    (content_len, ends_len, is_too_wide) = (0, 0, true);
                }
                // A row with too many fields is skipped, whatever its length.
                ReadRecordResult::OutputFull if is_too_wide => content_len = 0,
                ReadRecordResult::OutputFull
                | ReadRecordResult::InputEmpty
                | ReadRecordResult::End => return,
            }
        }
    }
}
