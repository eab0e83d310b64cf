//! Aggregates: how they are configured, what they hold, what they say.

use mosaik_operator_common::fields::{Field, short};
use mosaik_wasm_sdk::{Result, ensure};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;
use std::io::Write as _;

/// Fields and aggregates of one operator.
pub(crate) const VALUES_MAX: usize = 32;

/// Bytes of a value that `first` or `last` holds.
const HELD_LEN_MAX: usize = 1024;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    First,
    Last,
}

/// An aggregate as configured: `high: {max: price}`, `n: count`.
#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// None only for a plain `count`.
    pub(crate) field: Option<Field>,
}

/// The aggregates, in the order of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Aggregates(pub(crate) Vec<Aggregate>);

struct Spec(Kind, Option<Field>);

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpecVisitor;

        impl<'de> Visitor<'de> for SpecVisitor {
            type Value = Spec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("count, or an aggregate of a field like {avg: price}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Spec, E> {
                match Kind::deserialize(serde::de::value::StrDeserializer::new(text))? {
                    Kind::Count => Ok(Spec(Kind::Count, None)),
                    _ => Err(E::custom(format_args!(
                        "`{text}` needs a field: {{{text}: price}}"
                    ))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Spec, A::Error> {
                const ONE: &str = "one aggregate has one field, like {avg: price}";
                let (kind, field) = map.next_entry()?.ok_or_else(|| A::Error::custom(ONE))?;
                if map.next_key::<String>()?.is_some() {
                    return Err(A::Error::custom(ONE));
                }
                Ok(Spec(kind, Some(field)))
            }
        }

        deserializer.deserialize_any(SpecVisitor)
    }
}

impl<'de> Deserialize<'de> for Aggregates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AggregatesVisitor;

        impl<'de> Visitor<'de> for AggregatesVisitor {
            type Value = Aggregates;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a map from names to aggregates, like {average: {avg: price}, n: count}",
                )
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Aggregates, A::Error> {
                let mut aggregates = Vec::new();
                while let Some((name, Spec(kind, field))) = map.next_entry()? {
                    aggregates.push(Aggregate { name, kind, field });
                }
                Ok(Aggregates(aggregates))
            }
        }

        deserializer.deserialize_map(AggregatesVisitor)
    }
}

/// What a datum gives an aggregate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// Nothing: the field is null.
    Null,
    /// A number.
    Number(f64),
    /// Any value, as it stands; for a plain `count` any text.
    Any(&'a str),
}

impl Aggregate {
    /// Checks the value of the aggregate's field.
    pub(crate) fn value<'a>(&self, raw: &'a RawValue) -> Result<Value<'a>> {
        let text = raw.get();
        if text == "null" {
            return Ok(Value::Null);
        }
        let name = self.field.as_ref().map_or("", Field::name);
        match self.kind {
            Kind::Count => Ok(Value::Any(text)),
            Kind::First | Kind::Last => {
                let len = text.len();
                ensure!(
                    len <= HELD_LEN_MAX,
                    "`{name}` has {len} bytes, more than the {HELD_LEN_MAX} that are held"
                );
                Ok(Value::Any(text))
            }
            Kind::Sum | Kind::Min | Kind::Max | Kind::Avg => match text.as_bytes().first() {
                // JSON's numbers are all read by Rust's parser, which rounds correctly.
                Some(b'-' | b'0'..=b'9') => Ok(Value::Number(text.parse()?)),
                _ => Err(mosaik_wasm_sdk::Error::new(format_args!(
                    "`{name}` is {}, not a number",
                    short(text)
                ))),
            },
        }
    }
}

/// A number whose saved form is exact, infinities included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Exact(pub(crate) f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.to_bits())
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|bits| Self(f64::from_bits(bits)))
    }
}

/// What an aggregate has seen of a window.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub(crate) enum Seen {
    /// How many.
    Count(u64),
    /// Their sum, what rounding took from it (Neumaier), and how many there were.
    Sum(Exact, Exact, u64),
    /// The least or greatest so far.
    Extreme(Option<Exact>),
    /// The earliest or latest value so far, as it stood, and its time.
    Held(Option<(i64, Box<str>)>),
}

