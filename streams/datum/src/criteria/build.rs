//! Builds criteria in Rust: `Criteria::field("price").gte(100).and(…)`.

use super::{Alternative, Condition, Criteria, Path, Range, Scalar};
use crate::number::{Decimal, is_float_of};

/// A field to which a condition is about to be added. Created by [`Criteria::field`].
#[derive(Debug, Clone)]
#[must_use = "a field alone selects nothing; add a condition"]
pub struct Field {
    path: Path,
    negated: bool,
}

impl Criteria {
    /// Matches every record. The default.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Starts a condition on the field at this dotted path; `\.` is a dot within a name.
    ///
    /// ```
    /// use mosaik_datum::Criteria;
    ///
    /// let wanted = Criteria::field("price").gte(100).and(Criteria::field("symbol").one_of(["ETH", "BTC"]));
    /// assert!(!wanted.is_everything());
    /// ```
    pub fn field(path: impl Into<Path>) -> Field {
        Field {
            path: path.into(),
            negated: false,
        }
    }

    /// Matches records that match both criteria.
    ///
    /// The alternatives multiply. Criteria above [`MAX_CONDITIONS`](super::MAX_CONDITIONS) are refused when they are
    /// used.
    pub fn and(self, other: Self) -> Self {
        if self.is_everything() {
            return other;
        }
        if other.is_everything() {
            return self;
        }
        let pairs = self
            .any
            .iter()
            .flat_map(|left| other.any.iter().map(move |right| (left, right)));
        let any = pairs.map(|(left, right)| Alternative {
            all: left.all.iter().chain(&right.all).cloned().collect(),
        });
        Self { any: any.collect() }
    }

    /// Matches records that either matches.
    pub fn or(mut self, mut other: Self) -> Self {
        if self.is_everything() || other.is_everything() {
            return Self::default();
        }
        self.any.append(&mut other.any);
        self
    }
}

impl Field {
    /// Negates the condition that follows. It then also matches a missing field.
    #[expect(
        clippy::should_implement_trait,
        reason = "it reads as a sentence, and `!field` would not"
    )]
    pub fn not(self) -> Self {
        Self {
            negated: !self.negated,
            ..self
        }
    }

    /// The field equals this value.
    pub fn eq(self, value: impl Into<Scalar>) -> Criteria {
        self.one_of([value])
    }

    /// The field equals one of these values.
    pub fn one_of<S: Into<Scalar>>(self, values: impl IntoIterator<Item = S>) -> Criteria {
        self.is(Condition::OneOf(
            values.into_iter().map(Into::into).collect(),
        ))
    }

    /// The field is greater than this.
    pub fn gt(self, bound: impl Into<Scalar>) -> Criteria {
        self.within(Range {
            gt: Some(bound.into()),
            ..Range::default()
        })
    }

    /// The field is at least this.
    pub fn gte(self, bound: impl Into<Scalar>) -> Criteria {
        self.within(Range {
            gte: Some(bound.into()),
            ..Range::default()
        })
    }

    /// The field is less than this.
    pub fn lt(self, bound: impl Into<Scalar>) -> Criteria {
        self.within(Range {
            lt: Some(bound.into()),
            ..Range::default()
        })
    }

    /// The field is at most this.
    pub fn lte(self, bound: impl Into<Scalar>) -> Criteria {
        self.within(Range {
            lte: Some(bound.into()),
            ..Range::default()
        })
    }

    /// The field is within these bounds.
    pub fn within(self, range: Range) -> Criteria {
        self.is(Condition::Range(range))
    }

    /// The field is text with this prefix.
    pub fn prefix(self, prefix: impl Into<String>) -> Criteria {
        self.is(Condition::Prefix(prefix.into()))
    }

    /// The field is present, or is not.
    pub fn exists(self, exists: bool) -> Criteria {
        self.is(Condition::Exists(exists))
    }

    /// The field meets this condition.
    pub fn is(self, condition: Condition) -> Criteria {
        let condition = if self.negated {
            Condition::Not(Box::new(condition))
        } else {
            condition
        };
        Criteria {
            any: vec![Alternative {
                all: vec![(self.path, condition)],
            }],
        }
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Scalar {
            fn from(value: $number) -> Self {
                Self::Int(value.into())
            }
        }
    )*};
}

whole_numbers!(i8, u8, i16, u16, i32, u32, i64);

macro_rules! wide_numbers {
    ($($number:ty),*) => {$(
        /// Exact for every value.
        impl From<$number> for Scalar {
            fn from(value: $number) -> Self {
                i64::try_from(value).map_or_else(|_| Self::spelled(&value.to_string()), Self::Int)
            }
        }
    )*};
}

wide_numbers!(u64, i128, u128);

impl From<Decimal> for Scalar {
    fn from(value: Decimal) -> Self {
        Self::spelled(value.as_str())
    }
}

impl Scalar {
    /// Parses a JSON number into the narrowest variant that represents it exactly.
    ///
    /// ```
    /// use mosaik_datum::criteria::Scalar;
    ///
    /// assert_eq!(Scalar::number("7"), Some(Scalar::Int(7)));
    /// assert_eq!(Scalar::number("0.5"), Some(Scalar::Float(0.5)));
    /// assert_ne!(Scalar::number("100000000000000000001"), Scalar::number("100000000000000000002"));
    /// assert_eq!(Scalar::number("x"), None);
    /// ```
    pub fn number(text: &str) -> Option<Self> {
        let decimal = Decimal::parse(text).ok()?;
        if let Ok(value) = text.parse() {
            return Some(Self::Int(value));
        }
        let nearest: f64 = text.parse().ok()?;
        Some(if is_float_of(nearest, text) {
            Self::Float(nearest)
        } else {
            Self::Number(decimal)
        })
    }

    fn spelled(number: &str) -> Self {
        Self::number(number).unwrap_or(Self::Null)
    }
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<String> for Path {
    fn from(dotted: String) -> Self {
        Self::from(dotted.as_str())
    }
}
