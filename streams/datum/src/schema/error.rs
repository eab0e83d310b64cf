//! Errors in schemas, and in records that do not match their schema.

/// An invalid schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// Types are nested deeper than [`MAX_SCHEMA_DEPTH`](super::MAX_SCHEMA_DEPTH).
    #[error("types nested more than {} deep", super::MAX_SCHEMA_DEPTH)]
    TooDeep,
    /// An integer has an unsupported width.
    #[error("unsupported integer width: {0} bits")]
    Bits(u8),
    /// The keys of a map have no JSON text.
    #[error("map keys must be booleans, integers, characters, strings or enums without content")]
    Key,
    /// Two fields or two variants have the same name.
    #[error("duplicate name `{0}`")]
    Twice(String),
}

/// Invalid postcard bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end within a value.
    #[error("the record ends too early")]
    Short,
    /// Text is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The byte of a `bool` or `Option` is neither 0 nor 1.
    #[error("the byte {0} is neither 0 nor 1")]
    Flag(u8),
    /// An integer exceeds its type.
    #[error("the number exceeds its type")]
    Number,
    /// The text of a character does not have exactly one.
    #[error("not exactly one character")]
    Char,
    /// The enum has no such variant.
    #[error("no variant number {0}")]
    Variant(u32),
}

/// A record could not be transcoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscodeError {
    /// The bytes are not postcard of this schema.
    #[error("invalid for the schema: {}{reason}", At(path))]
    Postcard {
        /// The position in the record: field names and item numbers, separated by dots; empty for the record itself.
        path: String,
        /// The reason.
        reason: Malformed,
    },
    /// The text is not JSON, or does not match the schema.
    #[error("invalid for the schema: {}{reason}", At(path))]
    Json {
        /// The position in the record: field names and item numbers, separated by dots; empty for the record itself.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The result is longer than the maximum length of a record.
    #[error("the result exceeds {max_bytes} bytes")]
    TooLarge {
        /// The limit in bytes.
        max_bytes: usize,
    },
}

struct At<'a>(&'a str);

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            "" => Ok(()),
            path => write!(f, "`{path}`: "),
        }
    }
}
