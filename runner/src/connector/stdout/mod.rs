//! Standard output as a sink.

use super::{OpenError, Sink, SinkSettings, line_writer::LineWriter};
use crate::declare::section;
use futures::future::BoxFuture;

section! {
    /// Standard output as a sink: a line is printed for each record.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Stdout: "stdout_sink" + Default {}
}

impl SinkSettings for Stdout {
    fn reader(&self) -> Option<&'static str> {
        Some("stdout")
    }

    fn open<'a>(&'a self, _: &'a [String]) -> BoxFuture<'a, Result<Box<dyn Sink>, OpenError>> {
        Box::pin(async {
            let writer = LineWriter::start("stdout", std::io::stdout())?;
            Ok(Box::new(writer) as Box<dyn Sink>)
        })
    }
}
