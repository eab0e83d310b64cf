//! [`Quoted`]: which fields of a row are quoted, which `csv-core` does not tell. No I/O.

use crate::manifest::connector::Delimiter;

/// Where in a row the next byte stands, as the reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It begins a field.
    Start,
    /// It is outside quotes, where a quote is a character like any other.
    Plain,
    /// It is within quotes.
    Within,
    /// It follows a quote that was within quotes: another one is a character, anything else is outside.
    AfterQuote,
}

/// Reads a row beside the reader, in pieces of any size.
#[derive(Debug)]
pub(super) struct Quoted {
    delimiter: u8,
    /// Of each field so far whether it is quoted.
    fields: Vec<bool>,
    place: Place,
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
            place: Place::Start,
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

    /// Whether the next byte is within quotes.
    pub(super) fn is_within(&self) -> bool {
        self.place == Place::Within
    }

    /// Starts with another row.
    pub(super) fn clear(&mut self) {
        self.fields.clear();
        self.place = Place::Start;
        (self.lines, self.field_after, self.longest) = (0, 0, (0, 0));
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let is_quote = *byte == b'"';
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
                _ if *byte == self.delimiter => Place::Start,
                _ => Place::Plain,
            };
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
