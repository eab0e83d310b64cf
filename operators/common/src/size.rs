//! [`Size`]: a configured number of bytes, such as `16MiB`.

use mosaik_wasm_sdk::{Amount, Mistakes, OperatorConfig, Shape};

/// A number of bytes, written as in a manifest: `64KiB`, `16MiB`, `1GiB`, `4096B` or `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub usize);

impl Size {
    /// Parses a size. Returns `None` if it is not written so, or exceeds the address space.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
        let unit_bytes: usize = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        let bytes = number.parse::<usize>().ok()?.checked_mul(unit_bytes)?;
        Some(Self(bytes))
    }
}

impl OperatorConfig for Size {
    const SHAPE: &'static Shape = &Shape::Either(&[
        &Shape::Text {
            form: "size",
            limits: r#""pattern":"^[0-9]+(B|KiB|MiB|GiB)?$""#,
        },
        &Shape::Integer { min: Some(0) },
    ]);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let size = match text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
        {
            Some(text) => Self::parse(text),
            None => Self::parse(text),
        };
        if size.is_none() {
            mistakes.add(format_args!(
                "must be a size like 64KiB, 16MiB, or a number of bytes, found {text}"
            ));
        }
        size
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Number(self.0 as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaik_wasm_sdk::parse_config;

    #[test]
    fn what_is_a_size() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            (r#""4096""#, 4096),
            (r#""100B""#, 100),
            (r#""2KiB""#, 2048),
            (r#""16MiB""#, 16 << 20),
        ] {
            assert_eq!(parse_config::<Size>(text).unwrap(), Size(bytes), "{text}");
        }
        for text in [
            "-1",
            "1.5",
            r#""""#,
            r#""MiB""#,
            r#""1.5MiB""#,
            r#""1MB""#,
            r#""-1KiB""#,
            r#""99999999999999999GiB""#,
            "null",
            "true",
        ] {
            assert!(parse_config::<Size>(text).is_err(), "{text}");
        }
        assert_eq!(
            parse_config::<Size>(r#""1MB""#).unwrap_err().reason(),
            "config: must be a size like 64KiB, 16MiB, or a number of bytes, found \"1MB\""
        );
    }
}