impl Seen {
    pub(crate) fn nothing(kind: Kind) -> Self {
        match kind {
            Kind::Count => Self::Count(0),
            Kind::Sum | Kind::Avg => Self::Sum(Exact(0.0), Exact(0.0), 0),
            Kind::Min | Kind::Max => Self::Extreme(None),
            Kind::First | Kind::Last => Self::Held(None),
        }
    }

    pub(crate) fn see(&mut self, kind: Kind, value: Value<'_>, time_ms: i64) {
        match (self, value) {
            (_, Value::Null) => {}
            (Self::Count(count), _) => *count += 1,
            (Self::Sum(sum, lost, count), Value::Number(number)) => {
                let (total, rounded) = sum_and_loss(sum.0, number);
                sum.0 = total;
                lost.0 += rounded;
                *count += 1;
            }
            (Self::Extreme(extreme), Value::Number(number)) => {
                let better = extreme.is_none_or(|so_far| {
                    if kind == Kind::Min {
                        number < so_far.0
                    } else {
                        number > so_far.0
                    }
                });
                if better {
                    *extreme = Some(Exact(number));
                }
            }
            (Self::Held(held), Value::Any(text)) => {
                let better = held.as_ref().is_none_or(|(at, _)| {
                    if kind == Kind::First {
                        time_ms < *at
                    } else {
                        time_ms >= *at
                    }
                });
                if better {
                    *held = Some((time_ms, text.into()));
                }
            }
            // What `Aggregate::value` gives fits what `Seen::nothing` makes of the same kind.
            (Self::Sum(..) | Self::Extreme(_), Value::Any(_))
            | (Self::Held(_), Value::Number(_)) => {}
        }
    }

    /// Takes in what another window has seen: of the same aggregate, over times of its own.
    pub(crate) fn merge(&mut self, kind: Kind, other: Self) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count += more,
            (Self::Sum(sum, lost, count), Self::Sum(more, more_lost, more_count)) => {
                let (total, rounded) = sum_and_loss(sum.0, more.0);
                sum.0 = total;
                lost.0 += rounded + more_lost.0;
                *count += more_count;
            }
            (seen @ Self::Extreme(_), Self::Extreme(Some(number))) => {
                seen.see(kind, Value::Number(number.0), 0);
            }
            (seen @ Self::Held(_), Self::Held(Some((time_ms, text)))) => {
                seen.see(kind, Value::Any(&text), time_ms);
            }
            // Nothing was seen there; two of one aggregate are alike.
            _ => {}
        }
    }

    /// Appends the outcome as JSON; null where nothing was seen.
    pub(crate) fn write(&self, kind: Kind, to: &mut Vec<u8>) {
        match self {
            Self::Count(count) => write_integer(*count, to),
            Self::Sum(sum, lost, count) => {
                // An infinite sum has lost a NaN.
                let sum = if sum.0.is_finite() {
                    sum.0 + lost.0
                } else {
                    sum.0
                };
                match kind {
                    Kind::Avg if *count == 0 => to.extend_from_slice(b"null"),
                    Kind::Avg => write_number(sum / *count as f64, to),
                    _ => write_number(sum, to),
                }
            }
            Self::Extreme(Some(number)) => write_number(number.0, to),
            Self::Held(Some((_, text))) => to.extend_from_slice(text.as_bytes()),
            Self::Extreme(None) | Self::Held(None) => to.extend_from_slice(b"null"),
        }
    }
}

/// A sum, and what rounding took from it.
fn sum_and_loss(one: f64, other: f64) -> (f64, f64) {
    let total = one + other;
    let rounded = if one.abs() >= other.abs() {
        (one - total) + other
    } else {
        (other - total) + one
    };
    (total, rounded)
}

fn write_integer(number: impl fmt::Display, to: &mut Vec<u8>) {
    write!(to, "{number}").expect("writing into memory does not fail");
}

/// The shortest text that reads back as the same number; whole numbers without a point, infinities as null.
fn write_number(number: f64, to: &mut Vec<u8>) {
    const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
    if number == 0.0 {
        to.push(b'0');
    } else if number.fract() == 0.0 && number.abs() < EXACT_BELOW {
        write_integer(number as i64, to);
    } else {
        serde_json::to_writer(to, &number).expect("a number is written into memory");
    }
}
