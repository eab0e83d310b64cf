//! Dotted paths to fields, such as `user.id`. A backslash escapes a dot within a name, `http\.status`, and another
//! backslash.

use std::{borrow::Cow, ops::Range};

/// Returns the names of a path, each with its range in the text.
pub fn parts(dotted: &str) -> impl Iterator<Item = (Range<usize>, Cow<'_, str>)> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let rest = &dotted[start..];
        let len = name_len(rest);
        next = (len < rest.len()).then_some(start + len + 1);
        Some((start..start + len, name(&rest[..len])))
    })
}

/// Returns the names of a path.
pub fn names(dotted: &str) -> Vec<String> {
    parts(dotted).map(|(_, name)| name.into_owned()).collect()
}

/// Formats names as a path from which [`names`] returns them.
pub fn dotted<S: AsRef<str>>(names: &[S]) -> String {
    let mut written = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            written.push('.');
        }
        for c in name.as_ref().chars() {
            if matches!(c, '.' | '\\') {
                written.push('\\');
            }
            written.push(c);
        }
    }
    written
}

/// Returns the length of the first name.
fn name_len(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'.' => return at,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    text.len()
}

fn name(written: &str) -> Cow<'_, str> {
    if !written.contains('\\') {
        return Cow::Borrowed(written);
    }
    let mut name = String::new();
    let mut chars = written.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.next_if(|next| c == '\\' && matches!(next, '.' | '\\'));
        name.push(next.unwrap_or(c));
    }
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dot_can_belong_to_a_name() {
        for (text, expected) in [
            ("price", &["price"][..]),
            ("user.id", &["user", "id"]),
            (r"http\.status", &["http.status"]),
            (r"a.b\.c.d", &["a", "b.c", "d"]),
            (r"a\\.b", &[r"a\", "b"]),
            (r"a\b", &[r"a\b"]),
            (r"a\", &[r"a\"]),
            ("", &[""]),
            (".", &["", ""]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
        let places: Vec<_> = parts(r"a\.b.é.c").map(|(place, _)| place).collect();
        assert_eq!(places, [0..4, 5..7, 8..9]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(written in prop::collection::vec(r"[a\\.é]{0,5}", 1..5)) {
            prop_assert_eq!(names(&dotted(&written)), written);
        }

        #[test]
        fn no_text_panics(text in r"[a\\.é]{0,8}") {
            prop_assert_eq!(names(&dotted(&names(&text))), names(&text));
        }
    }
}
