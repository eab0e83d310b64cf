//! Substitution of `${env:NAME}`, `${env:NAME:-default}`, `${file:PATH}` and the literal `$${` within one scalar.
//!
//! It is done after parsing, so a substituted value cannot introduce YAML syntax.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{files, machine::Shortage};

/// Maximum size of a file that `${file:…}` reads: 64 KiB.
pub const MAX_SUBSTITUTED_BYTES: usize = 64 << 10;

/// The variables available to `${env:NAME}`.
pub trait Environment {
    /// Returns the value of a variable, if it is set and valid text.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// A custom environment, for tests.
impl Environment for std::collections::BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// A scalar after substitution.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Substituted {
    pub(super) text: String,
    /// The substituted texts, in order.
    pub(super) put_in: Vec<String>,
}

/// An invalid substitution: the affected text, the error, and a hint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) piece: String,
    pub(super) message: String,
    pub(super) label: String,
    pub(super) help: Option<String>,
}

/// Substitutes in `text`. Adds every file that it tries to read to `files`, so that the file can be watched.
pub(super) fn substitute(
    text: &str,
    env: &dyn Environment,
    base: &Path,
    files: &mut Vec<PathBuf>,
) -> Result<Substituted, Mistake> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut put_in) = (text, Vec::new());
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start - 1]);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        let Some(length) = rest[start..].find('}') else {
            return Err(Mistake {
                piece: rest[start..].to_owned(),
                message: "unclosed substitution".to_owned(),
                label: "expected `}`".to_owned(),
                help: Some("for a literal `${` write `$${`".to_owned()),
            });
        };
        let piece = &rest[start..=start + length];
        let value = value(piece, env, base, files)?;
        out.push_str(&value);
        put_in.push(value);
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    Ok(Substituted { text: out, put_in })
}

fn value(
    piece: &str,
    env: &dyn Environment,
    base: &Path,
    files: &mut Vec<PathBuf>,
) -> Result<String, Mistake> {
    let inner = &piece[2..piece.len() - 1];
    let mistake = |message: String, label: &str, help: Option<&str>| Mistake {
        piece: piece.to_owned(),
        message,
        label: label.to_owned(),
        help: help.map(str::to_owned),
    };
    match inner.split_once(':') {
        Some(("env", name)) => {
            let (name, default) = match name.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (name, None),
            };
            if name.is_empty() || name.contains(['=', '\0']) {
                let help = Some("write it like `${env:NAME}` or `${env:NAME:-default}`");
                return Err(mistake(
                    "not a name of an environment variable".to_owned(),
                    "expected a name",
                    help,
                ));
            }
            // As in a shell, `:-` applies to unset and to empty variables.
            match (env.var(name), default) {
                (Some(value), None) => Ok(value),
                (Some(value), Some(_)) if !value.is_empty() => Ok(value),
                (_, Some(default)) => Ok(default.to_owned()),
                (None, None) => Err(Mistake {
                    help: Some(format!(
                        "set {name}, or give a default: `${{env:{name}:-…}}`"
                    )),
                    ..mistake(
                        format!("the environment variable `{name}` is not set"),
                        "no value",
                        None,
                    )
                }),
            }
        }
        Some(("file", path)) if !path.is_empty() => {
            let path = base.join(path);
            files.push(path.clone());
            read(&path).map_err(|error| {
                mistake(
                    format!("`${{file:…}}` cannot be read: {error}"),
                    "no value",
                    None,
                )
            })
        }
        Some(("file", _)) => {
            let help = Some("write it like `${file:/run/secrets/key}`");
            Err(mistake(
                "`${file:…}` names no file".to_owned(),
                "expected a path",
                help,
            ))
        }
        _ => {
            let help = Some("for a literal `${` write `$${`");
            Err(mistake(
                "not a substitution".to_owned(),
                "expected `${env:NAME}` or `${file:PATH}`",
                help,
            ))
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    let contents =
        files::read(path, MAX_SUBSTITUTED_BYTES as u64).map_err(|error| io_reason(&error))?;
    if contents.length > MAX_SUBSTITUTED_BYTES as u64 {
        return Err(format!(
            "it is larger than {} KiB",
            MAX_SUBSTITUTED_BYTES >> 10
        ));
    }
    let mut text =
        String::from_utf8(contents.bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Returns the reason that a file cannot be read, in words that are the same on every system.
pub(crate) fn io_reason(error: &io::Error) -> String {
    if let Some(shortage) = Shortage::of(error) {
        return shortage.to_string();
    }
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::NotADirectory => "a part of its path is not a folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn run(text: &str) -> Result<Substituted, Mistake> {
        let env = BTreeMap::from([
            ("A".to_owned(), "1".to_owned()),
            ("EMPTY".to_owned(), String::new()),
        ]);
        substitute(text, &env, Path::new("/nowhere"), &mut Vec::new())
    }

    #[test]
    fn values_are_substituted() {
        let cases = [
            ("plain", "plain", false),
            ("${env:A}", "1", true),
            ("x${env:A}y${env:A}", "x1y1", true),
            ("${env:B:-two}", "two", true),
            ("${env:B:-}", "", true),
            ("${env:EMPTY:-full}", "full", true),
            ("${env:EMPTY}", "", true),
            ("${env:A:-two}", "1", true),
            ("$${env:A}", "${env:A}", false),
            ("$$${env:A}", "$${env:A}", false),
            ("a $ b", "a $ b", false),
            ("${env:B:-a:b}", "a:b", true),
        ];
        for (text, expected, secret) in cases {
            let done = run(text).unwrap();
            assert_eq!(
                (&*done.text, !done.put_in.is_empty()),
                (expected, secret),
                "{text}"
            );
        }
        assert_eq!(run("x${env:A}y${env:B:-two}").unwrap().put_in, ["1", "two"]);
    }

    #[test]
    fn invalid_substitutions_are_refused() {
        for text in [
            "${env:B}",
            "${env:",
            "${}",
            "${A}",
            "${env:}",
            "${file:}",
            "${file:x}",
            "${vault:x}",
        ] {
            assert!(run(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_lose_one_newline_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let env = BTreeMap::new();
        let mut files = Vec::new();
        std::fs::write(folder.path().join("key"), "secret\n\n").unwrap();
        let found = substitute("${file:key}", &env, folder.path(), &mut files).unwrap();
        assert_eq!(found.text, "secret\n");
        assert_eq!(files, [folder.path().join("key")]);
        std::fs::write(
            folder.path().join("big"),
            vec![b'a'; MAX_SUBSTITUTED_BYTES + 1],
        )
        .unwrap();
        let mistake = substitute("${file:big}", &env, folder.path(), &mut files).unwrap_err();
        assert!(
            mistake.message.contains("larger than 64 KiB"),
            "{mistake:?}"
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "[$\\{\\}:a-zé-]{0,40}") {
            let _ = run(&text);
        }
    }
}
