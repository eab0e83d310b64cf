//! The columns in a checkpoint.

use super::{Column, ColumnKind, TEXT};
use crate::connector::format::place::{ColumnPlace, KindPlace};

impl Column {
    /// Returns the column for a checkpoint.
    pub(in crate::connector::format::csv) fn place(&self) -> ColumnPlace {
        let kind = match self.kind {
            _ if self.is_set => None,
            ColumnKind::Open => Some(KindPlace::Open),
            ColumnKind::Number => Some(KindPlace::Number),
            kind if kind == TEXT => Some(KindPlace::Text),
            _ => None,
        };
        ColumnPlace {
            name: String::from_utf8_lossy(&self.name).into_owned(),
            kind,
            is_final: !self.is_sampled,
            numbers: self.numbers,
            is_reported: self.is_reported,
        }
    }

    /// Goes on with the kind that the column had. A kind that is set takes precedence.
    pub(in crate::connector::format::csv) fn resume(&mut self, place: &ColumnPlace) {
        if self.is_set {
            return;
        }
        if let Some(kind) = place.kind {
            self.kind = match kind {
                KindPlace::Open => ColumnKind::Open,
                KindPlace::Number => ColumnKind::Number,
                KindPlace::Text => TEXT,
            };
            self.is_sampled = self.is_sampled && !place.is_final;
        }
        self.numbers = place.numbers;
        self.is_reported = place.is_reported;
    }
}
