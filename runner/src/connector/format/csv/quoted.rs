//! [`Quoted`]: tracks which fields of a row are quoted, since `csv-core` does not report it. No I/O.

use super::settings::Dialect;

/// Position of the next byte within a row, in terms of the CSV reader's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start of a field.
    Start,
    /// Outside quotes, where a quote is an ordinary character.
    Plain,
    /// Inside quotes.
    Within,
    /// After a quote that was inside quotes: a second quote is a literal quote; any other byte is outside quotes.
    AfterQuote,
}

/// Reads a row in parallel with the CSV reader, in pieces of any size.
#[derive(Debug)]
pub(super) struct Quoted {
    dialect: Dialect,
    /// Whether each field read so far is quoted.
    fields: Vec<bool>,
    place: Place,
    /// Number of line ends so far.
    lines: u64,
    /// Number of line ends before the current field.
    field_after: u64,
    /// Largest number of line ends in one field, and the number of line ends before that field.
    longest: (u64, u64),
    /// A field with too many lines has been found in this content.
    is_long_found: bool,
}

impl Quoted {
    pub(super) const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            fields: Vec::new(),
            place: Place::Start,
            lines: 0,
            field_after: 0,
            longest: (0, 0),
            is_long_found: false,
        }
    }

    /// Returns whether nothing has been read.
    pub(super) const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Returns whether the next byte is inside quotes.
    pub(super) fn is_within(&self) -> bool {
        self.place == Place::Within
    }

    /// Resets for another row.
    pub(super) fn clear(&mut self) {
        self.fields.clear();
        self.place = Place::Start;
        (self.lines, self.field_after, self.longest) = (0, 0, (0, 0));
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let is_quote = self.dialect.quote == Some(*byte);
            if self.place == Place::Start {
                self.fields.push(is_quote);
                self.field_after = self.lines;
            }
            if *byte == b'\n' {
                self.lines += 1;
                let lines = self.lines - self.field_after;
                if self.place == Place::Within && lines > self.longest.0 {
                    self.longest = (lines, self.field_after);
                }
            }
            self.place = match self.place {
                Place::Within if is_quote => Place::AfterQuote,
                Place::Within => Place::Within,
                Place::Start | Place::AfterQuote if is_quote => Place::Within,
                _ if *byte == self.dialect.delimiter => Place::Start,
                _ => Place::Plain,
            };
        }
    }

    /// Returns whether the field with this index is quoted.
    pub(super) fn is_quoted(&self, index: usize) -> bool {
        self.fields.get(index) == Some(&true)
    }

    /// Returns the number of line ends before the longest quoted field, if that field has more than `lines` line ends
    /// and is the first such field in the content; otherwise `None`.
    pub(super) fn first_longer_than(&mut self, lines: u64) -> Option<u64> {
        if self.is_long_found || self.longest.0 <= lines {
            return None;
        }
        self.is_long_found = true;
        Some(self.longest.1)
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.fields.capacity()
    }
}
