//! Values as read from an encoding, and the evaluation of conditions on them. Does not allocate.

use std::cmp::Ordering;

use super::{Condition, Range, Scalar};
use crate::number::Number;

/// A value within a record, borrowed from its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    Text(Text<'a>),
    /// A list, a mapping or bytes: present, and not equal to any scalar.
    Composite,
}

/// Text within a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text<'a> {
    /// Without escapes.
    Plain(&'a str),
    /// The inside of a JSON string with valid escapes.
    Escaped(&'a str),
}

impl Text<'_> {
    pub(super) fn is(self, expected: &str) -> bool {
        match self {
            Text::Plain(text) => text == expected,
            Text::Escaped(text) => Unescape(text).eq(expected.chars()),
        }
    }

    fn starts_with(self, prefix: &str) -> bool {
        match self {
            Text::Plain(text) => text.starts_with(prefix),
            Text::Escaped(text) => {
                let mut chars = Unescape(text);
                prefix
                    .chars()
                    .all(|expected| chars.next() == Some(expected))
            }
        }
    }

    /// Compares by code point, which for UTF-8 is by byte.
    fn compare(self, other: &str) -> Ordering {
        match self {
            Text::Plain(text) => text.cmp(other),
            Text::Escaped(text) => Unescape(text).cmp(other.chars()),
        }
    }
}

/// The characters of the inside of a valid JSON string.
struct Unescape<'a>(&'a str);

impl Iterator for Unescape<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let first = chars.next()?;
        if first != '\\' {
            self.0 = chars.as_str();
            return Some(first);
        }
        let escape = chars.next()?;
        self.0 = chars.as_str();
        Some(match escape {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = self.unit()?;
                if (0xd800..0xdc00).contains(&high) {
                    self.0 = self.0.strip_prefix("\\u")?;
                    let low = self.unit()?;
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + low.checked_sub(0xdc00)?)?
                } else {
                    char::from_u32(high)?
                }
            }
            other => other,
        })
    }
}

impl Unescape<'_> {
    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(4)?;
        self.0 = rest;
        u32::from_str_radix(digits, 16).ok()
    }
}

impl Condition {
    /// Evaluates the condition on a present value.
    pub(super) fn holds(&self, value: Value<'_>) -> bool {
        match self {
            Self::OneOf(values) => values
                .iter()
                .any(|expected| compare(value, expected) == Some(Ordering::Equal)),
            Self::Range(range) => range.contains(value),
            Self::Prefix(prefix) => matches!(value, Value::Text(text) if text.starts_with(prefix)),
            Self::Exists(exists) => *exists,
            Self::Not(inner) => !inner.holds(value),
        }
    }

    /// Evaluates the condition on a missing field.
    pub(super) fn holds_without(&self) -> bool {
        match self {
            Self::OneOf(_) | Self::Range(_) | Self::Prefix(_) => false,
            Self::Exists(exists) => !exists,
            Self::Not(inner) => !inner.holds_without(),
        }
    }
}

impl Range {
    fn contains(&self, value: Value<'_>) -> bool {
        let within = |bound: &Option<Scalar>, allowed: fn(Ordering) -> bool| {
            bound
                .as_ref()
                .is_none_or(|bound| compare(value, bound).is_some_and(allowed))
        };
        matches!(value, Value::Number(_) | Value::Text(_))
            && within(&self.gt, Ordering::is_gt)
            && within(&self.gte, Ordering::is_ge)
            && within(&self.lt, Ordering::is_lt)
            && within(&self.lte, Ordering::is_le)
    }
}

/// Returns `None` for values that cannot be compared. Numbers are compared exactly.
fn compare(value: Value<'_>, with: &Scalar) -> Option<Ordering> {
    match (value, with) {
        (Value::Null, Scalar::Null) => Some(Ordering::Equal),
        (Value::Bool(a), Scalar::Bool(b)) => (a == *b).then_some(Ordering::Equal),
        (Value::Number(a), Scalar::Int(b)) => a.compare(Number::Int(*b)),
        (Value::Number(a), Scalar::Float(b)) => a.compare(Number::Float(*b)),
        (Value::Number(a), Scalar::Number(b)) => a.compare(Number::Text(b.as_str())),
        (Value::Text(a), Scalar::Text(b)) => Some(a.compare(b)),
        _ => None,
    }
}
