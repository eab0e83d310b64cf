//! The serializer for streams of encoding `text` and `bytes`: writes strings, bytes and scalars unchanged.

use serde::de::DeserializeOwned;
use serde::de::value::Error as ValueError;
use serde::ser::{Error as _, Impossible};
use serde::{Deserializer, Serialize, Serializer};
use std::fmt::Display;
use std::io::Write as _;

/// Reads a value from a deserializer that contains one string or one sequence of bytes.
pub(crate) fn read<'de, T: DeserializeOwned>(
    from: impl Deserializer<'de, Error = ValueError>,
) -> crate::Result<T> {
    T::deserialize(from)
        .map_err(|error| crate::Error::new(format_args!("unexpected value: {error}")))
}

/// Appends strings, bytes and scalars unchanged. Refuses compound values.
pub(crate) struct PlainSerializer<'a> {
    pub(crate) to: &'a mut Vec<u8>,
}

type Never = Impossible<(), ValueError>;

fn parts<T>(what: &str) -> Result<T, ValueError> {
    Err(ValueError::custom(format_args!(
        "{what} cannot be a record of a stream with encoding text or bytes"
    )))
}

impl PlainSerializer<'_> {
    fn display(self, value: impl Display) -> Result<(), ValueError> {
        write!(self.to, "{value}").map_err(ValueError::custom)
    }
}

impl Serializer for PlainSerializer<'_> {
    type Ok = ();
    type Error = ValueError;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    fn serialize_str(self, v: &str) -> Result<(), ValueError> {
        self.serialize_bytes(v.as_bytes())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), ValueError> {
        self.to.extend_from_slice(v);
        Ok(())
    }

    fn serialize_bool(self, v: bool) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_i8(self, v: i8) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_i16(self, v: i16) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_i32(self, v: i32) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_i64(self, v: i64) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_u8(self, v: u8) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_u16(self, v: u16) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_u32(self, v: u32) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_u64(self, v: u64) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_f32(self, v: f32) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_f64(self, v: f64) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_char(self, v: char) -> Result<(), ValueError> {
        self.display(v)
    }

    fn serialize_none(self) -> Result<(), ValueError> {
        parts("nothing")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), ValueError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), ValueError> {
        parts("nothing")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), ValueError> {
        self.serialize_str(name)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), ValueError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), ValueError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), ValueError> {
        parts("an enum with values")
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Never, ValueError> {
        parts("a sequence")
    }

    fn serialize_tuple(self, _: usize) -> Result<Never, ValueError> {
        parts("a tuple")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Never, ValueError> {
        parts("a tuple")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Never, ValueError> {
        parts("an enum with values")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Never, ValueError> {
        parts("a map")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Never, ValueError> {
        parts("a struct")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Never, ValueError> {
        parts("an enum with values")
    }
}
