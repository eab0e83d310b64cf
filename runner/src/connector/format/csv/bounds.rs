//! The bounds of a row: its length, its columns and its lines. A row beyond them is refused.

use super::{CsvCutter, MAX_COLUMNS, Row, settings::InputHeader};
use crate::connector::format::framing::{HeaderError, Refusal, Target};

/// Number of lines in one quoted field above which a warning is logged: 100.
pub(super) const FIELD_LINES: u64 = 100;

impl CsvCutter {
    /// Logs a warning for a row that has too many lines inside one pair of quotes. `raw` is the last part of the row
    /// read so far.
    pub(super) fn report_long(&mut self, raw: &[u8], target: &mut Target<'_>) {
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

    pub(super) fn widen_content(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        if self.content.len() > self.max_datum_bytes {
            return self.refuse(self.too_large(), target);
        }
        let len = (self.content.len() * 2).min(self.max_datum_bytes + 1);
        self.content.reserve_exact(len - self.content.len());
        self.content.resize(len, 0);
        Ok(())
    }

    pub(super) fn widen_ends(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
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

    pub(super) fn too_large(&self) -> Refusal {
        Refusal::TooLarge {
            max_bytes: self.max_datum_bytes,
        }
    }

    /// Counts the current row as refused and skips the rest of it. Refusing the header is an error, since rows cannot
    /// be read without it.
    pub(super) fn refuse(
        &mut self,
        refusal: Refusal,
        target: &mut Target<'_>,
    ) -> Result<(), HeaderError> {
        if self.columns.is_none() && self.settings.header == InputHeader::FirstLine {
            return Err(HeaderError::TooLong {
                max_bytes: self.max_datum_bytes,
            });
        }
        target.tally.refuse(self.row_line, refusal);
        self.row = Row::Refused;
        Ok(())
    }
}
