//! Masks secrets in messages: values from the environment and from files.

/// The replacement for a secret in a message.
const MASK: &str = "***";
/// Minimum size of a secret, in bytes: 4. Masking shorter values would only garble messages.
const SECRET_BYTES_MIN: usize = 4;
/// Minimum size of a line of a longer value that is masked on its own, in bytes: 8.
const LINE_BYTES_MIN: usize = 8;

/// Returns the texts to mask for these values, longest first: each value of at least 4 bytes, both
/// verbatim and in its JSON form, and each of its lines.
pub(crate) fn secrets(values: &[String]) -> Vec<String> {
    let mut secrets = Vec::new();
    for value in values {
        // With the surrounding spaces, the value may reach the minimum size.
        let (whole, value) = (value.as_str(), value.trim());
        if value.is_empty() {
            continue;
        }
        let lines = value.lines().map(str::trim);
        let lines = lines.filter(|line| line.len() >= LINE_BYTES_MIN);
        for text in [whole, value].into_iter().chain(lines) {
            if text.len() < SECRET_BYTES_MIN {
                continue;
            }
            let json = serde_json::Value::from(text).to_string();
            secrets.push(json[1..json.len() - 1].to_owned());
            secrets.push(text.to_owned());
        }
    }
    secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    secrets.dedup();
    secrets
}

/// Returns `text` with `***` in place of each secret.
pub(crate) fn mask(text: String, secrets: &[String]) -> String {
    let hide = |text: String, secret: &String| {
        if text.contains(secret.as_str()) {
            text.replace(secret.as_str(), MASK)
        } else {
            text
        }
    };
    secrets.iter().fold(text, hide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_contains_no_part_of_a_secret() {
        let values = [
            "hunter2",
            "key",
            "say \"please\"",
            "hunter2-and-more",
            "first line\n second",
            "  pad  ",
            "     ",
        ];
        let secrets = secrets(&values.map(str::to_owned));
        for (message, shown) in [
            ("no field `hunter2`", "no field `***`"),
            ("hunter2-and-more", "***"),
            ("a key", "a key"),
            ("say \"please\"", "***"),
            (r#"{"a":"say \"please\""}"#, r#"{"a":"***"}"#),
            ("line 1: first line", "line 1: ***"),
            ("`  pad  `, pad", "`***`, pad"),
            ("a     b", "a     b"),
        ] {
            assert_eq!(mask(message.to_owned(), &secrets), shown);
        }
    }
}
