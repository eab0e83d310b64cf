//! How the bytes of a datum are read by whoever wants to look into them. No I/O.

use serde::{Deserialize, Serialize};

use crate::Schema;

/// What the bytes of a stream's datums are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// One JSON value a datum.
    #[default]
    Json,
    /// UTF-8 text without a frame of its own.
    Text,
    /// Bytes that nobody looks into.
    Bytes,
    /// Postcard, read by this schema.
    Postcard(Schema),
}

impl Encoding {
    /// The word for it in a manifest and towards an operator: `json`, `text`, `bytes` or `postcard`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Postcard(_) => "postcard",
        }
    }
}
