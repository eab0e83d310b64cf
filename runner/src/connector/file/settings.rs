//! The settings of files as sources and sinks.

use std::{io, path::PathBuf};

use futures::future::BoxFuture;
use mosaik_streams::Encoding;

use super::{FileReader, Follower, append::open_for_append, columns, sample};
use crate::{
    connector::{
        CsvInput, CsvOutput, Delimiter, Delivery, Format, OpenError, Problem, Resource, Sink,
        SinkContext, SinkSettings, Source, SourceContext, SourceSettings,
        format::{
            self,
            csv::settings::{CsvRead, Dialect, needs_csv},
            framing::Cut,
            other_than_text,
        },
    },
    declare::{self, Fields, Reader, flag, io_reason, near_file, nested, section},
    files,
};

/// Size of the beginning of a source that is inspected for being text: 1 KiB.
const BEGINNING_BYTES: u64 = 1024;

section! {
    /// A file as a source.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FileSource: "file_source" check(source_is_csv) {
        /// File, relative to the manifest.
        pub path: PathBuf = declare::path(), required;
        /// Format.
        pub format: Option<Format> = format::format(),
            unset("`csv` with the key `csv`; by extension: `csv`, `tsv`, `jsonl`, `ndjson`; else `lines`");
        /// Names, types and syntax of `csv`.
        pub csv: Option<CsvInput> = nested::<CsvInput>(), unset("the defaults");
        /// Wait for more content at the end, like `tail -F`, instead of ending the stream.
        pub follow: bool = flag(), default(false);
    }
}

section! {
    /// A file as a sink: a line is appended for each record.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FileSink: "file_sink" check(sink_is_csv) {
        /// File, relative to the manifest. Its folders are created.
        pub path: PathBuf = declare::path(), required;
        /// Format: `csv` makes a row of each record, the others append it as it is.
        pub format: Option<Format> = format::format(),
            unset("`csv` with the key `csv`, or for the extensions `csv` and `tsv` on a stream of JSON; else `lines`");
        /// Columns and syntax of `csv`.
        pub csv: Option<CsvOutput> = nested::<CsvOutput>(), unset("the defaults");
    }
}

fn source_is_csv(file: &FileSource, cx: &mut Reader<'_>, fields: Fields<'_>) {
    needs_csv(cx, fields, file.format);
}

fn sink_is_csv(file: &FileSink, cx: &mut Reader<'_>, fields: Fields<'_>) {
    needs_csv(cx, fields, file.format);
}

impl FileSource {
    /// Creates the settings of a file that is read once, with the defaults.
    pub const fn of(path: PathBuf) -> Self {
        Self {
            path,
            format: None,
            csv: None,
            follow: false,
        }
    }

    /// Returns the format and its settings, by default those of the file's extension.
    pub(in crate::connector) fn cut(&self) -> Cut {
        let by_csv = self.csv.as_ref().map(|_| Format::Csv);
        let format = self.format.or(by_csv);
        Cut {
            format: format.unwrap_or_else(|| Format::of_extension(&self.path)),
            csv: CsvRead::new(self.csv.as_ref(), Delimiter::of_extension(&self.path)),
        }
    }
}

impl FileSink {
    /// Creates the settings of a file with the defaults.
    pub const fn of(path: PathBuf) -> Self {
        Self {
            path,
            format: None,
            csv: None,
        }
    }

    /// Returns whether the path is that of a device or of an open file of the process.
    fn is_device(&self) -> bool {
        self.path.starts_with("/dev") || self.path.starts_with("/proc")
    }

    /// Returns the settings of `csv`, if rows are written to a stream that is JSON or not.
    pub(super) fn csv(&self, is_json: bool) -> Option<(Dialect, CsvOutput)> {
        let by_extension = || is_json.then(|| Format::of_extension(&self.path));
        if self.format().or_else(by_extension) != Some(Format::Csv) {
            return None;
        }
        let csv = self.csv.clone().unwrap_or_default();
        let dialect = csv.syntax.dialect(Delimiter::of_extension(&self.path));
        Some((dialect, csv))
    }
}

