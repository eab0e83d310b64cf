//! Reads and writes JSON: limits nesting before parsing, and writes values in standard form.

use crate::strict;
use jaq_json::{Num, Val};
use mosaik_wasm_sdk::{Error, Result, bail, ensure};
use std::io::Write as _;

/// The maximum nesting of arrays and objects. More than anyone writes by hand, and far from exhausting the stack.
pub(crate) const DEPTH_MAX: usize = 256;

/// Parses a record.
pub(crate) fn parse(datum: &[u8]) -> Result<Val> {
    // A shorter text cannot nest deeper.
    if datum.len() > DEPTH_MAX {
        ensure!(
            depth(datum) <= DEPTH_MAX,
            "arrays and objects nested more than {DEPTH_MAX} deep"
        );
    }
    strict::parse(datum)
}

/// Returns the nesting depth of arrays and objects.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => {
                            bytes.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

/// Appends a value.
///
/// # Errors
/// Fails for values without a JSON form: bytes, or an object whose keys are not strings.
pub(crate) fn write(value: &Val, to: &mut Vec<u8>) -> Result<()> {
    write_within(value, DEPTH_MAX, to)
}

fn write_within(value: &Val, depth: usize, to: &mut Vec<u8>) -> Result<()> {
    match value {
        Val::Null => to.extend_from_slice(b"null"),
        Val::Bool(true) => to.extend_from_slice(b"true"),
        Val::Bool(false) => to.extend_from_slice(b"false"),
        Val::Num(number) => write_number(number, to),
        Val::TStr(text) => write_text(text, to),
        Val::BStr(_) => bail!("a byte string has no JSON form"),
        Val::Arr(values) => {
            let depth = deeper(depth)?;
            to.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                write_within(value, depth, to)?;
            }
            to.push(b']');
        }
        Val::Obj(members) => {
            let depth = deeper(depth)?;
            to.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    to.push(b',');
                }
                let Val::TStr(key) = key else {
                    bail!("an object with the key {key} has no JSON form");
                };
                write_text(key, to);
                to.push(b':');
                write_within(value, depth, to)?;
            }
            to.push(b'}');
        }
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<usize> {
    depth.checked_sub(1).ok_or_else(|| {
        Error::new(format_args!(
            "arrays and objects nested more than {DEPTH_MAX} deep"
        ))
    })
}

/// Writes numbers as jq does: integers exactly, decimals unchanged, NaN as null, infinities as the largest number.
fn write_number(number: &Num, to: &mut Vec<u8>) {
    let written = match number {
        Num::Int(integer) => write!(to, "{integer}"),
        Num::BigInt(integer) => write!(to, "{integer}"),
        Num::Dec(decimal) => to.write_all(decimal.strip_prefix('+').unwrap_or(decimal).as_bytes()),
        Num::Float(float) if float.is_nan() => to.write_all(b"null"),
        Num::Float(float) => {
            serde_json::to_writer(to, &float.clamp(f64::MIN, f64::MAX)).map_err(Into::into)
        }
    };
    written.expect("writing into memory does not fail");
}

/// Writes text. Invalid UTF-8 is replaced.
fn write_text(text: &[u8], to: &mut Vec<u8>) {
    let written = match std::str::from_utf8(text) {
        Ok(text) => serde_json::to_writer(to, text),
        Err(_) => serde_json::to_writer(to, &String::from_utf8_lossy(text)),
    };
    written.expect("a text is written into memory");
}
