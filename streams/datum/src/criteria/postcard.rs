//! Evaluates criteria on a postcard record by its schema, up to the last field that the criteria refer to.

use std::ops::Range;

use super::{
    select::{Findings, Malformed, Node, NotSelectable},
    value::{Text, Value},
};
use crate::{
    Schema,
    number::Number,
    path,
    schema::{self, Cursor, Digits},
};

/// The schema, and the positions in it that conditions refer to.
#[derive(Debug)]
pub(super) struct Plan {
    schema: Schema,
    root: Step,
}

#[derive(Debug)]
struct Step {
    here: Range<usize>,
    below: Range<usize>,
    inside: Inside,
}

/// The positions within a value that conditions refer to.
#[derive(Debug)]
enum Inside {
    /// Fields of a struct or variants of an enum, by ascending index.
    Places(Vec<(usize, Step)>),
    /// Values of a map, by the text of their key.
    Keys(Vec<(Box<str>, Step)>),
}

impl From<schema::Malformed> for Malformed {
    fn from(_: schema::Malformed) -> Self {
        Self
    }
}

impl Plan {
    pub(super) fn new(schema: &Schema, root: &Node) -> Result<Self, NotSelectable> {
        Ok(Self {
            schema: schema.clone(),
            root: Step::new(schema, root, "")?,
        })
    }

    pub(super) fn walk(&self, datum: &[u8], findings: &mut Findings<'_>) -> Result<(), Malformed> {
        meet(
            &mut Cursor::new(datum),
            &self.schema,
            &self.root,
            false,
            findings,
        )
    }
}

impl Step {
    fn new(schema: &Schema, node: &Node, path: &str) -> Result<Self, NotSelectable> {
        let mut inner = schema;
        while let Schema::Option(some) = inner {
            inner = some;
        }
        let mut inside = Inside::Places(Vec::new());
        if let Schema::Map(..) = inner {
            inside = Inside::Keys(Vec::new());
        }
        for (name, child) in &node.children {
            let name_only = path::dotted(&[name]);
            let path = if path.is_empty() {
                name_only
            } else {
                format!("{path}.{name_only}")
            };
            let (place, schema) = match inner {
                Schema::Struct(fields) => named(fields, name, Some),
                Schema::Enum(variants) => named(variants, name, Option::as_ref),
                Schema::Map(_, value) => Some((0, &**value)),
                _ => None,
            }
            .ok_or_else(|| NotSelectable::UnknownField(path.clone()))?;
            let step = Self::new(schema, child, &path)?;
            match &mut inside {
                Inside::Places(places) => places.push((place, step)),
                Inside::Keys(keys) => keys.push((name.clone(), step)),
            }
        }
        if let Inside::Places(places) = &mut inside {
            places.sort_by_key(|(place, _)| *place);
        }
        Ok(Self {
            here: node.here.clone(),
            below: node.below.clone(),
            inside,
        })
    }
}

/// Returns the index of a name, and its schema if it can contain values.
fn named<'s, T>(
    all: &'s [(String, T)],
    name: &str,
    schema: impl Fn(&'s T) -> Option<&'s Schema>,
) -> Option<(usize, &'s Schema)> {
    let place = all.iter().position(|(known, _)| known == name)?;
    Some((place, schema(&all[place].1)?))
}

/// Reads a value that conditions refer to. Reads it to its end only if something relevant `follows`.
fn meet(
    datum: &mut Cursor<'_>,
    schema: &Schema,
    step: &Step,
    follows: bool,
    findings: &mut Findings<'_>,
) -> Result<(), Malformed> {
    match (schema, &step.inside) {
        (Schema::Option(some), _) => {
            if datum.flag()? {
                return meet(datum, some, step, follows, findings);
            }
            findings.meet(&step.here, Value::Null);
            Ok(())
        }
        (Schema::Struct(fields), Inside::Places(wanted)) => {
            findings.meet(&step.here, Value::Composite);
            let mut wanted = wanted.iter().peekable();
            for (place, (_, field)) in fields.iter().enumerate() {
                match wanted.next_if(|(next, _)| *next == place) {
                    Some((_, inner)) => {
                        let follows = follows || wanted.peek().is_some();
                        meet(datum, field, inner, follows, findings)?;
                    }
                    None if follows || wanted.peek().is_some() => datum.pass(field)?,
                    None => break,
                }
            }
            Ok(())
        }
        (Schema::Enum(variants), Inside::Places(wanted)) => {
            let (index, name, content) = datum.variant(variants)?;
            let Some(content) = content else {
                findings.meet(&step.here, Value::Text(Text::Plain(name)));
                return Ok(());
            };
            findings.meet(&step.here, Value::Composite);
            match wanted.iter().find(|(place, _)| *place == index) {
                Some((_, inner)) => meet(datum, content, inner, follows, findings),
                None if follows => Ok(datum.pass(content)?),
                None => Ok(()),
            }
        }
        (Schema::Map(key, value), Inside::Keys(wanted)) => {
            findings.meet(&step.here, Value::Composite);
            if wanted.is_empty() && !follows {
                return Ok(());
            }
            let mut digits = Digits::default();
            for _ in 0..datum.len()? {
                let name = datum.key(key, &mut digits)?;
                match wanted.iter().find(|(wanted, _)| **wanted == *name) {
                    Some((_, inner)) => {
                        // As in JSON, the last of duplicate keys counts.
                        findings.forget(&inner.below);
                        meet(datum, value, inner, true, findings)?;
                    }
                    None => datum.pass(value)?,
                }
            }
            Ok(())
        }
        _ => {
            let value = scalar(datum, schema, follows)?;
            findings.meet(&step.here, value);
            Ok(())
        }
    }
}

fn scalar<'a>(
    datum: &mut Cursor<'a>,
    schema: &Schema,
    follows: bool,
) -> Result<Value<'a>, Malformed> {
    Ok(match schema {
        Schema::Bool => Value::Bool(datum.flag()?),
        Schema::Unsigned(bits) => Value::Number(datum.unsigned(*bits)?.into()),
        Schema::Signed(bits) => Value::Number(datum.signed(*bits)?.into()),
        Schema::F32 => Value::Number(Number::Single(datum.f32()?)),
        Schema::F64 => Value::Number(Number::Float(datum.f64()?)),
        Schema::Char => Value::Text(Text::Plain(datum.char()?)),
        Schema::String => Value::Text(Text::Plain(datum.text()?)),
        Schema::Unit => Value::Null,
        other => {
            if follows {
                datum.pass(other)?;
            }
            Value::Composite
        }
    })
}
