//! Generated records as a source, for demonstrations and measurements.

mod source;

use futures::future::BoxFuture;
use mosaik_streams::Encoding;

use self::source::Generator;
use super::{ConfigError, Delivery, Format, OpenError, Source, SourceContext, SourceSettings};
use crate::declare::{self, number, section};

/// Largest size of a generated record: 1 MiB.
const MAX_SIZE_BYTES: u32 = 1024 * 1024;

section! {
    /// Generated JSON objects: `{"seq": 0, "time": 1767225600000, "value": 0.318}`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Generate: "generate_source" + Default {
        /// Records per second.
        pub rate: Option<f64> = number(), unset("as fast as readers accept them");
        /// Total number of records.
        pub count: Option<u64> = declare::count(0, u64::MAX), unset("no end");
        /// Bytes per record, filled up by a field `pad`. At most 1 MiB.
        pub size: Option<u32> = declare::count(0, u64::from(u32::MAX)), unset("no `pad`");
    }
}

impl Generate {
    /// Returns an example of a generated record.
    fn example(&self) -> &'static str {
        // Shorter records have no room for the field `pad`.
        if self.size.is_some_and(|size| size > 60) {
            r#"{"seq":0,"time":1767225600000,"value":0.535,"pad":"x"}"#
        } else {
            r#"{"seq":0,"time":1767225600000,"value":0.535}"#
        }
    }
}

impl SourceSettings for Generate {
    fn check(&self, _: &Encoding) -> Result<(), ConfigError> {
        let is_rate = |rate: &f64| rate.is_finite() && *rate > 0.0;
        if let Some(rate) = self.rate.filter(|rate| !is_rate(rate)) {
            return Err(ConfigError::Rate { rate });
        }
        if let Some(size_bytes) = self.size.filter(|size| *size > MAX_SIZE_BYTES) {
            return Err(ConfigError::Size {
                size_bytes,
                max_bytes: MAX_SIZE_BYTES,
            });
        }
        Ok(())
    }

    fn format(&self) -> Option<Format> {
        None
    }

    fn delivery(&self, has_checkpoints: bool) -> Delivery {
        if has_checkpoints {
            return Delivery::EXACTLY_ONCE;
        }
        Delivery::at_least_once("without `checkpoint`, the next start generates all records again")
    }

    fn sample(&self) -> Option<Vec<Vec<u8>>> {
        Some(vec![self.example().into()])
    }

    fn open(&self, context: SourceContext) -> BoxFuture<'_, Result<Box<dyn Source>, OpenError>> {
        Box::pin(async move {
            let generator = Generator::new(self, &context)?;
            Ok(Box::new(generator) as Box<dyn Source>)
        })
    }
}
