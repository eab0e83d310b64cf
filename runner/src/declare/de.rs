//! A resolved tree as a serde `Deserializer`, for types defined outside the manifest reader: criteria, connectors and
//! the configuration of an operator.
//!
//! Errors carry the location of the innermost invalid value or key.

use std::cell::Cell;

use mosaik_streams::criteria::{self, SPELLED};
use serde::{
    Deserialize,
    de::{self, DeserializeSeed, IntoDeserializer, Visitor},
    forward_to_deserialize_any,
};

use super::{
    diagnostics::{Diagnostic, did_you_mean, one_of},
    source::Span,
    tree::{Entry, Node, Plain, Scalar, Value},
};

/// Deserializes a value after substitution.
pub(crate) fn from_node<T: for<'de> Deserialize<'de>>(node: &Node) -> Result<T, Box<Diagnostic>> {
    T::deserialize(Tree(node)).map_err(|error| Box::new(error.into_diagnostic(node)))
}

/// A message, and its location if known.
#[derive(Debug)]
struct Error {
    message: String,
    label: String,
    help: Option<String>,
    span: Option<Span>,
}

impl Error {
    fn new(message: String) -> Self {
        Self {
            message,
            label: String::new(),
            help: None,
            span: None,
        }
    }

    fn within(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    fn into_diagnostic(self, node: &Node) -> Diagnostic {
        Diagnostic::error(self.message)
            .at(self.span.unwrap_or(node.span), self.label)
            .maybe_help(self.help)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        // The value itself is never shown, since it may be a secret.
        let found = match unexpected {
            de::Unexpected::Map => "a mapping",
            de::Unexpected::Seq => "a list",
            de::Unexpected::Unit | de::Unexpected::Option => "nothing",
            de::Unexpected::Str(_) => "text",
            de::Unexpected::Bool(_) => "`true` or `false`",
            _ => "a number",
        };
        Self {
            label: format!("expected {expected}"),
            ..Self::new(format!("expected {expected}, found {found}"))
        }
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let label = format!("expected {expected}");
        Self {
            label: label.clone(),
            ..Self::new(format!("invalid value: {label}"))
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let label = if expected.is_empty() {
            "no keys are expected here".to_owned()
        } else {
            format!("expected {}", one_of(expected.iter().copied()))
        };
        let help = did_you_mean(field, expected.iter().copied());
        Self {
            label,
            help,
            ..Self::new(format!("unknown key `{field}`"))
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let label = format!("expected {}", one_of(expected.iter().copied()));
        let help = did_you_mean(variant, expected.iter().copied());
        Self {
            label,
            help,
            ..Self::new(format!("unknown value `{variant}`"))
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            label: format!("expected `{field}` in here"),
            ..Self::new(format!("`{field}` is missing"))
        }
    }
}

/// A node that deserializes to its own type.
#[derive(Clone, Copy)]
struct Tree<'n>(&'n Node);

impl Tree<'_> {
    fn mismatch(self, expected: &str) -> Error {
        let found = self.0.kind();
        Error {
            label: format!("expected {expected}"),
            span: Some(self.0.span),
            ..Error::new(format!("expected {expected}, found {found}"))
        }
    }

    fn scalar(&self) -> Option<&Scalar> {
        match &self.0.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Returns the typed value of a scalar where a number or a boolean is expected. A quoted scalar stays text; a
    /// substituted one does not.
    fn typed(self) -> Option<Plain> {
        self.scalar().map(|scalar| {
            Scalar {
                plain: scalar.plain || scalar.secret,
                ..scalar.clone()
            }
            .resolve()
        })
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.typed() {
                Some(Plain::Unsigned(number)) => visitor.visit_u64(number),
                Some(Plain::Signed(number)) => visitor.visit_i64(number),
                Some(Plain::Float(number)) => visitor.visit_f64(number),
                _ => Err(self.mismatch("a number")),
            }
            .map_err(|error: Error| error.within(self.0.span))
        })*
    };
}

