//! The formats: how bytes become records. No I/O. The transports that deliver the bytes are the connectors.

pub(super) mod csv;
pub(super) mod framing;
pub(super) mod intake;
mod json;
mod lines;
mod magic;
pub(super) mod place;
pub(super) mod postcard;
mod settings;
mod whole;

pub use self::{
    csv::{
        MAX_COLUMNS,
        encoder::{CsvEncoder, NoRow, RowError},
        settings::{ColumnType, CsvInput, CsvOutput, CsvSyntax, InputHeader, OutputHeader, Quote},
    },
    framing::HeaderError,
    settings::{Delimiter, Format},
    whole::{DataFileError, DataFormat, to_json},
};
pub(crate) use self::{magic::other_than_text, postcard::through_options, settings::format};
