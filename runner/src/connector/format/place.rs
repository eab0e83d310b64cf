//! [`Place`]: the state of a cutter between two records, as it is kept in a checkpoint. Plain data.

use serde::{Deserialize, Serialize};

/// The state of a cutter at the beginning of a line or row, from which the cutter of another process goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connector) struct Place {
    /// Number of the line, from 1.
    pub(in crate::connector) line: u64,
    /// The line or row is too long or has too many fields, and was counted.
    #[serde(
        rename = "refused",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub(in crate::connector) is_refused: bool,
    /// For `csv` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connector) csv: Option<CsvPlace>,
}

/// The state of a CSV cutter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connector) struct CsvPlace {
    /// The content has begun: a byte order mark is an ordinary character.
    #[serde(rename = "begun")]
    pub(in crate::connector) is_begun: bool,
    /// The columns come from earlier content, and the first row may be a header that replaces them.
    #[serde(
        rename = "inherited",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub(in crate::connector) is_inherited: bool,
    /// The columns apply from the next row on.
    #[serde(
        rename = "pending",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub(in crate::connector) is_pending: bool,
    /// `None` before the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connector) columns: Option<Vec<ColumnPlace>>,
    pub(in crate::connector) sample: SamplePlace,
}

/// A column of a CSV content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connector) struct ColumnPlace {
    pub(in crate::connector) name: String,
    /// `None` if it is set by the settings or by the schema of the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::connector) kind: Option<KindPlace>,
    /// The sample no longer changes its kind.
    #[serde(rename = "final")]
    pub(in crate::connector) is_final: bool,
    /// Number of values written as numbers before the first text.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(in crate::connector) numbers: u64,
    /// The mix of numbers and text has been logged.
    #[serde(
        rename = "reported",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub(in crate::connector) is_reported: bool,
}

/// The kind of a column that is determined by its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::connector) enum KindPlace {
    Open,
    Number,
    Text,
}

/// Remaining size of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::connector) struct SamplePlace {
    pub(in crate::connector) rows: usize,
    pub(in crate::connector) bytes: usize,
    /// Number of the next rows that were inspected already.
    pub(in crate::connector) ahead: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
