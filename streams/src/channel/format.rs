//! [`Format`]: the record format that the two ends of a subscription declare to each other. No I/O.

use std::fmt;

use crate::{Digest, Encoding};

/// The encoding of a stream's records and, for postcard, the digest of their schema.
///
/// Ends that declare different formats do not exchange records. Displayed as `json`, or `postcard, schema 5d41…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Json,
    Text,
    Bytes,
    Postcard(Digest),
}

impl Format {
    /// Encodes the extension field: a kind and, for postcard, the digest of the schema.
    pub(crate) fn to_wire(self) -> Vec<u8> {
        match self.0 {
            Kind::Json => vec![0],
            Kind::Text => vec![1],
            Kind::Bytes => vec![2],
            Kind::Postcard(schema) => [&[3], schema.as_bytes().as_slice()].concat(),
        }
    }

    /// Returns `None` for a kind unknown to this version, which counts as undeclared.
    pub(crate) fn from_wire(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let kind = match (kind, rest) {
            (0, []) => Kind::Json,
            (1, []) => Kind::Text,
            (2, []) => Kind::Bytes,
            (3, digest) => Kind::Postcard(Digest::from_bytes(digest.try_into().ok()?)),
            _ => return None,
        };
        Some(Self(kind))
    }

    /// Returns true if two ends may exchange records. An end that declares nothing matches any format.
    pub(crate) fn agree(ours: Option<Self>, theirs: Option<Self>) -> bool {
        ours.zip(theirs).is_none_or(|(ours, theirs)| ours == theirs)
    }
}

impl From<&Encoding> for Format {
    fn from(encoding: &Encoding) -> Self {
        Self(match encoding {
            Encoding::Json => Kind::Json,
            Encoding::Text => Kind::Text,
            Encoding::Bytes => Kind::Bytes,
            Encoding::Postcard(schema) => {
                let bytes = postcard::to_stdvec(schema).expect("postcard knows what a schema has");
                Kind::Postcard(Digest::from_bytes(*blake3::hash(&bytes).as_bytes()))
            }
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Json => f.write_str("json"),
            Kind::Text => f.write_str("text"),
            Kind::Bytes => f.write_str("bytes"),
            Kind::Postcard(schema) => {
                f.write_str("postcard, schema ")?;
                schema.as_bytes()[..4]
                    .iter()
                    .try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("…")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Schema;

    fn point(field: &str) -> Encoding {
        Encoding::Postcard(Schema::Struct(vec![(field.to_owned(), Schema::F64)]))
    }

    #[test]
    fn formats_survive_the_wire() {
        for encoding in [Encoding::Json, Encoding::Text, Encoding::Bytes, point("x")] {
            let format = Format::from(&encoding);
            assert_eq!(Format::from_wire(&format.to_wire()), Some(format));
        }
        for unknown in [&[][..], &[0, 0], &[3, 1], &[4]] {
            assert_eq!(Format::from_wire(unknown), None);
        }
    }

    #[test]
    fn ends_agree_on_one_encoding_and_schema_or_when_one_declares_none() {
        let format = |encoding: &Encoding| Some(Format::from(encoding));
        let (json, x, y) = (
            format(&Encoding::Json),
            format(&point("x")),
            format(&point("y")),
        );
        assert!(Format::agree(x, x) && Format::agree(json, json));
        assert!(!Format::agree(json, x) && !Format::agree(x, y));
        assert!(Format::agree(None, x) && Format::agree(x, None));
        assert_eq!(json.unwrap().to_string(), "json");
        assert!(x.unwrap().to_string().starts_with("postcard, schema "));
    }
}
