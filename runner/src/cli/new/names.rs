//! The allowed names of new operators and pipelines. NAME on the command line is a path whose last part is the name.

use std::path::{Path, PathBuf};

/// Maximum length of a name: 64 bytes, as in a manifest.
const NAME_BYTES_MAX: usize = 64;

const RULE: &str =
    "a name has 1 to 64 lowercase letters, digits, `-` or `_`, of which the first is a letter";

/// Names that conflict with crates that every operator is built with.
const CRATES: &[&str] = &[
    "alloc",
    "core",
    "mosaik_wasm_sdk",
    "proc_macro",
    "serde",
    "std",
    "test",
];

const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// A path whose last part is a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The path as given.
    pub(super) path: PathBuf,
    /// The last part of the path.
    pub(super) name: String,
}

impl Named {
    /// Parses the path of an operator, whose name is also the name of a crate.
    ///
    /// # Errors
    /// Returns the problem with the name, and a valid one as a suggestion.
    pub(super) fn operator(text: &str) -> Result<Self, String> {
        let named = Self::pipeline(text)?;
        let module = named.module();
        let taken = if KEYWORDS.contains(&module.as_str()) {
            "a word of the Rust language"
        } else if CRATES.contains(&module.as_str()) {
            "a crate that operators are built with"
        } else {
            return Ok(named);
        };
        let name = named.name;
        Err(format!("`{name}` is {taken}; try `{name}-operator`"))
    }

    /// Parses the path of a pipeline, whose name becomes a file name.
    ///
    /// # Errors
    /// Returns the problem with the name, and a valid one as a suggestion.
    pub(super) fn pipeline(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("it contains no name; {RULE}"))?;
        if is_name(name) {
            return Ok(Self {
                path: path.to_owned(),
                name: name.to_owned(),
            });
        }
        match close_to(name) {
            Some(close) => Err(format!("{RULE}; try `{close}`")),
            None => Err(RULE.to_owned()),
        }
    }

    /// Returns the name as a Rust identifier.
    pub(super) fn module(&self) -> String {
        self.name.replace('-', "_")
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

/// Returns the name that was probably meant.
fn close_to(text: &str) -> Option<String> {
    let text = text.strip_suffix(".yaml").unwrap_or(text);
    let close: String = text
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' => c,
            _ => '-',
        })
        .collect();
    let close = close.trim_matches('-');
    is_name(close).then(|| close.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_path_is_the_name() {
        let named = Named::operator("operators/price-spread2/").unwrap();
        assert_eq!(named.name, "price-spread2");
        assert_eq!(named.module(), "price_spread2");
        assert_eq!(named.path, Path::new("operators/price-spread2/"));
        assert!(Named::operator(&"a".repeat(64)).is_ok());
    }

    #[test]
    fn an_invalid_name_is_refused_with_a_suggestion() {
        for (text, close) in [
            ("Spread", Some("spread")),
            ("price spread", Some("price-spread")),
            ("hello.yaml", Some("hello")),
            ("übung", Some("bung")),
            ("2fast", None),
            ("_x", None),
            ("", None),
            ("..", None),
            ("/", None),
            ("a\nb", Some("a-b")),
            (&"a".repeat(65), None),
        ] {
            let refused = Named::pipeline(text).unwrap_err();
            assert!(refused.contains(RULE), "{text}: {refused}");
            assert_eq!(
                refused.split_once("; try `").map(|(_, close)| close),
                close.map(|close| format!("{close}`")).as_deref(),
                "{text}"
            );
        }
    }

    #[test]
    fn reserved_names_of_operators_are_refused() {
        for name in ["match", "self", "serde", "mosaik-wasm-sdk", "proc_macro"] {
            let refused = Named::operator(name).unwrap_err();
            assert!(refused.contains(&format!("try `{name}-operator`")));
            assert!(Named::operator(&format!("{name}-operator")).is_ok());
            assert!(Named::pipeline(name).is_ok(), "{name}");
        }
    }
}
