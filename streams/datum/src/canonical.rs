//! A canonical form of JSON values, in which equal values have equal bytes. Used to build keys.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::number::write_canonical;

/// The maximum nesting of lists and objects: 127, as in serde_json.
const MAX_DEPTH: usize = 127;

/// The value has no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// Lists and objects nest too deep.
    #[error("lists and objects nest more than 127 deep")]
    TooDeep,
    /// A number has too long an exponent.
    #[error("a number has an exponent of more than 18 digits")]
    Exponent,
    /// A text has half of a surrogate pair.
    #[error("a text has a lone surrogate, an escape like \\ud800 that is half of a character")]
    Surrogate,
}

/// Appends the canonical form of a value: without whitespace, numbers in canonical form, text with as few escapes as
/// possible, and the members of an object sorted by name, the last of each name only.
///
/// # Errors
/// Fails if lists and objects are nested more than 127 deep, a number has an exponent of more than 18 digits, or a text
/// has a lone surrogate.
pub fn write(value: &RawValue, to: &mut Vec<u8>) -> Result<(), NotCanonical> {
    write_within(value, MAX_DEPTH, to)
}

/// Like [`write()`], for a value that is neither a list nor an object.
///
/// # Errors
/// Fails for a number with an exponent of more than 18 digits, and for a text with a lone surrogate.
pub fn write_scalar(value: &RawValue, to: &mut Vec<u8>) -> Result<(), NotCanonical> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => {
            write_canonical(text, to).map_err(|_| NotCanonical::Exponent)?;
        }
        Some(b'"') if text.contains('\\') => {
            let unescaped: String = read(text)?;
            serde_json::to_writer(to, &unescaped).map_err(|_| NotCanonical::Surrogate)?;
        }
        _ => to.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

fn write_within(value: &RawValue, depth: usize, to: &mut Vec<u8>) -> Result<(), NotCanonical> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'[') => {
            let depth = depth.checked_sub(1).ok_or(NotCanonical::TooDeep)?;
            let items: Vec<&RawValue> = read(text)?;
            to.push(b'[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                write_within(item, depth, to)?;
            }
            to.push(b']');
        }
        Some(b'{') => {
            let depth = depth.checked_sub(1).ok_or(NotCanonical::TooDeep)?;
            let members: BTreeMap<String, &RawValue> = read(text)?;
            to.push(b'{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                serde_json::to_writer(&mut *to, &name).map_err(|_| NotCanonical::Surrogate)?;
                to.push(b':');
                write_within(member, depth, to)?;
            }
            to.push(b'}');
        }
        _ => write_scalar(value, to)?,
    }
    Ok(())
}

/// Reads JSON that is valid except for lone surrogates, which are detected here. Uses `from_slice`, like all operators: a
/// second reader of serde_json would double that code in a component.
fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, NotCanonical> {
    serde_json::from_slice(text.as_bytes()).map_err(|_| NotCanonical::Surrogate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Result<String, NotCanonical> {
        let mut to = Vec::new();
        write(serde_json::from_str(text).unwrap(), &mut to)?;
        Ok(String::from_utf8(to).unwrap())
    }

    #[test]
    fn equal_values_have_equal_bytes() {
        for (text, expected) in [
            (r#""x\u0079\/""#, r#""xy/""#),
            ("1.10", "1.1"),
            (
                r#"{ "b" : [1e2, -0.0, null], "a": {"\u0062": 1, "b": 2.0} }"#,
                r#"{"a":{"b":2},"b":[100,0,null]}"#,
            ),
            ("100000000000000000001", "100000000000000000001"),
            ("[]", "[]"),
            ("{}", "{}"),
            ("true", "true"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_canonical_form_says_why() {
        for (text, reason) in [
            (r#""\ud800""#, "lone surrogate"),
            (r#"{"\udc00x":1}"#, "lone surrogate"),
            ("1e1234567890123456789", "exponent"),
        ] {
            let error = canonical(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert_eq!(canonical(r#""\ud83d\ude00""#).unwrap(), "\"😀\"");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(canonical(&deep(127)), Ok(deep(127)));
        assert_eq!(canonical(&deep(128)), Err(NotCanonical::TooDeep));
        assert_eq!(canonical(&deep(10_000)), Err(NotCanonical::TooDeep));
    }
}
