//! [`Mistakes`]: all mistakes in a configuration, each with its place.

use std::fmt::{Display, Write as _};

use crate::{Error, Result};

/// The maximum number of reported mistakes. A table may have as many as rows.
const MISTAKES_MAX: usize = 16;

/// The mistakes in a configuration.
#[derive(Debug)]
pub struct Mistakes {
    /// The place that is being read: `config.routes[0].to`.
    place: String,
    found: Vec<String>,
}

impl Mistakes {
    pub(super) fn new() -> Self {
        Self {
            place: "config".to_owned(),
            found: Vec::new(),
        }
    }

    /// Reports a mistake at the current place.
    #[cold]
    #[inline(never)]
    pub fn add(&mut self, reason: impl Display) {
        self.report(format!("{}: {reason}", self.place));
    }

    /// Reports a mistake of a key of the mapping that is being read.
    #[cold]
    #[inline(never)]
    pub fn add_at(&mut self, key: &str, reason: impl Display) {
        self.report(format!("{}.{key}: {reason}", self.place));
    }

    /// Reports that a value is not what was expected.
    #[cold]
    #[inline(never)]
    pub fn expected(&mut self, expected: &str, text: &str) {
        let found = match text.trim_start().as_bytes().first() {
            Some(b'"') => "a text",
            Some(b'{') => "a mapping",
            Some(b'[') => "a list",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') | None => "nothing",
            Some(_) => "a number",
        };
        self.add(format_args!("must be {expected}, found {found}"));
    }

    #[cold]
    #[inline(never)]
    fn report(&mut self, mistake: String) {
        // A value that stands for several keys is read for each.
        if self.found.len() < MISTAKES_MAX && !self.found.contains(&mistake) {
            self.found.push(mistake);
        }
    }

    /// Calls `read` with the place of a key.
    pub fn at_key<R>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        let len = self.enter_key(key);
        let read = read(self);
        self.place.truncate(len);
        read
    }

    /// Adds a key to the place, and returns the length of the place before.
    #[inline(never)]
    fn enter_key(&mut self, key: &str) -> usize {
        let len = self.place.len();
        self.place.push('.');
        self.place.push_str(key);
        len
    }

    /// Calls `read` with the place of an item of a list.
    pub fn at_item<R>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> R) -> R {
        let len = self.enter_item(index);
        let read = read(self);
        self.place.truncate(len);
        read
    }

    #[inline(never)]
    fn enter_item(&mut self, index: usize) -> usize {
        let len = self.place.len();
        // Writing to a string cannot fail.
        let _ = write!(self.place, "[{index}]");
        len
    }

    /// Reports a mistake with its own place below the current one.
    pub(super) fn add_below(&mut self, path: &str, reason: &str) {
        self.report(format!("{}{path}: {reason}", self.place));
    }

    /// Returns the value if there are no mistakes.
    pub(super) fn result<T>(self, value: Option<T>) -> Result<T> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(Error::new(self.found.join("\n"))),
        }
    }
}
