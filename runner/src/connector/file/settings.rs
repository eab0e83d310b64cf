//! The settings of files as sources and sinks.

use std::{io, path::PathBuf};

use futures::future::BoxFuture;
use mosaik_streams::Encoding;

use super::{FileReader, Follower, append::open_for_append, sample};
use crate::{
    connector::{
        Delimiter, Format, OpenError, Problem, Resource, Sink, SinkSettings, Source, SourceContext,
        SourceSettings,
        format::{self, other_than_text},
    },
    declare::{self, flag, io_reason, near_file, section},
    files,
};

/// Size of the beginning of a source that is inspected for being text: 1 KiB.
const BEGINNING_BYTES: u64 = 1024;

section! {
    /// A file as a source.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FileSource: "file_source" {
        /// File, relative to the manifest.
        pub path: PathBuf = declare::path(), required;
        /// Format.
        pub format: Option<Format> = format::format(), unset("by extension: `csv`, `jsonl`, `ndjson`; else `lines`");
        /// Separator of columns in `csv`.
        pub delimiter: Delimiter = format::delimiter(), default(Delimiter::default());
        /// Wait for more content at the end, like `tail -F`, instead of ending the stream.
        pub follow: bool = flag(), default(false);
    }
}

section! {
    /// A file as a sink: a line is appended for each record.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FileSink: "file_sink" {
        /// File, relative to the manifest. Its folders are created.
        pub path: PathBuf = declare::path(), required;
    }
}

impl FileSource {
    /// Returns the configured format, or by default the one of the file's extension.
    pub fn format_or_by_extension(&self) -> Format {
        self.format
            .unwrap_or_else(|| Format::of_extension(&self.path))
    }
}

impl SourceSettings for FileSource {
    fn probe(&self, encoding: Option<&Encoding>) -> Result<(), Problem> {
        let error = match files::beginning(&self.path, BEGINNING_BYTES) {
            // A stream of bytes accepts any content.
            Ok(_) if encoding == Some(&Encoding::Bytes) => return Ok(()),
            Ok(beginning) => return is_text(&beginning),
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
        Some(self.format_or_by_extension())
    }

    fn resources(&self) -> Vec<Resource> {
        vec![Resource::ReadFile(self.path.clone())]
    }

    fn sample(&self) -> Option<Vec<Vec<u8>>> {
        sample::first_records(&self.path, self.format_or_by_extension())
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
    fn probe(&self) -> Result<(), Problem> {
        // The meaning of these paths depends on the process.
        if self.path.starts_with("/dev") || self.path.starts_with("/proc") {
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
        })
    }

    fn resources(&self) -> Vec<Resource> {
        vec![Resource::WrittenFile(self.path.clone())]
    }

    fn open<'a>(&'a self, put_in: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Sink>, OpenError>> {
        Box::pin(async move {
            let writer = open_for_append(self, put_in).await?;
            Ok(Box::new(writer) as Box<dyn Sink>)
        })
    }
}
