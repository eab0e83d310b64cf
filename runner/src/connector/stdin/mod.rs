//! Standard input as a source.

mod source;

use self::source::StdinReader;
use super::{
    Delimiter, Format, OpenError, Resource, Source, SourceContext, SourceSettings, format,
};
use crate::declare::section;
use futures::future::BoxFuture;

section! {
    /// Standard input as a source.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct StdinSource: "stdin_source" + Default {
        /// Format.
        pub format: Format = format::format(), default(Format::Lines);
        /// Separator of columns in `csv`.
        pub delimiter: Delimiter = format::delimiter(), default(Delimiter::default());
    }
}

impl SourceSettings for StdinSource {
    fn format(&self) -> Option<Format> {
        Some(self.format)
    }

    fn resources(&self) -> Vec<Resource> {
        vec![Resource::Stdin]
    }

    fn open(&self, context: SourceContext) -> BoxFuture<'_, Result<Box<dyn Source>, OpenError>> {
        Box::pin(async move {
            let reader = StdinReader::open(self, &context)?;
            Ok(Box::new(reader) as Box<dyn Source>)
        })
    }
}
