//! What an operator may be granted beyond its world, and which imports that covers.

use std::fmt;
use std::path::PathBuf;

/// What one operator may reach beyond `mosaik:operator/host`. The default is nothing.
///
/// Any grant brings along those parts of WASI 0.2 that reach nothing by themselves and that the runtimes of most
/// languages want: streams, clocks (to the millisecond, as `host.now`), standard output (it goes to the log), an
/// environment and a file system, both empty but for what is granted, and sockets that refuse everything.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Only what any grant brings along.
    pub wasi: bool,
    /// The environment variables it sees, with their values. They are masked in what the operator logs.
    pub env: Vec<(String, String)>,
    /// The folders it sees.
    pub dirs: Vec<Directory>,
    /// The hosts it may send HTTP requests to.
    pub http: Vec<HttpHost>,
    /// Random numbers.
    pub random: bool,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Grants")
            .field("wasi", &self.wasi)
            .field("env", &names)
            .field("dirs", &self.dirs)
            .field("http", &self.http)
            .field("random", &self.random)
            .finish()
    }
}

/// A folder that an operator sees, and all that is in it. Links that lead out of it lead nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// What it is called for the operator.
    pub name: String,
    /// Whether the operator may change what is in it. Nothing bounds how much it writes but the disk.
    pub write: bool,
}

/// A host that an operator may send HTTP requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHost {
    /// A name or an address, an IPv6 one in brackets; lower case.
    pub host: String,
    /// The one port; without it, 80 for `http` and 443 for `https`.
    pub port: Option<u16>,
}

/// The kinds of imports that are linked for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interfaces {
    /// What any grant brings along, environment and file system included.
    pub wasi: bool,
    /// `wasi:http`, for requests going out.
    pub http: bool,
    /// `wasi:random`.
    pub random: bool,
}

impl Grants {
    /// The imports they cover.
    pub fn interfaces(&self) -> Interfaces {
        let Self {
            wasi,
            env,
            dirs,
            http,
            random,
        } = self;
        let (http, random) = (!http.is_empty(), *random);
        Interfaces {
            wasi: *wasi || !env.is_empty() || !dirs.is_empty() || http || random,
            http,
            random,
        }
    }
}

/// What it takes to link an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Any grant.
    Any,
    Http,
    Random,
    /// There is no grant for it.
    None,
}

/// What any grant brings along, as far as it is imported by name.
const ANY: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

fn kind(import: &str) -> Kind {
    match import.split_once('@') {
        Some((name, version)) if version.starts_with("0.2.") => match name {
            "wasi:http/types" | "wasi:http/outgoing-handler" => Kind::Http,
            "wasi:random/random" | "wasi:random/insecure" | "wasi:random/insecure-seed" => {
                Kind::Random
            }
            name if ANY.contains(&name) => Kind::Any,
            _ => Kind::None,
        },
        _ => Kind::None,
    }
}

impl Interfaces {
    /// All that can be granted.
    pub const ALL: Self = Self {
        wasi: true,
        http: true,
        random: true,
    };

    /// Whether an import beyond the operator's world is linked.
    pub(super) fn cover(self, import: &str) -> bool {
        match kind(import) {
            Kind::Any => self.wasi,
            Kind::Http => self.http,
            Kind::Random => self.random,
            Kind::None => false,
        }
    }

    /// What to write into the manifest so that these imports, which these interfaces do not cover, are.
    pub(super) fn hint(self, imports: &[String]) -> String {
        let of = |wanted: Kind| imports.iter().any(|import| kind(import) == wanted);
        let mut keys = Vec::new();
        if of(Kind::Http) {
            keys.push("http: [example.org]");
        }
        if of(Kind::Random) {
            keys.push("random: true");
        }
        if keys.is_empty() && of(Kind::Any) {
            keys.push("wasi: true");
        }
        let mut hint = match (keys.as_slice(), self.wasi) {
            ([], _) => String::new(),
            (keys, false) => format!("give the operator `allow: {{{}}}`", keys.join(", ")),
            (keys, true) => format!("add `{}` to its `allow`", keys.join(", ")),
        };
        if of(Kind::Http) {
            hint.push_str(", with the hosts it may speak to");
        }
        if of(Kind::Any) {
            hint.push_str(
                "; variables and folders are granted by name: `env: [NAME]`, `dirs: [{path: data}]`",
            );
        }
        let never: Vec<_> = imports
            .iter()
            .filter(|import| kind(import) == Kind::None)
            .map(|import| format!("`{import}`"))
            .collect();
        if !never.is_empty() {
            if !hint.is_empty() {
                hint.push_str("; ");
            }
            hint.push_str("no grant gives ");
            hint.push_str(&never.join(", "));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(granted: Interfaces, imports: &[&str]) -> String {
        let imports: Vec<_> = imports.iter().map(|&import| import.to_owned()).collect();
        granted.hint(&imports)
    }

    #[test]
    fn any_grant_brings_along_what_reaches_nothing_and_no_other() {
        assert_eq!(Grants::default().interfaces(), Interfaces::default());
        let random = Grants {
            random: true,
            ..Grants::default()
        }
        .interfaces();
        assert!(random.wasi && random.random && !random.http);
        assert!(random.cover("wasi:io/poll@0.2.6"));
        assert!(random.cover("wasi:random/insecure-seed@0.2.0"));
        assert!(!random.cover("wasi:http/types@0.2.0"));
        let env = Grants {
            env: vec![("A".into(), "b".into())],
            ..Grants::default()
        }
        .interfaces();
        assert!(env.wasi && !env.random && !env.http);
        let http = Grants {
            http: vec![HttpHost {
                host: "example.org".into(),
                port: None,
            }],
            ..Grants::default()
        }
        .interfaces();
        assert!(http.wasi && http.http && !http.random);
        let all = Interfaces {
            wasi: true,
            http: true,
            random: true,
        };
        for never in [
            "wasi:http/incoming-handler@0.2.0",
            "wasi:cli/environment@0.3.0",
            "wasi:cli/environment",
            "wasi:keyvalue/store@0.2.0",
            "env",
        ] {
            assert!(!all.cover(never), "{never}");
        }
    }

    #[test]
    fn the_hint_is_the_least_that_helps() {
        let none = Interfaces::default();
        let named =
            "; variables and folders are granted by name: `env: [NAME]`, `dirs: [{path: data}]`";
        assert_eq!(
            hint(none, &["wasi:io/poll@0.2.0"]),
            format!("give the operator `allow: {{wasi: true}}`{named}")
        );
        assert_eq!(
            hint(none, &["wasi:io/poll@0.2.0", "wasi:random/random@0.2.0"]),
            format!("give the operator `allow: {{random: true}}`{named}")
        );
        let wasi = Interfaces { wasi: true, ..none };
        assert_eq!(
            hint(wasi, &["wasi:http/types@0.2.0", "wasi:random/random@0.2.0"]),
            "add `http: [example.org], random: true` to its `allow`, with the hosts it may speak to"
        );
        assert_eq!(
            hint(none, &["wasi:random/random@0.2.0", "a:b/c@1.0.0"]),
            "give the operator `allow: {random: true}`; no grant gives `a:b/c@1.0.0`"
        );
        assert_eq!(hint(wasi, &["a:b/c"]), "no grant gives `a:b/c`");
    }

    #[test]
    fn values_of_variables_are_not_shown() {
        let grants = Grants {
            env: vec![("KEY".into(), "hunter2".into())],
            ..Grants::default()
        };
        let shown = format!("{grants:?}");
        assert!(
            shown.contains("KEY") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
