//! Takes valid JSON apart without parsing the parts.
//!
//! A typed reader of serde_json takes 20 KB of code in a component, since it parses numbers to report them. Invalid JSON
//! gives wrong parts, but no panic.

/// Returns the values of a list, or `None` if the text is not a list.
pub(super) fn items(text: &str) -> Option<Vec<&str>> {
    let mut rest = inner(text, '[', ']')?;
    let mut items = Vec::new();
    while !rest.is_empty() {
        items.push(next_value(&mut rest));
    }
    Some(items)
}

/// Returns the members of a mapping, or `None` if the text is not a mapping.
pub(super) fn members(text: &str) -> Option<Vec<(String, &str)>> {
    let mut rest = inner(text, '{', '}')?;
    let mut members = Vec::new();
    while !rest.is_empty() {
        let name = string(next_value(&mut rest))?;
        members.push((name, next_value(&mut rest)));
    }
    Some(members)
}

/// Returns the text between two brackets.
fn inner(text: &str, open: char, close: char) -> Option<&str> {
    let inner = text.trim().strip_prefix(open)?.strip_suffix(close)?;
    Some(inner.trim())
}

/// Removes a value, or a name, with the comma or colon behind it.
fn next_value<'a>(rest: &mut &'a str) -> &'a str {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    let end = rest.bytes().position(|byte| {
        if is_string {
            is_string = is_escaped || byte != b'"';
            is_escaped = byte == b'\\' && !is_escaped;
            return false;
        }
        match byte {
            b'"' => is_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' => return depth == 0,
            _ => {}
        }
        false
    });
    let (value, behind) = end
        .and_then(|end| rest.split_at_checked(end))
        .unwrap_or((rest, ""));
    *rest = behind.get(1..).unwrap_or_default().trim_start();
    value.trim()
}

/// Returns the text of a JSON string, or `None` if it is not a string.
#[inline(never)]
pub(super) fn string(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut string = String::with_capacity(rest.len());
    while let Some((before, escaped)) = rest.split_once('\\') {
        string.push_str(before);
        let mut behind = escaped.chars();
        string.push(match behind.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, len) = code_point(escaped)?;
                behind = escaped.get(len..)?.chars();
                character
            }
            other => other,
        });
        rest = behind.as_str();
    }
    string.push_str(rest);
    Some(string)
}

/// Returns the character of `uXXXX` or `uXXXX\uXXXX`, and the length of the escape.
fn code_point(escaped: &str) -> Option<(char, usize)> {
    let unit = |from: usize| u16::from_str_radix(escaped.get(from..from + 4)?, 16).ok();
    let first = unit(1)?;
    let pair = (escaped.get(5..7) == Some("\\u"))
        .then(|| unit(7))
        .flatten();
    let units = [first, pair.unwrap_or_default()];
    let len = if (0xd800..0xdc00).contains(&first) {
        11
    } else {
        5
    };
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((character, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn value() -> impl Strategy<Value = Value> {
        let text = || "[\\PC\"\\\\{}\\[\\],:\n\t\u{1}\u{1f600}]{0,6}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(text(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    proptest! {
        #[test]
        fn the_parts_are_those_of_serde_json(value in value(), is_pretty: bool) {
            let text = if is_pretty { format!("{value:#}") } else { value.to_string() };
            let list = items(&text).map(|items| items.into_iter().map(parse).collect::<Vec<_>>());
            prop_assert_eq!(list.as_ref(), value.as_array());
            let mapping = members(&text)
                .map(|members| members.into_iter().map(|(name, value)| (name, parse(value))).collect());
            prop_assert_eq!(mapping.as_ref(), value.as_object());
            let text = string(&text);
            prop_assert_eq!(text.as_deref(), value.as_str());
        }

        #[test]
        fn other_text_does_not_panic(text in "[\\[\\]{}:,\"\\\\u0-9a-fé]{0,20}") {
            let _ = (items(&text), members(&text), string(&text));
        }
    }

    #[test]
    fn escapes_are_resolved() {
        for text in [
            r#""a\"b\\c\/d\b\f\n\r\t""#,
            r#""\u00e9\u20ac x""#,
            r#""\ud83d\ude00!""#,
            r#""""#,
        ] {
            assert_eq!(json!(string(text)), parse(text), "{text}");
        }
        for text in [r#""\ud83d""#, r#""\ud83dx""#, r#""\u12""#, r#""\"#, "7", ""] {
            assert_eq!(string(text), None, "{text}");
        }
    }
}
