//! `allow`: an operator's access to resources other than its streams.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    diagnostics::{Diagnostic, Diagnostics},
    guarded::Guarded,
    keys::{Section, Shape, key, required},
    reader::Reader,
    source::Source,
    substitute::{Environment, io_reason},
    tree::Node,
    yaml,
};
use crate::files;

/// An operator's access to resources other than its streams. Default: none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Access to the parts of WASI that reach no resources. Every other grant implies it.
    pub wasi: bool,
    /// Visible environment variables, with their values.
    pub env: Vec<(String, Guarded<String>)>,
    /// Hosts to which the operator may send HTTP requests.
    pub http: Vec<Guarded<GrantedHost>>,
    /// Visible folders.
    pub dirs: Vec<GrantedDir>,
    /// Access to random numbers.
    pub random: bool,
}

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

const MODES: &[&str] = &["read", "write"];

const VARIABLE: Shape = Shape::Pattern("^[A-Za-z_][A-Za-z0-9_]*$");
const HOST: Shape = Shape::Pattern(r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$");

static DIR: Section = Section {
    name: "allow_dir",
    doc: "A folder that an operator sees, and all that is in it.",
    keys: &[
        required(
            "path",
            Shape::Text,
            "The folder, relative to the manifest; the operator knows it by this path. It must exist.",
        ),
        key(
            "mode",
            Shape::Words(MODES),
            "`read` (default), or `write` to change what is in it, too.",
        ),
    ],
};

/// The keys of `allow`.
pub(crate) static ALLOW: Section = Section {
    name: "allow",
    doc: "Grants beyond its streams: the operator reaches exactly what is named here.",
    keys: &[
        key(
            "wasi",
            Shape::Bool,
            "Those parts of WASI that reach nothing by themselves, which many a language's runtime wants; any other grant brings them along. Default: false.",
        ),
        key(
            "env",
            Shape::List(&VARIABLE),
            "Names of environment variables that it sees; each must be set. Default: none.",
        ),
        key(
            "http",
            Shape::List(&HOST),
            "Hosts that it may send HTTP requests to: `example.org` at the port of `http` or `https`, or `example.org:8080` at that one. Default: none.",
        ),
        key(
            "dirs",
            Shape::List(&Shape::Of(&DIR)),
            "Folders that it sees: `{path: data, mode: read}`. Default: none.",
        ),
        key(
            "random",
            Shape::Bool,
            "Random numbers. Default: false, so that it does the same with the same input.",
        ),
    ],
};

impl Grants {
    /// Parses a value of `allow`: `{env: [HOME], random: true}`. Folders are relative to `base`.
    ///
    /// # Errors
    /// Returns all mistakes.
    pub fn parse(text: &str, env: &dyn Environment, base: &Path) -> Result<Self, Diagnostics> {
        let source = Arc::new(Source::new("allow", text));
        let mut cx = Reader::new(&source, env, base);
        let grants = match yaml::parse(source.text(), &mut cx.found) {
            Ok(Some(root)) => read(&mut cx, &root),
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

/// Reads `allow`.
pub(crate) fn read(cx: &mut Reader<'_>, node: &Node) -> Grants {
    let mut grants = Grants::default();
    let Some(fields) = cx.section(node, "allow", &ALLOW) else {
        return grants;
    };
    if let Some(node) = fields.node("wasi") {
        grants.wasi = cx.flag(node, "wasi").unwrap_or_default();
    }
    if let Some(node) = fields.node("env") {
        grants.env = cx.list(node, "env", variable).unwrap_or_default();
    }
    if let Some(node) = fields.node("http") {
        grants.http = cx.list(node, "http", host).unwrap_or_default();
    }
    if let Some(node) = fields.node("dirs") {
        let mut names: Vec<String> = Vec::new();
        let read = |cx: &mut Reader<'_>, node: &Node| dir(cx, node, &mut names);
        grants.dirs = cx.list(node, "dirs", read).unwrap_or_default();
    }
    if let Some(node) = fields.node("random") {
        grants.random = cx.flag(node, "random").unwrap_or_default();
    }
    grants
}

fn variable(cx: &mut Reader<'_>, node: &Node) -> Option<(String, Guarded<String>)> {
    let expected = "the name of an environment variable";
    let name = cx.parse(node, "env", expected, |text| {
        let mut chars = text.chars();
        let named = chars
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        let label = "expected letters, digits and `_`".to_owned();
        let help = (text.starts_with("${") || text.contains('='))
            .then(|| "write its name alone, like `HOME`".to_owned());
        named.then(|| text.to_owned()).ok_or((label, help))
    })?;
    let Some(value) = cx.variable(&name) else {
        cx.note(
            Diagnostic::error(format!("the environment variable `{name}` is not set"))
                .at(node.span, "not set")
                .help("an operator is only given what is there"),
        );
        return None;
    };
    Some((name, Guarded::new(value, true)))
}

fn host(cx: &mut Reader<'_>, node: &Node) -> Option<Guarded<GrantedHost>> {
    let text = cx.text(node, "http", "a host")?;
    let host = cx.parse(node, "http", "a host", parse_host)?;
    Some(Guarded::new(host, text.value.is_secret()))
}

/// Parses `example.org`, `127.0.0.1:8080` or `[::1]:8080`. An error consists of the expected content and an optional
/// hint.
fn parse_host(text: &str) -> Result<GrantedHost, (String, Option<String>)> {
    let expected = |help: Option<String>| {
        let label = "expected a name or an address, and perhaps a port: `example.org:8080`";
        (label.to_owned(), help)
    };
    if let Some((scheme, rest)) = text.split_once("://") {
        let port = (scheme == "https" || scheme == "http").then(|| {
            let host = rest.split('/').next().unwrap_or_default();
            format!("leave out the scheme and what follows the host: `{host}`")
        });
        return Err(expected(port));
    }
    if let Some((host, _)) = text.split_once('/') {
        let help = format!("a host is granted as a whole: `{host}`");
        return Err(expected((!host.is_empty()).then_some(help)));
    }
    if text.contains('*') {
        let help = "every host has to be named; there are no patterns".to_owned();
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
    let fields = cx.section(node, "dirs", &DIR)?;
    let path_node = fields.node("path")?;
    let text = cx.text(path_node, "path", "a folder");
    let mode = fields
        .node("mode")
        .and_then(|node| cx.word(node, "mode", MODES));
    let text = text?;
    let written = text.as_str();
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
                .at(path_node.span, wrong)
                .help("paths are relative to the manifest"),
        );
        return None;
    }
    if names.iter().any(|known| known == name) {
        cx.note(
            Diagnostic::error("the folder is granted twice")
                .at(path_node.span, "granted above")
                .help("`mode: write` includes reading"),
        );
        return None;
    }
    names.push(name.to_owned());
    let secret = text.value.is_secret();
    Some(GrantedDir {
        path: Guarded::new(path, secret),
        name: Guarded::new(name.to_owned(), secret),
        write: mode == Some("write"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
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
        fn what_is_read_as_a_host_is_one_in_a_request(text in "[a-z0-9.:\\[\\]@/*%-]{0,12}") {
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
