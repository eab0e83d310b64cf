//! How the bytes of a datum are read by whoever wants to look into them. No I/O.

use serde::{Deserialize, Serialize};

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

/// The shape of a postcard datum: what a Rust type says by its definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schema {
    /// `bool`.
    Bool,
    /// An unsigned integer of so many bits: 8, 16, 32, 64 or 128.
    Unsigned(u8),
    /// A signed integer of so many bits: 8, 16, 32, 64 or 128.
    Signed(u8),
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `String`.
    String,
    /// A byte string with its length in front.
    Bytes,
    /// `Option<_>`.
    Option(Box<Self>),
    /// `Vec<_>`.
    Sequence(Box<Self>),
    /// A struct: its fields, in the order of its definition.
    Struct(Vec<(String, Self)>),
}
