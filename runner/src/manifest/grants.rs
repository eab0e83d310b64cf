//! `allow`: an operator's access to resources other than its streams.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::declare::{
    Declared, Diagnostic, Diagnostics, Environment, Guarded, Kind, Located, Node, Reader, Shape,
    Source, flag, io_reason, list, nested, parse_yaml, pattern, read_located, section, text, words,
};
use crate::files;

section! {
    /// Access of an operator to resources other than its streams. It reaches exactly the named ones.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Grants: "allow" + Default {
        /// The parts of WASI that reach no resources, required by the runtimes of many languages. Every other grant
        /// implies it.
        pub wasi: bool = flag(), default(false);
        /// Names of environment variables that it sees. Each must be set.
        pub env: Vec<(String, Guarded<String>)> = list(variable()), empty("none");
        /// Hosts to which it may send HTTP requests. `example.org` is the port of `http` or `https`,
        /// `example.org:8080` that port.
        pub http: Vec<Guarded<GrantedHost>> = list(host()), empty("none");
        /// Folders that it sees: `{path: data, mode: read}`.
        pub dirs: Vec<GrantedDir> = dirs(), empty("none");
        /// Random numbers. Without them, an operator does the same with the same input.
        pub random: bool = flag(), default(false);
    }
}

section! {
    /// A folder that an operator sees, with its content.
    #[derive(Debug, Clone)]
    struct DirKeys: "allow_dir" {
        /// The folder, relative to the manifest. The operator knows it by this path. It must exist.
        path: Guarded<String> = text(), required;
        /// `write` also allows changing its content.
        mode: Mode = words(MODES), default(Mode::Read);
    }
}

/// Access to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
}

const MODES: &[(&str, Mode)] = &[("read", Mode::Read), ("write", Mode::Write)];

/// A host to which an operator may send HTTP requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedHost {
    /// A host name or an IP address, in lower case; IPv6 addresses in brackets.
    pub host: String,
    /// The only allowed port. `None` stands for 80 with `http` and 443 with `https`.
    pub port: Option<u16>,
}

/// A folder that is visible to an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedDir {
    /// The absolute path of the folder.
    pub path: Guarded<PathBuf>,
    /// The name of the folder for the operator: its path as written in the manifest.
    pub name: Guarded<String>,
    /// Whether the operator may change the contents of the folder.
    pub write: bool,
}

impl Grants {
    /// Parses a value of `allow`: `{env: [HOME], random: true}`. Folders are relative to `base`.
    ///
    /// # Errors
    /// Returns all mistakes.
    pub fn parse(text: &str, env: &dyn Environment, base: &Path) -> Result<Self, Diagnostics> {
        let source = Arc::new(Source::new("allow", text));
        let mut cx = Reader::new(&source, env, base);
        let grants = match parse_yaml(source.text(), &mut cx.found) {
            Ok(Some(root)) => (nested::<Self>().read)(&mut cx, &root, "allow").unwrap_or_default(),
            Ok(None) => Self::default(),
            Err(wrong) => {
                cx.note(wrong);
                Self::default()
            }
        };
        if cx.found.is_empty() {
            return Ok(grants);
        }
        let (found, masked) = (cx.found, cx.masked);
        Err(Diagnostics::new(source, found, masked))
    }
}

fn variable() -> Kind<(String, Guarded<String>)> {
    let shape = pattern("variable", "^[A-Za-z_][A-Za-z0-9_]*$");
    Kind::new(shape, |cx, node, what| {
        let expected = "the name of an environment variable";
        let name = cx.parse(node, what, expected, parse_variable)?;
        let Some(value) = cx.variable(&name) else {
            cx.note(
                Diagnostic::error(format!("the environment variable `{name}` is not set"))
                    .at(node.span, "not set")
                    .help("only variables that are set can be granted"),
            );
            return None;
        };
        Some((name, Guarded::new(value, true)))
    })
    .show(|(name, _)| name.clone())
}

fn parse_variable(text: &str) -> Result<String, (String, Option<String>)> {
    let mut chars = text.chars();
    let named = chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    let label = "expected letters, digits and `_`".to_owned();
    let help = (text.starts_with("${") || text.contains('='))
        .then(|| "write its name alone, like `HOME`".to_owned());
    named.then(|| text.to_owned()).ok_or((label, help))
}

