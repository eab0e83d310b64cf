//! Standard output as a sink.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd as _,
};

use futures::future::BoxFuture;

use super::{
    CsvEncoder, CsvOutput, Delimiter, Delivery, Format, OpenError, Sink, SinkContext, SinkSettings,
    format::{
        self,
        csv::{encoder::Heading, settings::needs_csv},
    },
    line_writer::LineWriter,
};
use crate::declare::{Fields, Reader, nested, section};

section! {
    /// Standard output as a sink: a line is printed for each record.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Stdout: "stdout_sink" + Default check(is_csv) {
        /// Format: `csv` makes a row of each record, the others print it as it is.
        pub format: Option<Format> = format::format(), unset("`csv` with the key `csv`, else `lines`");
        /// Columns and syntax of `csv`.
        pub csv: Option<CsvOutput> = nested::<CsvOutput>(), unset("the defaults");
    }
}

fn is_csv(stdout: &Stdout, cx: &mut Reader<'_>, fields: Fields<'_>) {
    needs_csv(cx, fields, stdout.format);
}

impl SinkSettings for Stdout {
    fn format(&self) -> Option<Format> {
        self.format.or(self.csv.as_ref().map(|_| Format::Csv))
    }

    fn delivery(&self, _: bool) -> Delivery {
        Delivery::at_least_once("printed records cannot be taken back and may be printed again")
    }

    fn reader(&self) -> Option<&'static str> {
        Some("stdout")
    }

    fn open(&self, _: SinkContext) -> BoxFuture<'_, Result<Box<dyn Sink>, OpenError>> {
        Box::pin(async {
            let is_csv = self.format() == Some(Format::Csv);
            let encoder = is_csv.then(|| {
                let csv = self.csv.clone().unwrap_or_default();
                let dialect = csv.syntax.dialect(Delimiter::default());
                CsvEncoder::new(dialect, &csv.header)
            });
            let out = Headed {
                out: unbuffered()?,
                heading: encoder.as_ref().and_then(CsvEncoder::heading),
            };
            let writer = LineWriter::start("stdout", out)?.with_encoder(encoder);
            Ok(Box::new(writer) as Box<dyn Sink>)
        })
    }
}

/// Returns standard output without the buffer of [`io::stdout`], so that the number of bytes written is known.
fn unbuffered() -> Result<File, OpenError> {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    stdout.map(File::from).map_err(|source| OpenError::File {
        path: "stdout".into(),
        source,
    })
}

/// An output that begins with a line of names.
struct Headed<W> {
    out: W,
    /// `None` once written.
    heading: Option<Heading>,
}

impl<W: Write> Write for Headed<W> {
    fn write(&mut self, rows: &[u8]) -> io::Result<usize> {
        if let Some(line) = self.heading.as_ref().and_then(|heading| heading.get()) {
            self.out.write_all(line)?;
            self.heading = None;
        }
        self.out.write(rows)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
