//! Walks over a postcard datum by its schema, up to the last field that the criteria name.

use std::ops::Range;

use super::{
    select::{Findings, Malformed, Node, NotSelectable},
    value::{Text, Value},
};
use crate::Schema;

/// The schema and where in it conditions look.
#[derive(Debug)]
pub(super) struct Plan {
    schema: Schema,
    root: Step,
}

#[derive(Debug)]
struct Step {
    here: Range<usize>,
    /// By their place in the struct, ascending.
    fields: Vec<(usize, Self)>,
}

impl Plan {
    pub(super) fn new(schema: &Schema, root: &Node) -> Result<Self, NotSelectable> {
        Ok(Self {
            schema: schema.clone(),
            root: Step::new(schema, root, "")?,
        })
    }

    pub(super) fn walk(&self, datum: &[u8], findings: &mut Findings<'_>) -> Result<(), Malformed> {
        Reader { rest: datum }.meet(&self.schema, &self.root, false, findings)
    }
}

impl Step {
    fn new(schema: &Schema, node: &Node, path: &str) -> Result<Self, NotSelectable> {
        let mut inner = schema;
        while let Schema::Option(some) = inner {
            inner = some;
        }
        let known: &[(String, Schema)] = if let Schema::Struct(fields) = inner {
            fields
        } else {
            &[]
        };
        let mut fields = Vec::new();
        for (name, child) in &node.children {
            let path = if path.is_empty() {
                name.to_string()
            } else {
                format!("{path}.{name}")
            };
            let place = known.iter().position(|(known, _)| **known == **name);
            let place = place.ok_or_else(|| NotSelectable::UnknownField(path.clone()))?;
            fields.push((place, Self::new(&known[place].1, child, &path)?));
        }
        fields.sort_by_key(|(place, _)| *place);
        Ok(Self {
            here: node.here.clone(),
            fields,
        })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads a value that conditions look at or into; all of it only when something `follows` that matters.
    fn meet(
        &mut self,
        schema: &Schema,
        step: &Step,
        follows: bool,
        findings: &mut Findings<'_>,
    ) -> Result<(), Malformed> {
        match schema {
            Schema::Option(some) => {
                if self.flag()? {
                    return self.meet(some, step, follows, findings);
                }
                findings.meet(&step.here, Value::Null);
                Ok(())
            }
            Schema::Struct(fields) => {
                findings.meet(&step.here, Value::Composite);
                let mut wanted = step.fields.iter().peekable();
                for (place, (_, field)) in fields.iter().enumerate() {
                    match wanted.next_if(|(next, _)| *next == place) {
                        Some((_, inner)) => {
                            self.meet(field, inner, follows || wanted.peek().is_some(), findings)?;
                        }
                        None if follows || wanted.peek().is_some() => self.pass(field)?,
                        None => break,
                    }
                }
                Ok(())
            }
            _ => {
                let value = self.scalar(schema)?;
                findings.meet(&step.here, value);
                Ok(())
            }
        }
    }

    fn scalar(&mut self, schema: &Schema) -> Result<Value<'a>, Malformed> {
        Ok(match schema {
            Schema::Bool => Value::Bool(self.flag()?),
            Schema::Unsigned(8) => Value::Int(i64::from(self.byte()?)),
            Schema::Signed(8) => Value::Int(i64::from(self.byte()?.cast_signed())),
            Schema::Unsigned(bits) => {
                let value = self.varint(*bits)?;
                i64::try_from(value).map_or(Value::Float(value as f64), Value::Int)
            }
            Schema::Signed(bits) => {
                let zigzag = self.varint(*bits)?;
                let value = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
                i64::try_from(value).map_or(Value::Float(value as f64), Value::Int)
            }
            Schema::F32 => Value::Float(f64::from(f32::from_le_bytes(self.array()?))),
            Schema::F64 => Value::Float(f64::from_le_bytes(self.array()?)),
            Schema::String => {
                let text = self.bytes()?;
                Value::Text(Text::Plain(
                    std::str::from_utf8(text).map_err(|_| Malformed)?,
                ))
            }
            other => {
                self.pass(other)?;
                Value::Composite
            }
        })
    }

    fn pass(&mut self, schema: &Schema) -> Result<(), Malformed> {
        match schema {
            Schema::Bool => self.flag().map(drop),
            Schema::Unsigned(8) | Schema::Signed(8) => self.byte().map(drop),
            Schema::Unsigned(bits) | Schema::Signed(bits) => self.varint(*bits).map(drop),
            Schema::F32 => self.array::<4>().map(drop),
            Schema::F64 => self.array::<8>().map(drop),
            Schema::String | Schema::Bytes => self.bytes().map(drop),
            Schema::Option(some) => {
                if self.flag()? {
                    self.pass(some)?;
                }
                Ok(())
            }
            Schema::Sequence(item) => {
                for _ in 0..self.varint(64)? {
                    let before = self.rest.len();
                    self.pass(item)?;
                    if self.rest.len() == before {
                        // Its items take no bytes, so any announced number of them ends here.
                        break;
                    }
                }
                Ok(())
            }
            Schema::Struct(fields) => fields.iter().try_for_each(|(_, field)| self.pass(field)),
        }
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*array)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.varint(64)?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// At most so many bits.
    fn varint(&mut self, bits: u8) -> Result<u128, Malformed> {
        let bits = u32::from(bits.min(128));
        let (mut value, mut shift) = (0u128, 0);
        loop {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            if shift >= bits || part >> (bits - shift).min(7) != 0 {
                return Err(Malformed);
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
        }
    }
}
