//! JSON helpers for cutting: writing a string, and recognising numbers and booleans. No I/O.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

/// Appends `text` as a JSON string, including the quotes.
pub(in crate::connector) fn write_string(out: &mut BytesMut, text: &str) {
    // A fold without an early exit is vectorised, and most texts contain nothing to escape.
    let escapes = text.bytes().fold(0, |escapes, byte| {
        escapes | u8::from(byte < 0x20 || byte == b'"' || byte == b'\\')
    });
    if escapes == 0 {
        out.reserve(text.len() + 2);
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    } else {
        serde_json::to_writer(out.writer(), text).expect("a text written to memory meets no error");
    }
}

/// Returns whether `text` is a valid JSON number that 64-bit readers represent without loss.
///
/// It must follow the grammar of JSON, so `007`, `+1`, `.5`, `1.` and `0x1f` are text. An integer must fit in 64 bits:
/// a longer sequence of digits is an identifier whose last digits a reader would lose. A number with a fraction or
/// exponent must be finite as `f64`.
pub(in crate::connector) fn is_number(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned[0] == b'0') {
        return false;
    }
    let mut rest = &unsigned[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = &fraction[len..];
    }
    let has_exponent = matches!(rest.first(), Some(b'e' | b'E'));
    if has_exponent {
        let exponent = &rest[1..];
        let exponent = exponent
            .strip_prefix(b"+")
            .or_else(|| exponent.strip_prefix(b"-"))
            .unwrap_or(exponent);
        let len = digits(exponent);
        if len == 0 {
            return false;
        }
        rest = &exponent[len..];
    }
    if !rest.is_empty() {
        return false;
    }
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    if whole == unsigned.len() {
        // Numbers of at most 18 digits always fit.
        whole <= 18 || text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()
    } else {
        // Numbers of at most 300 digits before the decimal point are below `f64::MAX`.
        (!has_exponent && whole <= 300) || text.parse::<f64>().is_ok_and(f64::is_finite)
    }
}

/// Returns the JSON number that `text` means: digits as they are, without a leading `+`, leading zeros and surrounding
/// spaces, and with a digit on both sides of a decimal point. `None` if it is not a number, or if 64 bits do not hold it.
pub(in crate::connector) fn as_number(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = text.trim_ascii();
    if is_number(text) {
        return Some(Cow::Borrowed(text));
    }
    let (sign, unsigned) = match text {
        [b'-', unsigned @ ..] => (&text[..1], unsigned),
        [b'+', unsigned @ ..] => (&text[..0], unsigned),
        unsigned => (&text[..0], unsigned),
    };
    let whole = unsigned.iter().take_while(|byte| byte.is_ascii_digit());
    let whole = whole.count();
    let (digits, mut rest) = unsigned.split_at(whole);
    if rest == b"." && whole > 0 {
        rest = b"";
    }
    if whole == 0 && rest.first().is_none_or(|byte| *byte != b'.') {
        return None;
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = &digits[zeros.min(whole.saturating_sub(1))..];
    let digits: &[u8] = if digits.is_empty() { b"0" } else { digits };
    let number = [sign, digits, rest].concat();
    is_number(&number).then_some(Cow::Owned(number))
}

/// Returns the JSON boolean that `text` means: `true` or `1`, `false` or `0`, in any case and with surrounding spaces.
pub(in crate::connector) fn as_boolean(text: &[u8]) -> Option<Cow<'static, [u8]>> {
    let text = text.trim_ascii();
    let is = |word: &[u8], digit: &[u8]| text.eq_ignore_ascii_case(word) || text == digit;
    if is(b"true", b"1") {
        Some(Cow::Borrowed(b"true"))
    } else if is(b"false", b"0") {
        Some(Cow::Borrowed(b"false"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_texts_that_are_also_json_numbers() {
        for number in [
            "0",
            "-0",
            "7",
            "39.81",
            "-1.50",
            "1e5",
            "1E-7",
            "2.5e+3",
            "18446744073709551615",
            "-9223372036854775808",
        ] {
            assert!(is_number(number.as_bytes()), "{number}");
        }
        let texts = [
            "",
            "-",
            "007",
            "00",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "0x1f",
            "1,5",
            " 1",
            "1 ",
            "NaN",
            "inf",
            "true",
            "1e999",
            "18446744073709551616",
            "-9223372036854775809",
            "4929184756473829102938",
            "1.2.3",
            "12-3",
        ];
        for text in texts {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_set_type_reads_values_that_json_writes_differently() {
        for (text, number) in [
            ("1.50", "1.50"),
            ("007", "7"),
            ("000", "0"),
            ("-00.5", "-0.5"),
            ("+12", "12"),
            (".5", "0.5"),
            ("-.5", "-0.5"),
            ("3.", "3"),
            (" 8 ", "8"),
            ("01e3", "1e3"),
        ] {
            let read = as_number(text.as_bytes()).unwrap();
            assert_eq!(read, number.as_bytes(), "{text}");
        }
        for text in [
            "",
            ".",
            "-",
            "+",
            "n/a",
            "1,5",
            "1 2",
            "--1",
            "+-1",
            "1.2.3",
            "e5",
            "0x1f",
            "4929184756473829102938",
        ] {
            assert_eq!(as_number(text.as_bytes()), None, "{text}");
        }
        for (text, boolean) in [
            ("true", "true"),
            ("FALSE", "false"),
            (" 1", "true"),
            ("0", "false"),
        ] {
            let read = as_boolean(text.as_bytes()).unwrap();
            assert_eq!(read, boolean.as_bytes(), "{text}");
        }
        for text in ["", "yes", "2", "tru"] {
            assert_eq!(as_boolean(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_recognised_number_is_parsed_by_serde_json(text in "[-+0-9.eE]{1,24}") {
            let read = serde_json::from_str::<serde_json::Number>(&text);
            if is_number(text.as_bytes()) {
                prop_assert!(read.is_ok());
            } else if let Ok(number) = read {
                // The only JSON numbers refused are integers beyond 64 bits, which `serde_json` represents as
                // floating-point numbers.
                prop_assert!(number.is_f64() && !text.contains(['.', 'e', 'E']), "{}", text);
            }
        }

        #[test]
        fn any_text_round_trips(text in any::<String>()) {
            let mut out = BytesMut::new();
            write_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
