//! [`Transcoder`]: datums and batches of them from postcard to JSON and back.

use std::sync::Arc;

use bytes::BytesMut;
use serde::de::DeserializeSeed;

use super::{
    Cursor, Schema, SchemaError, TranscodeError,
    from_json::{State, Value},
    to_json::{Stop, Writer},
};
use crate::{Frames, FramesBuilder, frames::DEFAULT_MAX_FRAME_LEN};

/// A part of a batch is at an end once it has so many bytes: 1 MiB. It is longer by one datum at worst.
///
/// Few bytes of postcard can be many of JSON, so what comes of a batch is handed out in parts.
pub const DEFAULT_PART_BYTES: usize = 1024 * 1024;

/// Makes JSON of postcard, and postcard of JSON, as a schema says.
///
/// The JSON is what serde_json makes of the same Rust type: a struct is an object, a tuple a list, bytes are a list of
/// numbers, an enum's variant is its name or `{"name": content}`, no number and the infinities are `null`. Read back, it
/// is what serde_json takes for that type: names that the struct does not have are passed over, an `Option` may be
/// missing, and `null` is no number. A number without a fraction such as `3.0` is an integer too. Every finite number
/// comes back as it was.
///
/// As for a consumer of the Rust type, what follows a postcard datum is passed over. One pass; nothing is built in between.
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

/// What became of the front of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcoded {
    /// What was taken off the batch.
    pub taken: Frames,
    /// What came of it, in its order.
    pub frames: Frames,
    /// What nothing came of, in its order.
    pub refused: Vec<Refused>,
}

/// A datum that could not be transcoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which one of those that were taken.
    pub index: usize,
    /// Why not.
    pub error: TranscodeError,
}

impl Transcoder {
    /// For datums of a schema, up to [`DEFAULT_MAX_FRAME_LEN`] long.
    ///
    /// # Errors
    /// Those of [`Schema::check`].
    pub fn new(schema: &Schema) -> Result<Self, SchemaError> {
        schema.check()?;
        Ok(Self {
            schema: Arc::new(schema.clone()),
            max_datum_bytes: DEFAULT_MAX_FRAME_LEN,
        })
    }

    /// The longest datum that may come out, in bytes. Default: [`DEFAULT_MAX_FRAME_LEN`], 16 MiB. Until that shows, a
    /// datum may have taken twice as much memory.
    #[must_use]
    pub fn with_max_datum_bytes(mut self, max_bytes: usize) -> Self {
        self.max_datum_bytes = max_bytes;
        self
    }

    /// Appends the JSON of a postcard datum; nothing when it fails.
    ///
    /// # Errors
    /// The datum is not of the schema, or its JSON too long.
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

    /// Appends the postcard of a JSON datum; nothing when it fails.
    ///
    /// # Errors
    /// The datum is not JSON or not of the schema, or its postcard too long.
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
                // A datum is a line, and nothing was found on column 0.
                reason: error
                    .to_string()
                    .replace(" at line 1 column 0", "")
                    .replace(" at line 1 column ", " at column "),
            }
        })
    }

    /// Takes postcard datums off the front of a batch, at least one if there is one, and makes JSON of them.
    pub fn frames_to_json(&self, batch: &mut Frames) -> Transcoded {
        transcode(batch, |datum, out| self.to_json(datum, out))
    }

    /// Takes JSON datums off the front of a batch, at least one if there is one, and makes postcard of them.
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
