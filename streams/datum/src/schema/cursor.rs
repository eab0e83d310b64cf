//! [`Cursor`]: reads the values of a postcard record. The caller determines their types from the schema.

use std::fmt::{self, Write as _};

use super::{Malformed, Schema};

/// The unread rest of a record.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(datum: &'a [u8]) -> Self {
        Self { rest: datum }
    }

    /// Reads a `bool`, or the presence of an `Option`.
    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Malformed::Flag(other)),
        }
    }

    /// Reads an unsigned integer of this many bits.
    pub(crate) fn unsigned(&mut self, bits: u8) -> Result<u128, Malformed> {
        if bits == 8 {
            return self.byte().map(u128::from);
        }
        self.varint(bits)
    }

    /// Reads a signed integer of this many bits.
    pub(crate) fn signed(&mut self, bits: u8) -> Result<i128, Malformed> {
        if bits == 8 {
            return self.byte().map(|byte| i128::from(byte.cast_signed()));
        }
        let zigzag = self.varint(bits)?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    pub(crate) fn f32(&mut self) -> Result<f32, Malformed> {
        self.array().map(f32::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Malformed> {
        self.array().map(f64::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::NotUtf8)
    }

    /// Reads a `char` as text.
    pub(crate) fn char(&mut self) -> Result<&'a str, Malformed> {
        let text = self.text()?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(_), None) => Ok(text),
            _ => Err(Malformed::Char),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.len()?).map_err(|_| Malformed::Short)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads the announced number of items of a sequence or map. They may not exist.
    pub(crate) fn len(&mut self) -> Result<u64, Malformed> {
        self.varint(64).map(|len| len as u64)
    }

    /// Reads the variant of an enum.
    pub(crate) fn variant<'s>(
        &mut self,
        variants: &'s [(String, Option<Schema>)],
    ) -> Result<(usize, &'s str, Option<&'s Schema>), Malformed> {
        let number = self.varint(32)? as u32;
        let index = number as usize;
        let (name, content) = variants.get(index).ok_or(Malformed::Variant(number))?;
        Ok((index, name, content.as_ref()))
    }

    /// Reads a map key as its JSON text.
    pub(crate) fn key<'k>(
        &mut self,
        schema: &'k Schema,
        digits: &'k mut Digits,
    ) -> Result<&'k str, Malformed>
    where
        'a: 'k,
    {
        Ok(match schema {
            Schema::Bool if self.flag()? => "true",
            Schema::Bool => "false",
            Schema::Unsigned(bits) => digits.of(self.unsigned(*bits)?),
            Schema::Signed(bits) => digits.of(self.signed(*bits)?),
            Schema::Char => self.char()?,
            Schema::Enum(variants) => self.variant(variants)?.1,
            // Other key types are refused by `Schema::check`.
            _ => self.text()?,
        })
    }

    /// Skips a value.
    pub(crate) fn pass(&mut self, schema: &Schema) -> Result<(), Malformed> {
        match schema {
            Schema::Bool => self.flag().map(drop),
            Schema::Unsigned(bits) => self.unsigned(*bits).map(drop),
            Schema::Signed(bits) => self.signed(*bits).map(drop),
            Schema::F32 => self.array::<4>().map(drop),
            Schema::F64 => self.array::<8>().map(drop),
            Schema::Char | Schema::String | Schema::Bytes => self.bytes().map(drop),
            Schema::Unit => Ok(()),
            Schema::Option(some) => {
                if self.flag()? {
                    self.pass(some)?;
                }
                Ok(())
            }
            Schema::Sequence(item) => {
                let len = self.len()?;
                self.pass_all(len, |cursor| cursor.pass(item))
            }
            Schema::Array(item, len) => self.pass_all(u64::from(*len), |cursor| cursor.pass(item)),
            Schema::Map(key, value) => {
                let len = self.len()?;
                self.pass_all(len, |cursor| {
                    cursor.pass(key)?;
                    cursor.pass(value)
                })
            }
            Schema::Tuple(items) => items.iter().try_for_each(|item| self.pass(item)),
            Schema::Struct(fields) => fields.iter().try_for_each(|(_, field)| self.pass(field)),
            Schema::Enum(variants) => match self.variant(variants)? {
                (_, _, Some(content)) => self.pass(content),
                (_, _, None) => Ok(()),
            },
        }
    }

    fn pass_all(
        &mut self,
        len: u64,
        mut pass: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        for _ in 0..len {
            let before = self.rest.len();
            pass(self)?;
            if self.rest.len() == before {
                // Items of zero bytes: any announced number of them ends here.
                break;
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*array)
    }

    /// Reads an integer of at most this many bits.
    fn varint(&mut self, bits: u8) -> Result<u128, Malformed> {
        let bits = u32::from(bits.min(128));
        let (mut value, mut shift) = (0u128, 0);
        loop {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            if shift >= bits || part >> (bits - shift).min(7) != 0 {
                return Err(Malformed::Number);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
        }
    }
}

/// A buffer for the digits of any integer.
#[derive(Debug)]
pub(crate) struct Digits {
    /// `i128::MIN` has 39 digits and a sign.
    bytes: [u8; 40],
    len: usize,
}

impl Default for Digits {
    fn default() -> Self {
        Self {
            bytes: [0; 40],
            len: 0,
        }
    }
}

impl Digits {
    fn of(&mut self, number: impl fmt::Display) -> &str {
        self.len = 0;
        write!(self, "{number}").expect("no integer is longer");
        std::str::from_utf8(&self.bytes[..self.len]).expect("digits are ASCII")
    }
}

impl fmt::Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
