//! The grants of an operator beyond its world, and the imports that they cover.

use std::fmt;
use std::path::PathBuf;

/// The resources that one operator may use beyond `mosaik:operator/host`. The default is none.
///
/// Any grant includes the parts of WASI 0.2 that give access to nothing and that the runtimes of
/// most languages need: streams, clocks (to the millisecond, like `host.now`), standard output
/// (written to the log), an environment and a file system, both empty except for what is granted,
/// and sockets that refuse everything.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// True to grant the parts that every other grant includes, without any of the others.
    pub wasi: bool,
    /// The environment variables that it sees, with their values. The values are masked in its log
    /// lines.
    pub env: Vec<(String, String)>,
    /// The folders that the operator can read, and write if granted.
    pub dirs: Vec<Directory>,
    /// The hosts that it may send HTTP requests to.
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

/// A folder that an operator sees, with all its contents. Links out of it cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The path on this machine.
    pub path: PathBuf,
    /// The name that the operator sees.
    pub name: String,
    /// True if the operator may change the contents. Only the disk limits how much it writes.
    pub write: bool,
}

/// A host that an operator may send HTTP requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHost {
    /// A name or an address in lower case; an IPv6 address in brackets.
    pub host: String,
    /// The only permitted port. Without one, it is 80 for `http` and 443 for `https`.
    pub port: Option<u16>,
}

/// The kinds of imports that are linked for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interfaces {
    /// The parts that any grant includes, with the environment and the file system.
    pub wasi: bool,
    /// `wasi:http`, for outgoing requests.
    pub http: bool,
    /// `wasi:random`.
    pub random: bool,
}

impl Grants {
    /// Returns the imports that the grants cover.
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

/// The grant that an import requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Any grant.
    Any,
    Http,
    Random,
    /// No grant covers it.
    None,
}

/// The imports, by name, that any grant includes.
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
    /// All interfaces that can be granted.
    pub const ALL: Self = Self {
        wasi: true,
        http: true,
        random: true,
    };

    /// Returns true if an import beyond the operator's world is linked.
    pub(super) fn cover(self, import: &str) -> bool {
        match kind(import) {
            Kind::Any => self.wasi,
            Kind::Http => self.http,
            Kind::Random => self.random,
            Kind::None => false,
        }
    }

    /// Returns advice on how to grant those of `imports` that are not covered.
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
            hint.push_str(", with the hosts that it may contact");
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
            hint.push_str("no grant provides ");
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
    fn any_grant_includes_the_harmless_interfaces_only() {
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
    fn the_hint_is_minimal() {
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
            "add `http: [example.org], random: true` to its `allow`, with the hosts that it may contact"
        );
        assert_eq!(
            hint(none, &["wasi:random/random@0.2.0", "a:b/c@1.0.0"]),
            "give the operator `allow: {random: true}`; no grant provides `a:b/c@1.0.0`"
        );
        assert_eq!(hint(wasi, &["a:b/c"]), "no grant provides `a:b/c`");
    }

    #[test]
    fn values_of_variables_are_hidden() {
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
