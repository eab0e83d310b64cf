//! Converts JSON to postcard in one pass: serde_json reads, and each value is written according to the schema. Fields
//! in a different order than in the schema are reordered in the output.

use std::fmt;

use bytes::{BufMut, BytesMut};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IgnoredAny, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::{
    Cursor, Digits, Schema,
    names::{FieldOf, VariantOf},
};

/// The largest number up to which an `f64` represents every integer: 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Reusable state of the conversion.
#[derive(Debug, Default)]
pub(super) struct State {
    /// For the fields of the structs being written, their ranges in the output.
    spans: Vec<Option<(usize, usize)>>,
    /// A buffer for reordering fields.
    sorted: Vec<u8>,
    /// After a failure, its position; the innermost part first.
    pub(super) path: Vec<String>,
    /// True if the failure was caused by the length limit.
    pub(super) too_large: bool,
}

/// Writes one value of a schema.
pub(super) struct Value<'a, 's> {
    pub(super) schema: &'s Schema,
    pub(super) state: &'a mut State,
    pub(super) out: &'a mut BytesMut,
    /// The maximum length of `out`.
    pub(super) end: usize,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match self.schema {
            Schema::Bool => json.deserialize_bool(self),
            // Separate, to be read without loss.
            Schema::Unsigned(128) => json.deserialize_u128(self),
            Schema::Signed(128) => json.deserialize_i128(self),
            Schema::Unsigned(_) => json.deserialize_u64(self),
            Schema::Signed(_) => json.deserialize_i64(self),
            Schema::F32 => json.deserialize_f32(self),
            Schema::F64 => json.deserialize_f64(self),
            Schema::Char | Schema::String => json.deserialize_str(self),
            Schema::Unit => json.deserialize_unit(self),
            Schema::Option(_) => json.deserialize_option(self),
            Schema::Bytes | Schema::Sequence(_) => json.deserialize_seq(self),
            Schema::Array(_, len) => json.deserialize_tuple(*len as usize, self),
            Schema::Tuple(items) => json.deserialize_tuple(items.len(), self),
            Schema::Map(..) => json.deserialize_map(self),
            Schema::Struct(_) => json.deserialize_struct("", &[], self),
            Schema::Enum(_) => json.deserialize_enum("", &[], self),
        }
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.schema {
            Schema::Bool => f.write_str("a boolean"),
            Schema::Unsigned(bits) => write!(f, "u{bits}"),
            Schema::Signed(bits) => write!(f, "i{bits}"),
            Schema::F32 => f.write_str("f32"),
            Schema::F64 => f.write_str("f64"),
            Schema::Char => f.write_str("a character"),
            Schema::String => f.write_str("a string"),
            Schema::Bytes => f.write_str("a list of bytes"),
            Schema::Unit => f.write_str("null"),
            Schema::Option(inner) => write!(f, "null or {}", Expecting(inner)),
            Schema::Sequence(_) => f.write_str("a list"),
            Schema::Array(_, len) => write!(f, "a list of {len}"),
            Schema::Tuple(items) => write!(f, "a list of {}", items.len()),
            Schema::Map(..) => f.write_str("an object"),
            Schema::Struct(fields) => write!(f, "an object with {} fields", fields.len()),
            Schema::Enum(_) => f.write_str("a variant"),
        }
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        match self.schema {
            Schema::Bool => self.put(&[u8::from(value)]),
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        match self.schema {
            Schema::F32 => self.put(&(value as f32).to_le_bytes()),
            Schema::F64 => self.put(&(value as f64).to_le_bytes()),
            _ => self.unsigned(u128::from(value), Unexpected::Unsigned(value)),
        }
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        match self.schema {
            Schema::F32 => self.put(&(value as f32).to_le_bytes()),
            Schema::F64 => self.put(&(value as f64).to_le_bytes()),
            _ => self.signed(i128::from(value), Unexpected::Signed(value)),
        }
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<(), E> {
        self.unsigned(value, Unexpected::Other("a larger number"))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<(), E> {
        self.signed(value, Unexpected::Other("a larger number"))
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        match self.schema {
            Schema::F32 => self.put(&(value as f32).to_le_bytes()),
            Schema::F64 => self.put(&value.to_le_bytes()),
            // Accepts 3.0 as 3: some writers of JSON do not distinguish them.
            Schema::Unsigned(_) | Schema::Signed(_)
                if value.fract() == 0.0 && value.abs() <= MAX_EXACT =>
            {
                self.signed(value as i128, Unexpected::Float(value))
            }
            _ => Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        let mut chars = value.chars();
        let fits = match self.schema {
            Schema::String => true,
            Schema::Char => chars.next().is_some() && chars.next().is_none(),
            _ => return Err(E::invalid_type(Unexpected::Str(value), &self)),
        };
        if !fits {
            return Err(E::invalid_value(Unexpected::Str(value), &self));
        }
        put_varint(self.out, value.len() as u128);
        self.put(value.as_bytes())
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        match self.schema {
            Schema::Unit => Ok(()),
            Schema::Option(_) => self.put(&[0]),
            _ => Err(E::invalid_type(Unexpected::Unit, &self)),
        }
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Schema::Option(inner) = self.schema else {
            return Err(D::Error::invalid_type(Unexpected::Option, &self));
        };
        self.out.put_u8(1);
        Value {
            schema: inner,
            ..self
        }
        .deserialize(json)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        match self.schema {
            Schema::Bytes => self.sequence(&Schema::Unsigned(8), list),
            Schema::Sequence(item) => self.sequence(item, list),
            Schema::Array(item, len) => {
                for index in 0..*len as usize {
                    self.item(item, index, &mut list)?;
                }
                Ok(())
            }
            Schema::Tuple(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.item(item, index, &mut list)?;
                }
                Ok(())
            }
            // As serde reads a struct.
            Schema::Struct(fields) => {
                for (index, (_, field)) in fields.iter().enumerate() {
                    self.item(field, index, &mut list)?;
                }
                Ok(())
            }
            _ => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        match self.schema {
            Schema::Map(key, value) => self.map(key, value, object),
            Schema::Struct(fields) => self.fields(fields, object),
            _ => Err(A::Error::invalid_type(Unexpected::Map, &self)),
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(mut self, data: A) -> Result<(), A::Error> {
        let Schema::Enum(variants) = self.schema else {
            return Err(A::Error::invalid_type(Unexpected::Enum, &self));
        };
        let (index, rest) = data.variant_seed(VariantOf(variants))?;
        put_varint(self.out, index as u128);
        let (name, content) = &variants[index];
        let Some(content) = content else {
            rest.unit_variant()?;
            return self.put(&[]);
        };
        let done = rest.newtype_variant_seed(self.inner(content));
        self.placed(name, done)
    }
}

impl<'s> Value<'_, 's> {
    fn inner<'b>(&'b mut self, schema: &'b Schema) -> Value<'b, 'b> {
        Value {
            schema,
            state: self.state,
            out: self.out,
            end: self.end,
        }
    }

    /// Adds a part of the position to a failure.
    fn placed<T, E>(&mut self, place: impl ToString, done: Result<T, E>) -> Result<T, E> {
        if done.is_err() {
            self.state.path.push(place.to_string());
        }
        done
    }

    fn put<E: Error>(&mut self, bytes: &[u8]) -> Result<(), E> {
        if self.out.len() + bytes.len() > self.end {
            self.state.too_large = true;
            return Err(E::custom("too large"));
        }
        self.out.put_slice(bytes);
        Ok(())
    }

    fn unsigned<E: Error>(mut self, value: u128, found: Unexpected<'_>) -> Result<(), E> {
        match *self.schema {
            Schema::Unsigned(8) if value <= u128::from(u8::MAX) => self.put(&[value as u8]),
            Schema::Unsigned(bits @ 9..) if bits >= 128 || value >> bits == 0 => {
                put_varint(self.out, value);
                self.put(&[])
            }
            Schema::Signed(_) if i128::try_from(value).is_ok() => {
                self.signed(value.cast_signed(), found)
            }
            Schema::Unsigned(_) | Schema::Signed(_) => Err(E::invalid_value(found, &self)),
            _ => Err(E::invalid_type(found, &self)),
        }
    }

    fn signed<E: Error>(mut self, value: i128, found: Unexpected<'_>) -> Result<(), E> {
        match *self.schema {
            Schema::Signed(8) if i8::try_from(value).is_ok() => {
                self.put(&(value as i8).to_le_bytes())
            }
            Schema::Signed(bits @ 9..)
                if bits >= 128 || (value >> (bits - 1)) == (value >> 127) =>
            {
                put_varint(self.out, ((value << 1) ^ (value >> 127)).cast_unsigned());
                self.put(&[])
            }
            Schema::Unsigned(_) if value >= 0 => self.unsigned(value.cast_unsigned(), found),
            Schema::Unsigned(_) | Schema::Signed(_) => Err(E::invalid_value(found, &self)),
            _ => Err(E::invalid_type(found, &self)),
        }
    }

    fn sequence<'de, A: SeqAccess<'de>>(
        mut self,
        item: &Schema,
        mut list: A,
    ) -> Result<(), A::Error> {
        let start = self.out.len();
        self.out.put_u8(0);
        let mut count = 0;
        loop {
            let next = list.next_element_seed(self.inner(item));
            if self.placed(count, next)?.is_none() {
                break;
            }
            count += 1;
        }
        self.count(start, count)
    }

    fn item<'de, A: SeqAccess<'de>>(
        &mut self,
        schema: &Schema,
        index: usize,
        list: &mut A,
    ) -> Result<(), A::Error> {
        let next = list.next_element_seed(self.inner(schema));
        match self.placed(index, next)? {
            Some(()) => Ok(()),
            None => Err(A::Error::invalid_length(index, &*self)),
        }
    }

    fn map<'de, A: MapAccess<'de>>(
        mut self,
        key: &Schema,
        value: &Schema,
        mut object: A,
    ) -> Result<(), A::Error> {
        let start = self.out.len();
        self.out.put_u8(0);
        let mut count = 0;
        loop {
            let key_start = self.out.len();
            let next = object.next_key_seed(self.inner(key));
            if self.placed(count, next)?.is_none() {
                break;
            }
            let done = object.next_value_seed(self.inner(value));
            if done.is_err() {
                let mut digits = Digits::default();
                let written = Cursor::new(&self.out[key_start..]).key(key, &mut digits);
                self.state.path.extend(written.map(str::to_owned));
            }
            done?;
            count += 1;
        }
        self.count(start, count)
    }

    /// Sets the number in front of items, for which one byte was reserved at `start`.
    fn count<E: Error>(&mut self, start: usize, count: usize) -> Result<(), E> {
        if let Ok(short @ 0..128) = u8::try_from(count) {
            self.out[start] = short;
            return self.put(&[]);
        }
        // Written after the items, then rotated in front of them over the reserved byte.
        let behind = self.out.len();
        put_varint(self.out, count as u128);
        let width = self.out.len() - behind;
        self.out[start..].rotate_right(width);
        let items = start + width;
        self.out.copy_within(items + 1.., items);
        self.out.truncate(behind + width - 1);
        self.put(&[])
    }

    fn fields<'de, A: MapAccess<'de>>(
        mut self,
        fields: &'s [(String, Schema)],
        mut object: A,
    ) -> Result<(), A::Error> {
        let start = self.out.len();
        let base = self.state.spans.len();
        self.state.spans.resize(base + fields.len(), None);
        let (mut expected, mut in_order) = (0, true);
        while let Some(known) = object.next_key_seed(FieldOf { fields, expected })? {
            let Some(index) = known else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let (name, field) = &fields[index];
            if self.state.spans[base + index].is_some() {
                return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
            }
            let field_start = self.out.len();
            let done = object.next_value_seed(self.inner(field));
            self.placed(name, done)?;
            self.state.spans[base + index] = Some((field_start, self.out.len()));
            in_order &= index == expected;
            expected = index + 1;
        }
        for (index, (name, field)) in fields.iter().enumerate() {
            if self.state.spans[base + index].is_none() {
                // As in serde: an `Option` may be missing together with its name.
                let Schema::Option(_) = field else {
                    return Err(A::Error::custom(format_args!("missing field `{name}`")));
                };
                self.put(&[0])?;
                self.state.spans[base + index] = Some((self.out.len() - 1, self.out.len()));
                in_order &= index == expected;
                expected = index + 1;
            }
        }
        if !in_order {
            let State { spans, sorted, .. } = &mut *self.state;
            sorted.clear();
            for (from, to) in spans[base..].iter().flatten() {
                sorted.extend_from_slice(&self.out[*from..*to]);
            }
            self.out[start..].copy_from_slice(sorted);
        }
        self.state.spans.truncate(base);
        Ok(())
    }
}

fn put_varint(out: &mut BytesMut, mut value: u128) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Describes the expected type of a nested schema.
struct Expecting<'s>(&'s Schema);

impl fmt::Display for Expecting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut state, mut out) = (State::default(), BytesMut::new());
        let value = Value {
            schema: self.0,
            state: &mut state,
            out: &mut out,
            end: 0,
        };
        Expected::fmt(&value, f)
    }
}
