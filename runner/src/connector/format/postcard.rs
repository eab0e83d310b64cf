//! [`ToPostcard`]: converts a source's JSON to postcard for streams with that encoding. No I/O.

use bytes::BytesMut;
use mosaik_streams::{
    Encoding, FramesBuilder, Schema,
    schema::{SchemaError, TranscodeError, Transcoder},
};

use super::csv::ColumnKind;

/// Returns the schema inside any number of options.
pub(crate) fn through_options(schema: &Schema) -> &Schema {
    match schema {
        Schema::Option(inner) => through_options(inner),
        other => other,
    }
}

/// Converts the records of one source to postcard.
#[derive(Debug)]
pub(in crate::connector) struct ToPostcard {
    transcoder: Transcoder,
    schema: Schema,
    /// JSON of the current record.
    json: BytesMut,
}

impl ToPostcard {
    /// Creates a converter if this encoding is postcard.
    pub(in crate::connector) fn of(
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

    /// Adds the record with this JSON.
    pub(in crate::connector) fn push(
        &self,
        out: &mut FramesBuilder,
        json: &[u8],
    ) -> Result<(), TranscodeError> {
        out.push_with(|out| self.transcoder.to_postcard(json, out))
    }

    /// Adds the record whose JSON `write` appends. Adds nothing if `write` or the conversion fails.
    pub(in crate::connector) fn push_with<E: From<TranscodeError>>(
        &mut self,
        out: &mut FramesBuilder,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        self.json.clear();
        write(&mut self.json)?;
        self.push(out, &self.json).map_err(E::from)
    }

    /// Returns the kind that the schema sets for a column of this name.
    pub(in crate::connector) fn column(&self, name: &str) -> ColumnKind {
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
    pub(in crate::connector) fn held_bytes(&self) -> usize {
        self.json.capacity()
    }
}