impl SourceSettings for FileSource {
    fn probe(&self, encoding: Option<&Encoding>) -> Result<(), Problem> {
        let error = match files::beginning(&self.path, BEGINNING_BYTES) {
            // A stream of bytes accepts any content.
            Ok(_) if encoding == Some(&Encoding::Bytes) => return Ok(()),
            Ok(beginning) => {
                is_text(&beginning)?;
                return columns::has_types(&self.path, &self.cut());
            }
            Err(error) => error,
        };
        let reason = io_reason(&error);
        let problem = |label: &str| {
            Problem::new(
                "path",
                format!("the source cannot be read: {reason}"),
                label,
            )
        };
        Err(match error.kind() {
            // A followed file may be created later.
            io::ErrorKind::NotFound if self.follow => return Ok(()),
            io::ErrorKind::IsADirectory => problem("expected a file"),
            // Opening it would fail.
            _ if files::is_not_regular(&error) => problem("expected a file").help(
                "read it from stdin: `from: {stdin: {format: …}}`, and `mosaik-runner up MANIFEST < PIPE`",
            ),
            io::ErrorKind::NotFound => Problem {
                help: near_file(&self.path),
                shows_settings: true,
                ..problem(&reason)
            },
            _ => problem(&reason),
        })
    }

    fn format(&self) -> Option<Format> {
        Some(self.cut().format)
    }

    fn delivery(&self, has_checkpoints: bool) -> Delivery {
        match (has_checkpoints, self.follow) {
            (true, _) => Delivery::EXACTLY_ONCE,
            (false, false) => Delivery::at_least_once(
                "without `checkpoint`, the next start reads the file from its beginning",
            ),
            (false, true) => Delivery::at_most_once(
                "without `checkpoint`, lines that are rotated away before the next start are lost",
            )
            .because_of("follow"),
        }
    }

    fn resources(&self) -> Vec<Resource> {
        vec![Resource::ReadFile(self.path.clone())]
    }

    fn sample(&self) -> Option<Vec<Vec<u8>>> {
        sample::first_records(&self.path, &self.cut())
    }

    fn is_endless(&self) -> bool {
        self.follow
    }

    fn open(&self, context: SourceContext) -> BoxFuture<'_, Result<Box<dyn Source>, OpenError>> {
        Box::pin(async move {
            Ok(if self.follow {
                Box::new(Follower::open(self, &context).await?) as Box<dyn Source>
            } else {
                Box::new(FileReader::open(self, &context).await?)
            })
        })
    }
}

fn is_text(beginning: &[u8]) -> Result<(), Problem> {
    let Some(what) = other_than_text(beginning) else {
        return Ok(());
    };
    let (what, help) = match what.split_once("; ") {
        Some((what, help)) => (what, Some(help.to_owned())),
        None => (what.as_str(), None),
    };
    let message = format!("the source is not text: it is {what}");
    Err(Problem {
        help,
        ..Problem::new("path", message, "expected text")
    })
}

impl SinkSettings for FileSink {
    fn format(&self) -> Option<Format> {
        self.format.or(self.csv.as_ref().map(|_| Format::Csv))
    }

    fn probe(&self) -> Result<(), Problem> {
        // The meaning of these paths depends on the process.
        if self.is_device() {
            return Ok(());
        }
        files::check_appendable(&self.path).map_err(|error| {
            let reason = io_reason(&error);
            let is_no_file =
                files::is_not_regular(&error) || error.kind() == io::ErrorKind::IsADirectory;
            let label = if is_no_file {
                "expected a file"
            } else {
                &reason
            };
            Problem::new(
                "path",
                format!("the file cannot be written: {reason}"),
                label,
            )
        })?;
        match self.csv(false) {
            Some((dialect, csv)) => columns::has_header(&self.path, dialect, &csv.header),
            None => Ok(()),
        }
    }

    fn delivery(&self, has_checkpoints: bool) -> Delivery {
        match (has_checkpoints, self.is_device()) {
            (true, false) => Delivery::EXACTLY_ONCE,
            (true, true) => {
                Delivery::at_least_once("records written to a device cannot be taken back")
                    .because_of("path")
            }
            (false, _) => Delivery::at_least_once(
                "without `checkpoint`, the next start appends its output to that of the last one",
            ),
        }
    }

    fn resources(&self) -> Vec<Resource> {
        vec![Resource::WrittenFile(self.path.clone())]
    }

    fn open(&self, context: SinkContext) -> BoxFuture<'_, Result<Box<dyn Sink>, OpenError>> {
        Box::pin(async move {
            let writer = open_for_append(self, &context).await?;
            Ok(Box::new(writer) as Box<dyn Sink>)
        })
    }
}
