//! The columns of a content: from its first row, from the settings, or from earlier content. No I/O.

use std::collections::HashSet;

use super::{Column, CsvCutter, InputHeader, Sample, settings::numbered, values};
use crate::connector::format::{
    framing::{HeaderError, Target},
    json,
};

/// Common separators. A header of one column that contains another of these causes a warning.
const SEPARATORS: [u8; 4] = *b",;\t|";

impl CsvCutter {
    /// Sets the columns before the first row, if they are known.
    pub(super) fn begin_content(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        let resumed = self.resumed.take();
        let known = resumed.as_deref().unwrap_or_default();
        let names: Vec<Vec<u8>> = match &self.settings.header {
            InputHeader::Names(names) => {
                names.iter().map(|name| name.clone().into_bytes()).collect()
            }
            _ if resumed.is_none() => return Ok(()),
            _ => known.iter().map(|column| column.name().to_vec()).collect(),
        };
        self.set_columns(names, known, target)
    }

    /// Returns whether the current row is a header, and uses it as such.
    pub(super) fn is_header(&mut self, target: &mut Target<'_>) -> Result<bool, HeaderError> {
        let is_header = if std::mem::take(&mut self.inherited) {
            self.names_columns()
        } else {
            self.columns.is_none() && self.settings.header == InputHeader::FirstLine
        };
        if is_header {
            self.begin_columns(target)?;
        } else if self.columns.is_none() {
            let names = numbered(self.ends_len).map(String::into_bytes);
            self.set_columns(names.collect(), &[], target)?;
        }
        Ok(is_header)
    }

    /// Uses the current row as the header.
    fn begin_columns(&mut self, target: &mut Target<'_>) -> Result<(), HeaderError> {
        let known = self.columns.take().unwrap_or_default();
        let names = values(&self.content, &self.ends[..self.ends_len]);
        let names = names.map(<[u8]>::to_vec).collect();
        self.set_columns(names, &known, target)?;
        let delimiter = self.settings.dialect.delimiter;
        if let Some([only]) = self.columns.as_deref()
            && let Some(other) = only.name().iter().find(|byte| SEPARATORS.contains(byte))
            && *other != delimiter
        {
            let other = match other {
                b'\t' => "tab".to_owned(),
                other => char::from(*other).to_string(),
            };
            target.tally.note(format!(
                "the header has one column, {:?}: `csv: {{delimiter: \"{other}\"}}` splits it at each {other}",
                String::from_utf8_lossy(only.name())
            ));
        }
        Ok(())
    }

    /// Sets the columns. Those that `known` contains keep their kind.
    fn set_columns(
        &mut self,
        names: Vec<Vec<u8>>,
        known: &[Column],
        target: &mut Target<'_>,
    ) -> Result<(), HeaderError> {
        let postcard = target.postcard.as_deref();
        let names = names.iter().map(Vec::as_slice);
        let columns = Column::all(names, known, &self.settings, postcard)?;
        if postcard.is_some() {
            self.sample = Sample::none();
        } else {
            self.sample.cover(&columns);
        }
        for (name, _) in &self.settings.types {
            if !columns
                .iter()
                .any(|column| column.name() == name.as_bytes())
            {
                target.tally.note(format!(
                    "`types` names the column {name:?}, which the content does not have"
                ));
            }
        }
        // Keeps the ends of the current row, which may be the first one.
        self.ends.resize(columns.len() + 1, 0);
        self.ends.shrink_to_fit();
        self.columns = Some(columns);
        Ok(())
    }

    /// Returns whether the first row of content that follows earlier content is a header. With the same number of
    /// fields, it is one if at least half of the column names are in the same position, or if it contains every column
    /// name in any order. With another number of fields, it is one if every field is non-empty and not a number. A row
    /// with duplicate or non-UTF-8 fields is never a header.
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
}
