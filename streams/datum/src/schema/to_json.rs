//! Converts postcard to JSON in one pass: each value is read and written at once.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::{Cursor, Digits, Malformed, Schema};

/// The reason for which a record is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Malformed(Malformed),
    TooLarge,
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Writes one record.
pub(super) struct Writer<'a> {
    pub(super) datum: Cursor<'a>,
    pub(super) out: &'a mut BytesMut,
    /// The maximum length of `out`.
    pub(super) end: usize,
    /// After a failure, its position; the innermost part first.
    pub(super) path: Vec<String>,
}

impl Writer<'_> {
    /// Recurses as deep as the schema, for any record.
    pub(super) fn value(&mut self, schema: &Schema) -> Result<(), Stop> {
        match schema {
            Schema::Bool => {
                let value = self.datum.flag()?;
                self.put(&value)
            }
            Schema::Unsigned(bits) => match self.datum.unsigned(*bits)? {
                value if *bits <= 64 => self.put(&(value as u64)),
                value => self.put(&value),
            },
            Schema::Signed(bits) => match self.datum.signed(*bits)? {
                value if *bits <= 64 => self.put(&(value as i64)),
                value => self.put(&value),
            },
            Schema::F32 => {
                let value = self.datum.f32()?;
                self.put(&value)
            }
            Schema::F64 => {
                let value = self.datum.f64()?;
                self.put(&value)
            }
            Schema::Char => {
                let text = self.datum.char()?;
                self.put(text)
            }
            Schema::String => {
                let text = self.datum.text()?;
                self.fits(text.len())?;
                self.put(text)
            }
            Schema::Bytes => {
                let bytes = self.datum.bytes()?;
                // At least one digit and one separator per byte.
                self.fits(bytes.len().saturating_mul(2))?;
                self.put(bytes)
            }
            Schema::Unit => self.put(&()),
            Schema::Option(some) => {
                if self.datum.flag()? {
                    self.value(some)
                } else {
                    self.put(&())
                }
            }
            Schema::Sequence(item) => {
                let len = self.datum.len()?;
                self.items((0..len).map(|_| &**item))
            }
            Schema::Array(item, len) => self.items((0..*len).map(|_| &**item)),
            Schema::Tuple(items) => self.items(items.iter()),
            Schema::Map(key, value) => self.map(key, value),
            Schema::Struct(fields) => self.fields(fields),
            Schema::Enum(variants) => match self.datum.variant(variants)? {
                (_, name, None) => self.put(name),
                (_, name, Some(content)) => {
                    self.out.put_u8(b'{');
                    self.put(name)?;
                    self.out.put_u8(b':');
                    self.within(name, |writer| writer.value(content))?;
                    self.out.put_u8(b'}');
                    self.fits(0)
                }
            },
        }
    }

    fn items<'s>(&mut self, items: impl Iterator<Item = &'s Schema>) -> Result<(), Stop> {
        self.out.put_u8(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.put_u8(b',');
            }
            self.within(index, |writer| writer.value(item))?;
        }
        self.out.put_u8(b']');
        self.fits(0)
    }

    fn map(&mut self, key: &Schema, value: &Schema) -> Result<(), Stop> {
        let len = self.datum.len()?;
        let mut digits = Digits::default();
        self.out.put_u8(b'{');
        for index in 0..len {
            if index > 0 {
                self.out.put_u8(b',');
            }
            let name = match self.datum.key(key, &mut digits) {
                Ok(name) => name,
                Err(malformed) => {
                    return self.within(index, |_| Err(malformed.into()));
                }
            };
            self.fits(name.len())?;
            self.put(name)?;
            self.out.put_u8(b':');
            self.within(name, |writer| writer.value(value))?;
        }
        self.out.put_u8(b'}');
        self.fits(0)
    }

    fn fields(&mut self, fields: &[(String, Schema)]) -> Result<(), Stop> {
        self.out.put_u8(b'{');
        for (index, (name, field)) in fields.iter().enumerate() {
            if index > 0 {
                self.out.put_u8(b',');
            }
            self.put(name.as_str())?;
            self.out.put_u8(b':');
            self.within(name, |writer| writer.value(field))?;
        }
        self.out.put_u8(b'}');
        self.fits(0)
    }

    /// Adds a part of the position to a failure.
    fn within(
        &mut self,
        place: impl ToString,
        write: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let done = write(self);
        if done.is_err() {
            self.path.push(place.to_string());
        }
        done
    }

    fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        serde_json::to_writer(self.out.writer(), value).expect("writing to memory cannot fail");
        self.fits(0)
    }

    /// Checks that this many more bytes are within the limit.
    fn fits(&self, more: usize) -> Result<(), Stop> {
        if self.out.len().saturating_add(more) > self.end {
            Err(Stop::TooLarge)
        } else {
            Ok(())
        }
    }
}
