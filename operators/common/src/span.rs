//! [`Span`]: a configured duration, such as `90s`.

use crate::civil::DAY_MS;
use mosaik_wasm_sdk::{Mistakes, OperatorConfig, Shape};

/// The maximum span: 1000 years. Sums of a few spans and a time stay far below the limits of 64 bits.
const SPAN_MS_MAX: i64 = 1000 * 366 * DAY_MS;

/// A duration in ms, written like `500ms`, `90s`, `15m`, `1h`, `7d` or `2w`; at most 1000 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span(pub i64);

impl Span {
    /// Parses a span. Returns `None` if it is malformed or too long.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => DAY_MS,
            "w" => 7 * DAY_MS,
            _ => return None,
        };
        let span_ms = number.parse::<i64>().ok()?.checked_mul(unit_ms)?;
        (span_ms <= SPAN_MS_MAX).then_some(Self(span_ms))
    }

    /// Returns the span as milliseconds of the host's clock.
    pub fn as_clock_ms(self) -> u64 {
        u64::try_from(self.0).unwrap_or_default()
    }
}

impl OperatorConfig for Span {
    const SHAPE: &'static Shape = &Shape::Text {
        form: "duration like `90s`",
        limits: r#""pattern":"^[0-9]+(ms|s|m|h|d|w)$""#,
    };

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let text = String::read(text, mistakes)?;
        let span = Self::parse(&text);
        if span.is_none() {
            mistakes.add(format_args!(
                "`{text}` is not a duration like 500ms, 90s, 15m, 1h, 7d"
            ));
        }
        span
    }
}

/// A [`Span`] that is greater than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Span);

impl OperatorConfig for Wait {
    const SHAPE: &'static Shape = &Shape::Text {
        form: "duration above 0 like `15m`",
        limits: r#""pattern":"^0*[1-9][0-9]*(ms|s|m|h|d|w)$""#,
    };

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let span = Span::read(text, mistakes)?;
        if span.0 == 0 {
            mistakes.add("must be greater than 0");
        }
        Some(Self(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_span() {
        for (text, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("90s", 90_000),
            ("2w", 14 * DAY_MS),
        ] {
            assert_eq!(Span::parse(text), Some(Span(ms)), "{text}");
        }
        for text in [
            "",
            "1",
            "s",
            "-1s",
            "1.5h",
            "9999999999d",
            "99999999999999999999s",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
