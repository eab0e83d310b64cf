//! Connectors: sources and sinks, the external ends of the graph. A connector is a folder, and a line in `registry`.
//!
//! A connector declares its settings with [`section!`](crate::declare) and implements [`SourceSettings`] or
//! [`SinkSettings`] for them: checks, delivery class, resources outside of the process, and opening. An open [`Source`]
//! produces batches of records and an open [`Sink`] writes them; a record is one datum of a stream. Neither depends on streams,
//! stages or the network. The formats, which make records of bytes, are apart from the connectors in `format`.

mod configured;
mod delivery;
mod error;
mod file;
mod format;
mod generate;
mod line_writer;
mod position;
mod registry;
mod resource;
mod sink;
mod source;
mod stdin;
mod stdout;

use std::path::Path;

pub use self::{
    configured::{Compare, Configured},
    delivery::{Delivery, DeliveryClass},
    error::{ConfigError, OpenError, SinkError, SinkErrorKind, SourceError, Unwritten},
    file::{FileSink, FileSource},
    format::{
        ColumnType, CsvEncoder, CsvInput, CsvOutput, CsvSyntax, DataFileError, DataFormat,
        Delimiter, Format, HeaderError, InputHeader, MAX_COLUMNS, NoRow, OutputHeader, Quote,
        RowError, to_json,
    },
    generate::Generate,
    position::{Position, ResumeError},
    resource::{Problem, Resource},
    sink::{GIVE_UP_TIME, Sink, SinkConfig, SinkContext, SinkCounts, SinkSettings, open_sink},
    source::{
        DEFAULT_BATCH_BYTES, DEFAULT_MAX_DATUM_BYTES, Source, SourceConfig, SourceContext,
        SourceCounts, SourceSettings, check_source, open_source,
    },
    stdin::StdinSource,
    stdout::Stdout,
};
pub(crate) use self::{
    file::reopen_all,
    format::through_options,
    registry::{any_sink, any_source},
};
use crate::secrets::{mask, secrets};

/// Returns the name of a file for messages: its path, with the texts that came from the environment or a file masked.
///
/// Every message of a connector names its file this way.
fn shown(path: &Path, put_in: &[String]) -> String {
    mask(path.display().to_string(), &secrets(put_in))
}
