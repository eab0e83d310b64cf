//! [`Transcoder`]: converts records and batches between postcard and JSON.

use std::sync::Arc;

use bytes::BytesMut;
use serde::de::DeserializeSeed;

use super::{
    Cursor, Schema, SchemaError, TranscodeError,
    from_json::{State, Value},
    to_json::{Stop, Writer},
};
use crate::{Frames, FramesBuilder, frames::DEFAULT_MAX_FRAME_LEN};

/// The length in bytes at which a part of a converted batch ends: 1 MiB, exceeded by at most one record.
///
/// A few bytes of postcard can become many bytes of JSON, so a converted batch is returned in parts.
pub const DEFAULT_PART_BYTES: usize = 1024 * 1024;

/// Converts between postcard and JSON by a schema.
///
/// The JSON is the one that serde_json writes for the same Rust type: a struct is an object, a tuple a list, bytes are a
/// list of numbers, an enum variant is its name or `{"name": content}`, NaN and the infinities are `null`. Reading follows
/// serde_json as well: unknown fields of a struct are ignored, an `Option` may be missing, and `null` is not a number. A
/// number without a fraction, such as `3.0`, is also accepted as an integer. Finite numbers survive a round trip unchanged.
///
/// As with the Rust type, bytes after a postcard record are ignored. Works in one pass, without an intermediate value.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mosaik_datum::{BytesMut, Datum, Schema, schema::Transcoder};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Price {
///     symbol: String,
///     cents: u64,
/// }
///
/// let transcoder = Transcoder::new(&Schema::Struct(vec![
///     ("symbol".into(), Schema::String),
///     ("cents".into(), Schema::Unsigned(64)),
/// ]))?;
/// let datum = Price { symbol: "ETH".into(), cents: 5 }.encode()?;
/// let (mut json, mut back) = (BytesMut::new(), BytesMut::new());
/// transcoder.to_json(&datum, &mut json)?;
/// assert_eq!(json, r#"{"symbol":"ETH","cents":5}"#);
/// transcoder.to_postcard(br#"{"cents":5,"symbol":"ETH"}"#, &mut back)?;
/// assert_eq!(back, datum);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Transcoder {
    schema: Arc<Schema>,
    max_datum_bytes: usize,
}

/// The result of converting the front of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcoded {
    /// The records removed from the batch.
    pub taken: Frames,
    /// The converted records, in order.
    pub frames: Frames,
    /// The records that could not be converted, in order.
    pub refused: Vec<Refused>,
}

/// A record that could not be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The index among the removed records.
    pub index: usize,
    /// The reason that it cannot be converted.
    pub error: TranscodeError,
}

impl Transcoder {
    /// Creates a transcoder for records of a schema, up to [`DEFAULT_MAX_FRAME_LEN`] long.
    ///
    /// # Errors
    /// Errors of [`Schema::check`].
    pub fn new(schema: &Schema) -> Result<Self, SchemaError> {
        schema.check()?;
        Ok(Self {
            schema: Arc::new(schema.clone()),
            max_datum_bytes: DEFAULT_MAX_FRAME_LEN,
        })
    }

    /// Sets the maximum length of a converted record in bytes. Default: [`DEFAULT_MAX_FRAME_LEN`], 16 MiB. A conversion
    /// may temporarily use twice as much memory.
    #[must_use]
    pub fn with_max_datum_bytes(mut self, max_bytes: usize) -> Self {
        self.max_datum_bytes = max_bytes;
        self
    }

    /// Appends the JSON form of a postcard record. Appends nothing if it fails.
    ///
    /// # Errors
    /// Fails if the record does not match the schema, or its JSON form is too long.
    pub fn to_json(&self, datum: &[u8], out: &mut BytesMut) -> Result<(), TranscodeError> {
        let start = out.len();
        let mut writer = Writer {
            datum: Cursor::new(datum),
            out,
            end: start.saturating_add(self.max_datum_bytes),
            path: Vec::new(),
        };
        let Err(stop) = writer.value(&self.schema) else {
            return Ok(());
        };
        let path = shown(writer.path);
        out.truncate(start);
        Err(match stop {
            Stop::Malformed(reason) => TranscodeError::Postcard { path, reason },
            Stop::TooLarge => self.too_large(),
        })
    }

    /// Appends the postcard form of a JSON record. Appends nothing if it fails.
    ///
    /// # Errors
    /// Fails if the record is not JSON or does not match the schema, or its postcard form is too long.
    pub fn to_postcard(&self, datum: &[u8], out: &mut BytesMut) -> Result<(), TranscodeError> {
        self.write_postcard(&mut State::default(), datum, out)
    }

    fn write_postcard(
        &self,
        state: &mut State,
        datum: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), TranscodeError> {
        let start = out.len();
        let mut json = serde_json::Deserializer::from_slice(datum);
        let value = Value {
            schema: &self.schema,
            state,
            out,
            end: start.saturating_add(self.max_datum_bytes),
        };
        let done = value.deserialize(&mut json).and_then(|()| json.end());
        let Err(error) = done else {
            return Ok(());
        };
        out.truncate(start);
        let failed = std::mem::take(state);
        Err(if failed.too_large {
            self.too_large()
        } else {
            TranscodeError::Json {
                path: shown(failed.path),
                // A record is usually one line, and column 0 carries no information.
                reason: error
                    .to_string()
                    .replace(" at line 1 column 0", "")
                    .replace(" at line 1 column ", " at column "),
            }
        })
    }

    /// Removes postcard records from the front of a batch, at least one if there is one, and converts them to JSON.
    pub fn frames_to_json(&self, batch: &mut Frames) -> Transcoded {
        transcode(batch, |datum, out| self.to_json(datum, out))
    }

    /// Removes JSON records from the front of a batch, at least one if there is one, and converts them to postcard.
    pub fn frames_to_postcard(&self, batch: &mut Frames) -> Transcoded {
        let mut state = State::default();
        transcode(batch, |datum, out| {
            self.write_postcard(&mut state, datum, out)
        })
    }

    fn too_large(&self) -> TranscodeError {
        TranscodeError::TooLarge {
            max_bytes: self.max_datum_bytes,
        }
    }
}

fn shown(mut path: Vec<String>) -> String {
    path.reverse();
    path.join(".")
}

fn transcode(
    batch: &mut Frames,
    mut write: impl FnMut(&[u8], &mut BytesMut) -> Result<(), TranscodeError>,
) -> Transcoded {
    let mut out = FramesBuilder::with_capacity(batch.wire_len().min(DEFAULT_PART_BYTES));
    let mut refused = Vec::new();
    let mut count = 0;
    for datum in &*batch {
        if let Err(error) = out.push_with(|out| write(datum, out)) {
            refused.push(Refused {
                index: count,
                error,
            });
        }
        count += 1;
        if out.wire_len() >= DEFAULT_PART_BYTES {
            break;
        }
    }
    Transcoded {
        taken: batch.split_front(count, usize::MAX),
        frames: out.finish(),
        refused,
    }
}
