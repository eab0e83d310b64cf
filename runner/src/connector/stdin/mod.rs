//! Standard input as a source.

mod source;

use self::source::StdinReader;
use super::{
    CsvInput, Delimiter, Delivery, Format, OpenError, Resource, Source, SourceContext,
    SourceSettings,
    format::{
        self,
        csv::settings::{CsvRead, needs_csv},
        framing::Cut,
    },
};
use crate::declare::{Fields, Reader, nested, section};
use futures::future::BoxFuture;

section! {
    /// Standard input as a source.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct StdinSource: "stdin_source" + Default check(is_csv) {
        /// Format.
        pub format: Option<Format> = format::format(), unset("`csv` with the key `csv`, else `lines`");
        /// Names, types and syntax of `csv`.
        pub csv: Option<CsvInput> = nested::<CsvInput>(), unset("the defaults");
    }
}

fn is_csv(stdin: &StdinSource, cx: &mut Reader<'_>, fields: Fields<'_>) {
    needs_csv(cx, fields, stdin.format);
}

impl StdinSource {
    fn cut(&self) -> Cut {
        let by_csv = self.csv.as_ref().map_or(Format::Lines, |_| Format::Csv);
        Cut {
            format: self.format.unwrap_or(by_csv),
            csv: CsvRead::new(self.csv.as_ref(), Delimiter::default()),
        }
    }
}

impl SourceSettings for StdinSource {
    fn format(&self) -> Option<Format> {
        Some(self.cut().format)
    }

    fn delivery(&self, _: bool) -> Delivery {
        Delivery::at_most_once("standard input cannot be read again")
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
