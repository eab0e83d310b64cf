//! The output: both records, or their merged fields.

use crate::config::{Output, SIDES};
use mosaik_operator_common::members::members;
use mosaik_wasm_sdk::Result;
use std::borrow::Cow;
use std::collections::HashSet;

/// Writes the left and right records, one of which may be missing. Returns the number of fields omitted because of
/// equal names.
pub(crate) fn write(
    output: Output,
    prefixes: [&str; 2],
    records: [Option<&[u8]>; 2],
    to: &mut Vec<u8>,
) -> Result<u64> {
    match output {
        Output::Pair => {
            pair(records, to);
            Ok(0)
        }
        Output::Merged => merged(prefixes, records, to),
    }
}

fn pair(records: [Option<&[u8]>; 2], to: &mut Vec<u8>) {
    for (index, (side, datum)) in SIDES.iter().zip(records).enumerate() {
        to.extend_from_slice(if index == 0 { b"{\"" } else { b",\"" });
        to.extend_from_slice(side.as_bytes());
        to.extend_from_slice(b"\":");
        to.extend_from_slice(datum.unwrap_or(b"null").trim_ascii());
    }
    to.push(b'}');
}

fn merged(prefixes: [&str; 2], records: [Option<&[u8]>; 2], to: &mut Vec<u8>) -> Result<u64> {
    let mut names = HashSet::new();
    let mut clashes = 0;
    to.push(b'{');
    for (prefix, datum) in prefixes.iter().zip(records) {
        let Some(datum) = datum else { continue };
        for (name, value) in members(datum)? {
            let name = if prefix.is_empty() {
                name
            } else {
                Cow::Owned(format!("{prefix}{name}"))
            };
            if names.contains(&name) {
                clashes += 1;
                continue;
            }
            if !names.is_empty() {
                to.push(b',');
            }
            serde_json::to_writer(&mut *to, &name)?;
            to.push(b':');
            to.extend_from_slice(value.get().as_bytes());
            names.insert(name);
        }
    }
    to.push(b'}');
    Ok(clashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(output: Output, left: Option<&str>, right: Option<&str>) -> (String, u64) {
        let mut to = Vec::new();
        let records = [left.map(str::as_bytes), right.map(str::as_bytes)];
        let clashes = write(output, ["", "right_"], records, &mut to).unwrap();
        (String::from_utf8(to).unwrap(), clashes)
    }

    #[test]
    fn pairs() {
        let both = written(Output::Pair, Some(" {\"a\": 1}\n"), Some("{}"));
        assert_eq!(both, (r#"{"left":{"a": 1},"right":{}}"#.into(), 0));
        let alone = written(Output::Pair, None, Some("{}"));
        assert_eq!(alone, (r#"{"left":null,"right":{}}"#.into(), 0));
    }

    #[test]
    fn fields_of_both() {
        let both = written(
            Output::Merged,
            Some(r#"{"k":1,"\u0061":{"x":[1]}}"#),
            Some(r#"{"k":1,"b\"":"\u0062"}"#),
        );
        assert_eq!(
            both,
            (
                r#"{"k":1,"a":{"x":[1]},"right_k":1,"right_b\"":"\u0062"}"#.into(),
                0
            )
        );
        let alone = written(Output::Merged, None, Some(r#"{"k":1}"#));
        assert_eq!(alone, (r#"{"right_k":1}"#.into(), 0));
        let clash = written(
            Output::Merged,
            Some(r#"{"right_k":1,"k":2}"#),
            Some(r#"{"k":3}"#),
        );
        assert_eq!(clash, (r#"{"right_k":1,"k":2}"#.into(), 1));
        assert_eq!(written(Output::Merged, Some("{}"), Some("{}")).0, "{}");
    }
}