impl<'de> de::Deserializer<'de> for Tree<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Sequence(items) => visitor.visit_seq(Items(items.iter())),
            Value::Mapping(entries) => {
                let key = Cell::new(None);
                let read = visitor.visit_map(Entries {
                    rest: entries.iter(),
                    value: None,
                    key: &key,
                });
                // An error between reading a key and its value is located at the key.
                read.map_err(|error| error.within(key.get().unwrap_or(self.0.span)))
            }
            Value::Scalar(scalar) => match scalar.resolve() {
                Plain::Null => visitor.visit_unit(),
                Plain::Bool(value) => visitor.visit_bool(value),
                Plain::Signed(value) => visitor.visit_i64(value),
                Plain::Unsigned(value) => visitor.visit_u64(value),
                Plain::Float(value) => visitor.visit_f64(value),
                Plain::Text => visitor.visit_str(&scalar.text),
            },
        }
        .map_err(|error: Error| error.within(self.0.span))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scalar() {
            Some(scalar) if !self.0.is_null() => visitor
                .visit_str(&scalar.text)
                .map_err(|error: Error| error.within(self.0.span)),
            _ => Err(self.mismatch("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.typed() {
            Some(Plain::Bool(value)) => visitor.visit_bool(value),
            _ => Err(self.mismatch("`true` or `false`")),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let names = one_of(variants.iter().copied());
        match &self.0.value {
            Value::Scalar(scalar) if !self.0.is_null() => visitor.visit_enum(Word(&scalar.text)),
            Value::Mapping(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant(entry)),
                [_, second, ..] => Err(Error {
                    label: format!("expected one of {names} alone"),
                    span: Some(second.key.span),
                    ..Error::new("more than one kind".to_owned())
                }),
                [] => Err(self.mismatch(&format!("one of {names}"))),
            },
            _ => Err(self.mismatch(&format!("one of {names}"))),
        }
        .map_err(|error: Error| error.within(self.0.span))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == SPELLED
            && let Some(criteria::Scalar::Number(number)) = self.scalar().and_then(Scalar::number)
        {
            let spelled = std::iter::once((SPELLED, number.to_string()));
            let read = visitor.visit_map(de::value::MapDeserializer::new(spelled));
            return read.map_err(|error: Error| error.within(self.0.span));
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'n>(std::slice::Iter<'n, Node>);

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.0
            .next()
            .map(|node| at(node, seed.deserialize(Tree(node))))
            .transpose()
    }
}

fn at<T>(node: &Node, result: Result<T, Error>) -> Result<T, Error> {
    result.map_err(|error| error.within(node.span))
}

struct Entries<'n> {
    rest: std::slice::Iter<'n, Entry>,
    value: Option<&'n Entry>,
    /// The key whose value has not been read yet.
    key: &'n Cell<Option<Span>>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.value = self.rest.next();
        let Some(entry) = self.value else {
            return Ok(None);
        };
        self.key.set(Some(entry.key.span));
        let key = seed.deserialize(entry.key.text.as_str().into_deserializer());
        key.map(Some)
            .map_err(|error: Error| error.within(entry.key.span))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        self.key.set(None);
        match self.value {
            Some(entry) => at(&entry.node, seed.deserialize(Tree(&entry.node))),
            None => Err(Error::new("a value before its key".to_owned())),
        }
    }
}

struct Variant<'n>(&'n Entry);

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let key = seed.deserialize(self.0.key.text.as_str().into_deserializer());
        let key = key.map_err(|error: Error| error.within(self.0.key.span))?;
        Ok((key, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Err(Tree(&self.0.node).mismatch("nothing"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let node = &self.0.node;
        if node.is_null() {
            let help = format!("write `{}: {{}}`", self.0.key.text);
            return Err(Error {
                help: Some(help),
                ..Tree(node).mismatch("a mapping")
            });
        }
        at(node, seed.deserialize(Tree(node)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_any(Tree(&self.0.node), visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_any(Tree(&self.0.node), visitor)
    }
}

/// A variant without content: `csv`.
struct Word<'n>(&'n str);

impl Word<'_> {
    fn needs_mapping(&self) -> Error {
        Error {
            label: "expected a mapping".to_owned(),
            help: Some(format!("write `{{{}: {{}}}}`", self.0)),
            ..Error::new(format!("`{}` is incomplete", self.0))
        }
    }
}

impl<'de> de::EnumAccess<'de> for Word<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let key = seed.deserialize(self.0.into_deserializer())?;
        Ok((key, self))
    }
}

impl<'de> de::VariantAccess<'de> for Word<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(self.needs_mapping())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(self.needs_mapping())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(self.needs_mapping())
    }
}
