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
}

impl Quoted {
    pub(super) const fn new(delimiter: Delimiter) -> Self {
        Self {
            delimiter: delimiter.byte(),
            fields: Vec::new(),
            is_between: true,
            is_within: false,
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
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if std::mem::take(&mut self.is_between) {
                self.fields.push(*byte == b'"');
            }
            let is_quoted = self.fields.last() == Some(&true);
            self.is_within ^= is_quoted && *byte == b'"';
            self.is_between = *byte == self.delimiter && !self.is_within;
        }
    }

    /// Whether the field of this index is quoted.
    pub(super) fn is_quoted(&self, index: usize) -> bool {
        self.fields.get(index) == Some(&true)
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.fields.capacity()
    }
}
