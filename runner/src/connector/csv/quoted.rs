//! [`Quoted`]: which fields of a row are quoted, which `csv-core` does not tell. No I/O.

use crate::manifest::connector::Delimiter;

/// Reads a row beside the reader, in pieces of any size.
#[derive(Debug)]
pub(super) struct Quoted {
    delimiter: u8,
    /// Of each field so far whether it is quoted.
    fields: Vec<bool>,
    /// The next byte begins a field.
    is_between: bool,
    /// The next byte is within quotes.
    is_within: bool,
    /// Line ends so far.
    lines: u64,
    /// Line ends in front of the current field.
    field_after: u64,
    /// The most line ends that one field has, and those in front of it.
    longest: (u64, u64),
    /// Of this content, a field with too many lines was found.
    is_long_found: bool,
}

impl Quoted {
    pub(super) const fn new(delimiter: Delimiter) -> Self {
        Self {
            delimiter: delimiter.byte(),
            fields: Vec::new(),
            is_between: true,
            is_within: false,
            lines: 0,
            field_after: 0,
            longest: (0, 0),
            is_long_found: false,
        }
    }

    /// Whether anything was read.
    pub(super) const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Starts with another row.
    pub(super) fn clear(&mut self) {
        self.fields.clear();
        (self.is_between, self.is_within) = (true, false);
        (self.lines, self.field_after, self.longest) = (0, 0, (0, 0));
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if std::mem::take(&mut self.is_between) {
                self.fields.push(*byte == b'"');
                self.field_after = self.lines;
            }
            let is_quoted = self.fields.last() == Some(&true);
            if *byte == b'\n' {
                self.lines += 1;
                let lines = self.lines - self.field_after;
                if is_quoted && lines > self.longest.0 {
                    self.longest = (lines, self.field_after);
                }
            }
            self.is_within ^= is_quoted && *byte == b'"';
            self.is_between = *byte == self.delimiter && !self.is_within;
        }
    }

    /// Whether the field of this index is quoted.
    pub(super) fn is_quoted(&self, index: usize) -> bool {
        self.fields.get(index) == Some(&true)
    }

    /// How many lines of the row end in front of the quoted field that has the most, if it has more than `lines` and is the
    /// first of the content that has.
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