fn host() -> Kind<Guarded<GrantedHost>> {
    let shape = pattern("host", r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$");
    Kind::new(shape, |cx, node, what| {
        let text = cx.text(node, what, "a host")?;
        let host = cx.parse(node, what, "a host", parse_host)?;
        Some(Guarded::new(host, text.value.is_secret()))
    })
}

fn dirs() -> Kind<Vec<GrantedDir>> {
    let shape = Shape::List(Box::new(Shape::Of(DirKeys::SECTION)));
    Kind::new(shape, |cx, node, what| {
        let mut names = Vec::new();
        cx.list(node, what, |cx, node| dir(cx, node, &mut names))
    })
}

/// Parses `example.org`, `127.0.0.1:8080` or `[::1]:8080`. An error consists of the expected content and an optional
/// hint.
fn parse_host(text: &str) -> Result<GrantedHost, (String, Option<String>)> {
    let expected = |help: Option<String>| {
        let label =
            "expected a host name or an address, optionally with a port: `example.org:8080`";
        (label.to_owned(), help)
    };
    if let Some((scheme, rest)) = text.split_once("://") {
        let port = (scheme == "https" || scheme == "http").then(|| {
            let host = rest.split('/').next().unwrap_or_default();
            format!("write the host without scheme and path: `{host}`")
        });
        return Err(expected(port));
    }
    if let Some((host, _)) = text.split_once('/') {
        let help = format!("a host is granted as a whole: `{host}`");
        return Err(expected((!host.is_empty()).then_some(help)));
    }
    if text.contains('*') {
        let help = "name every host; patterns are not supported".to_owned();
        return Err(expected(Some(help)));
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(expected(Some(format!("write it as `[{text}]`"))));
    }
    let (host, port) = match text.rsplit_once(':') {
        // For an address in brackets, a port can only follow the closing bracket.
        Some((host, port)) if !port.ends_with(']') => match port.parse() {
            // `parse` would also accept a sign and leading zeros.
            Ok(number) if port.starts_with(|c: char| ('1'..='9').contains(&c)) => {
                (host, Some(number))
            }
            _ => {
                let label = "expected a port from 1 to 65535 after the colon";
                return Err((label.to_owned(), None));
            }
        },
        _ => (text, None),
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .map(str::parse::<std::net::Ipv6Addr>);
    let good = match address {
        Some(address) => address.is_ok(),
        None => host.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        }),
    };
    if !good {
        return Err(expected(None));
    }
    Ok(GrantedHost {
        host: host.to_ascii_lowercase(),
        port,
    })
}

fn dir(cx: &mut Reader<'_>, node: &Node, names: &mut Vec<String>) -> Option<GrantedDir> {
    let Located { value, places, .. } = read_located::<DirKeys>(cx, node, "dirs")?;
    let path_span = places.value("path").unwrap_or(node.span);
    let written = value.path.as_str();
    let trimmed = written.trim_start_matches("./").trim_end_matches('/');
    let name = match (trimmed, written.starts_with('/')) {
        ("", true) => "/",
        ("", false) => ".",
        (name, _) => name,
    };
    let path = cx.path(written);
    let wrong = match files::metadata(&path) {
        Ok(found) if found.is_dir() && !written.is_empty() => None,
        Ok(_) => Some("it is not a folder".to_owned()),
        Err(error) => Some(io_reason(&error)),
    };
    if let Some(wrong) = wrong {
        cx.note(
            Diagnostic::error(format!("the folder cannot be granted: {wrong}"))
                .at(path_span, wrong)
                .help("paths are relative to the manifest"),
        );
        return None;
    }
    if names.iter().any(|known| known == name) {
        cx.note(
            Diagnostic::error("the folder is granted twice")
                .at(path_span, "granted above")
                .help("`mode: write` includes reading"),
        );
        return None;
    }
    names.push(name.to_owned());
    let secret = value.path.is_secret();
    Some(GrantedDir {
        path: Guarded::new(path, secret),
        name: Guarded::new(name.to_owned(), secret),
        write: value.mode == Mode::Write,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_is_a_name_or_address_with_an_optional_port() {
        for (text, host, port) in [
            ("example.org", "example.org", None),
            ("API.Example.org:8443", "api.example.org", Some(8443)),
            ("localhost:1", "localhost", Some(1)),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1]:80", "[2001:db8::1]", Some(80)),
            ("my_host-1", "my_host-1", None),
        ] {
            let host = host.to_owned();
            assert_eq!(parse_host(text), Ok(GrantedHost { host, port }), "{text}");
        }
        for text in [
            "",
            ".",
            ":",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:080",
            "a b",
            "a..b",
            "a.",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[a]",
            "user@host",
            "http://a",
            "https://a/b",
            "a/b",
            "/a",
            "*.a",
            "*",
            "ä.org",
            "a?b",
            "a#b",
            "a,b",
        ] {
            assert!(parse_host(text).is_err(), "{text}");
        }
        let hint = |text| parse_host(text).unwrap_err().1.unwrap_or_default();
        assert!(hint("https://a.org:1/b").ends_with("`a.org:1`"));
        assert!(hint("a.org/b").ends_with("`a.org`"));
        assert_eq!(hint("::1"), "write it as `[::1]`");
    }

    proptest! {
        #[test]
        fn a_granted_host_is_valid_in_a_request(text in "[a-z0-9.:\\[\\]@/*%-]{0,12}") {
            if let Ok(granted) = parse_host(&text) {
                let port = granted.port.map_or_else(String::new, |port| format!(":{port}"));
                prop_assert_eq!(format!("{}{}", granted.host, port), text.clone());
                let uri: http::Uri = format!("http://{text}/").parse().unwrap();
                prop_assert_eq!(uri.host(), Some(granted.host.as_str()));
                prop_assert_eq!(uri.port_u16(), granted.port);
            }
        }
    }
}
