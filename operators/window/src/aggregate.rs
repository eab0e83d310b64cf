//! Aggregates: their configuration, state and output.

use crate::number::{Kept, Number, write_integer};
use crate::sum::Sum;
use mosaik_operator_common::fields::Field;
use mosaik_wasm_sdk::{Amount, Mistakes, OperatorConfig, OrderedMap, Result, Shape, ensure};
use serde::Serialize;
use serde_json::value::RawValue;
use std::cmp::Ordering;

/// The maximum number of fields and aggregates of an operator.
pub(crate) const VALUES_MAX: usize = 32;

/// The maximum length in bytes of a value that `first` or `last` holds.
const HELD_LEN_MAX: usize = 1024;

/// The kind of an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Sum,
    Min,
    Max,
    Avg,
    First,
    Last,
}

/// A configured aggregate: `high: {max: price}`, `n: count`.
#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// `None` only for a plain `count`.
    pub(crate) field: Option<Field>,
}

/// The aggregates, in the order of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Aggregates(pub(crate) Vec<Aggregate>);

/// An aggregate without its name.
struct Spec(Kind, Option<Field>);

/// An aggregate of a field.
#[derive(OperatorConfig)]
#[config(one_of(count, sum, min, max, avg, first, last))]
struct OfField {
    count: Option<Field>,
    sum: Option<Field>,
    min: Option<Field>,
    max: Option<Field>,
    avg: Option<Field>,
    first: Option<Field>,
    last: Option<Field>,
}

impl OfField {
    fn spec(self) -> Option<Spec> {
        let all = [
            (Kind::Count, self.count),
            (Kind::Sum, self.sum),
            (Kind::Min, self.min),
            (Kind::Max, self.max),
            (Kind::Avg, self.avg),
            (Kind::First, self.first),
            (Kind::Last, self.last),
        ];
        let mut set = all.into_iter().filter(|(_, field)| field.is_some());
        set.next().map(|(kind, field)| Spec(kind, field))
    }
}

impl OperatorConfig for Spec {
    const SHAPE: &'static Shape = &Shape::Either(&[&Shape::Words(&["count"]), OfField::SHAPE]);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        match text {
            r#""count""# => Some(Self(Kind::Count, None)),
            text if text.starts_with('{') => OfField::read(text, mistakes)?.spec(),
            text => {
                mistakes.add(format_args!(
                    "must be `count`, or an aggregate of a field like {{avg: price}}, found {text}"
                ));
                None
            }
        }
    }
}

impl OperatorConfig for Aggregates {
    const SHAPE: &'static Shape = <OrderedMap<Spec>>::SHAPE;

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let OrderedMap(specs) = OrderedMap::<Spec>::read(text, mistakes)?;
        let aggregate = |(name, Spec(kind, field))| Aggregate { name, kind, field };
        Some(Self(specs.into_iter().map(aggregate).collect()))
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Items(self.0.len()))
    }
}

/// The contribution of a record to an aggregate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// None: the field is null.
    Null,
    /// A number.
    Number(Number<'a>),
    /// Any value, as written; for a plain `count` any text.
    Any(&'a str),
}

impl Aggregate {
    /// Validates the value of the aggregate's field.
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
                    "`{name}` has {len} bytes, above the limit of {HELD_LEN_MAX} bytes"
                );
                Ok(Value::Any(text))
            }
            Kind::Sum | Kind::Avg => Number::added(name, text).map(Value::Number),
            Kind::Min | Kind::Max => Number::compared(name, text).map(Value::Number),
        }
    }
}

/// The state of an aggregate in a window.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub(crate) enum Seen {
    /// The number of values.
    Count(u64),
    /// The sum of the values, and their number.
    Sum(Sum, u64),
    /// The least or greatest value so far.
    Extreme(Option<Kept>),
    /// The earliest or latest value so far, as written, and its time.
    Held(Option<(i64, Box<str>)>),
}

impl Seen {
    pub(crate) fn nothing(kind: Kind) -> Self {
        match kind {
            Kind::Count => Self::Count(0),
            Kind::Sum | Kind::Avg => Self::Sum(Sum::default(), 0),
            Kind::Min | Kind::Max => Self::Extreme(None),
            Kind::First | Kind::Last => Self::Held(None),
        }
    }

    pub(crate) fn see(&mut self, kind: Kind, value: Value<'_>, time_ms: i64) {
        match (self, value) {
            (_, Value::Null) => {}
            (Self::Count(count), _) => *count += 1,
            (Self::Sum(sum, count), Value::Number(number)) => {
                sum.add(number);
                *count += 1;
            }
            (Self::Extreme(extreme), Value::Number(number)) => {
                let wanted = if kind == Kind::Min {
                    Ordering::Less
                } else {
                    Ordering::Greater
                };
                let better = extreme
                    .as_ref()
                    .is_none_or(|so_far| number.compare(so_far) == Some(wanted));
                if better {
                    *extreme = Some(Kept::of(number));
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
            // Unreachable: `Aggregate::value` returns values that match `Seen::nothing` of the same kind.
            (Self::Sum(..) | Self::Extreme(_), Value::Any(_))
            | (Self::Held(_), Value::Number(_)) => {}
        }
    }

    /// Adds the state of the same aggregate in another window.
    pub(crate) fn merge(&mut self, kind: Kind, other: Self) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count += more,
            (Self::Sum(sum, count), Self::Sum(more, more_count)) => {
                sum.merge(&more);
                *count += more_count;
            }
            (seen @ Self::Extreme(_), Self::Extreme(Some(number))) => {
                seen.see(kind, Value::Number(number.as_number()), 0);
            }
            (seen @ Self::Held(_), Self::Held(Some((time_ms, text)))) => {
                seen.see(kind, Value::Any(&text), time_ms);
            }
            // The other window is empty; states of one aggregate have the same kind.
            _ => {}
        }
    }

    /// Appends the result as JSON; null without values.
    pub(crate) fn write(&self, kind: Kind, to: &mut Vec<u8>) {
        match self {
            Self::Count(count) => write_integer(*count, to),
            Self::Sum(_, 0) if kind == Kind::Avg => to.extend_from_slice(b"null"),
            Self::Sum(sum, count) if kind == Kind::Avg => sum.write_average(*count, to),
            Self::Sum(sum, _) => sum.write(to),
            Self::Extreme(Some(number)) => number.write(to),
            Self::Held(Some((_, text))) => to.extend_from_slice(text.as_bytes()),
            Self::Extreme(None) | Self::Held(None) => to.extend_from_slice(b"null"),
        }
    }
}
