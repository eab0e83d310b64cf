//! What is wrong with a schema, or with a datum that should be of one.

/// A schema that no type has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// More types around each other than [`MAX_SCHEMA_DEPTH`](super::MAX_SCHEMA_DEPTH).
    #[error("more than {} types within each other", super::MAX_SCHEMA_DEPTH)]
    TooDeep,
    /// An integer of a width that there is not.
    #[error("there are no integers of {0} bits")]
    Bits(u8),
    /// A map whose keys cannot be had in JSON.
    #[error(
        "the keys of a map are booleans, integers, characters, strings or enums that hold nothing"
    )]
    Key,
    /// Two fields or two variants of one name.
    #[error("`{0}` is there twice")]
    Twice(String),
}

/// What is wrong with bytes that should be postcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end within a value.
    #[error("the datum ends before it")]
    Short,
    /// Text that is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A byte other than 0 and 1 where a `bool` or an `Option` says which it is.
    #[error("the byte {0} is neither 0 nor 1")]
    Flag(u8),
    /// An integer beyond its type.
    #[error("the number is too large for its type")]
    Number,
    /// Text of no or several characters.
    #[error("it is not one character")]
    Char,
    /// A variant that the enum does not have.
    #[error("there is no variant number {0}")]
    Variant(u32),
}

/// A datum that could not be transcoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscodeError {
    /// The bytes are not postcard of this schema.
    #[error("not what the schema says: {}{reason}", At(path))]
    Postcard {
        /// Where in the datum: field names and numbers of items, with dots between; empty for the datum itself.
        path: String,
        /// What is wrong there.
        reason: Malformed,
    },
    /// The text is not JSON, or not of this schema.
    #[error("not what the schema says: {}{reason}", At(path))]
    Json {
        /// Where in the datum: field names and numbers of items, with dots between; empty for the datum itself.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// What would come out is longer than a datum may be.
    #[error("it would be longer than {max_bytes} bytes")]
    TooLarge {
        /// The limit.
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
