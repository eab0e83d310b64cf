//! Parses JSON and numbers by RFC 8259, of which jaq accepts a superset.

use jaq_json::{Num, Val, read};
use mosaik_wasm_sdk::{Error, Result, ensure};
use serde::de::IgnoredAny;

/// Parses one JSON value and nothing else.
///
/// # Errors
/// Returns the reason for which it is not JSON.
pub(crate) fn parse(json: &[u8]) -> Result<Val> {
    let not_json = |reason: &dyn std::fmt::Display| Error::new(format_args!("not JSON: {reason}"));
    std::str::from_utf8(json).map_err(|error| not_json(&error))?;
    serde_json::from_slice::<IgnoredAny>(json).map_err(|error| not_json(&error))?;
    read::parse_single(json).map_err(|error| not_json(&error))
}

/// Parses a number and nothing else. As in jq, also accepts a plus sign, leading zeros, and a decimal point without a
/// digit on one of its sides.
pub(crate) fn number(text: &[u8]) -> Result<Val> {
    let wrong = || {
        let text = String::from_utf8_lossy(text);
        Error::new(format_args!(
            "string ({text:?}) cannot be parsed as a number"
        ))
    };
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    ensure!(
        digits.starts_with(|c: char| c.is_ascii_digit() || c == '.'),
        "{}",
        wrong()
    );
    // Rust's parser accepts the same forms, except for names.
    let float: f64 = text.parse().map_err(|_| wrong())?;
    let integer = Num::from_str_radix(text, 10);
    Ok(Val::Num(integer.unwrap_or(Num::Float(float))))
}
