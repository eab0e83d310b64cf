//! [`Encoding`]: the encoding of a stream's records. No I/O.

use serde::{Deserialize, Serialize};

use crate::Schema;

/// The encoding of a stream's records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// One JSON value per record.
    #[default]
    Json,
    /// UTF-8 text.
    Text,
    /// Opaque bytes.
    Bytes,
    /// Postcard with this schema.
    Postcard(Schema),
}

impl Encoding {
    /// Returns the name in manifests and for operators: `json`, `text`, `bytes` or `postcard`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Postcard(_) => "postcard",
        }
    }
}
