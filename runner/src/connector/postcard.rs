//! [`ToPostcard`]: the JSON of a source made postcard where the stream is of that. No I/O.

use bytes::BytesMut;
use mosaik_streams::{
    Encoding, FramesBuilder, Schema,
    schema::{SchemaError, TranscodeError, Transcoder},
};

use super::csv::ColumnKind;
use crate::manifest::through_options;

/// Makes the datums of one source postcard.
#[derive(Debug)]
pub(super) struct ToPostcard {
    transcoder: Transcoder,
    schema: Schema,
    /// The JSON of the datum at hand.
    json: BytesMut,
}

impl ToPostcard {
    /// For a stream of this encoding, if it takes postcard.
    pub(super) fn of(
        encoding: &Encoding,
        max_datum_bytes: usize,
    ) -> Result<Option<Self>, SchemaError> {
        let Encoding::Postcard(schema) = encoding else {
            return Ok(None);
        };
        Ok(Some(Self {
            transcoder: Transcoder::new(schema)?.with_max_datum_bytes(max_datum_bytes),
            schema: schema.clone(),
            json: BytesMut::new(),
        }))
    }

    /// Adds the datum whose JSON is at hand.
    pub(super) fn push(&self, out: &mut FramesBuilder, json: &[u8]) -> Result<(), TranscodeError> {
        out.push_with(|out| self.transcoder.to_postcard(json, out))
    }

    /// Adds the datum whose JSON `write` appends; nothing is added when it fails.
    pub(super) fn push_with<E: From<TranscodeError>>(
        &mut self,
        out: &mut FramesBuilder,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        self.json.clear();
        write(&mut self.json)?;
        self.push(out, &self.json).map_err(E::from)
    }

    /// What the schema says of a column of this name.
    pub(super) fn column(&self, name: &str) -> ColumnKind {
        let field = match through_options(&self.schema) {
            Schema::Struct(fields) => fields.iter().find(|(known, _)| known == name),
            _ => None,
        };
        let Some((_, field)) = field else {
            return ColumnKind::Any;
        };
        match through_options(field) {
            Schema::String | Schema::Char | Schema::Enum(_) => ColumnKind::Text {
                empty_is_null: !matches!(field, Schema::String),
            },
            Schema::Bool => ColumnKind::Bool,
            _ => ColumnKind::Any,
        }
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.json.capacity()
    }
}
