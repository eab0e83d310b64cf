//! The state of a CSV cutter in a checkpoint.

use super::{Column, CsvCutter, Header, Row, Sample};
use crate::connector::format::{
    framing::HeaderError,
    place::{ColumnPlace, CsvPlace, Place},
    postcard::ToPostcard,
};

impl CsvCutter {
    /// Returns the state at the beginning of the current row, and the number of bytes consumed since.
    pub(in crate::connector) fn place(&self) -> (u64, Place) {
        let (held, line) = match (self.mark_bytes, self.row) {
            (Some(mark_bytes), _) => (mark_bytes as u64, 1),
            (None, Row::None) => (0, self.reader.line() + self.blank_lines),
            (None, Row::Taken | Row::Refused) => (self.row_bytes, self.row_line),
        };
        let columns = self.columns.as_ref().or(self.resumed.as_ref());
        let csv = CsvPlace {
            is_begun: self.mark_bytes.is_none(),
            is_inherited: self.inherited,
            is_pending: self.resumed.is_some(),
            columns: columns.map(|columns| columns.iter().map(Column::place).collect()),
            sample: self.sample.place(),
        };
        let place = Place {
            line,
            is_refused: self.row == Row::Refused,
            csv: Some(csv),
        };
        (held, place)
    }

    /// Goes on at the beginning of a row. Call before the first [`cut`](Self::cut).
    pub(in crate::connector) fn resume(
        &mut self,
        place: &Place,
        postcard: Option<&ToPostcard>,
    ) -> Result<(), HeaderError> {
        let Some(csv) = &place.csv else {
            return Ok(());
        };
        self.mark_bytes = (!csv.is_begun).then_some(0);
        self.blank_lines = place.line.saturating_sub(1);
        if place.is_refused {
            self.begins_as = Row::Refused;
        }
        self.inherited = csv.is_inherited;
        if let Some(columns) = &csv.columns {
            let Header(columns) = self.header_of(columns, postcard)?;
            if csv.is_pending {
                self.resumed = Some(columns);
            } else {
                self.ends = vec![0; columns.len() + 1];
                self.columns = Some(columns);
            }
        }
        self.sample = Sample::at(csv.sample);
        Ok(())
    }

    /// Returns columns of a checkpoint.
    pub(in crate::connector) fn header_of(
        &self,
        places: &[ColumnPlace],
        postcard: Option<&ToPostcard>,
    ) -> Result<Header, HeaderError> {
        let names = places.iter().map(|place| place.name.as_bytes());
        let mut columns = Column::all(names, &[], &self.settings, postcard)?;
        for (column, place) in columns.iter_mut().zip(places) {
            column.resume(place);
        }
        Ok(Header(columns))
    }
}

impl Header {
    /// Returns the columns for a checkpoint.
    pub(in crate::connector) fn place(&self) -> Vec<ColumnPlace> {
        self.0.iter().map(Column::place).collect()
    }
}
