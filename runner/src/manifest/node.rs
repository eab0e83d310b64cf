//! `node`: settings of the process that runs the manifest.

use std::net::SocketAddr;

use mosaik_streams::discovery::Generation;

use super::{quic::Quic, tickets::PresentedTicket};
use crate::declare::{
    Bootstrap, Diagnostic, Guarded, Kind, Located, Secret, Span, StageName, Value, flag, list,
    nested, parse_address, parsed, pattern, section, text, words,
};

const PROTOCOLS: &[(&str, Generation)] = &[
    ("mosaik-0.3", Generation::V0_3),
    ("mosaik-0.4", Generation::V0_4),
];

section! {
    /// The process that runs the manifest.
    #[derive(Debug, Clone, PartialEq)]
    pub struct NodeConfig: "node" + Default + differences {
        /// Name of the node in logs and at other nodes.
        pub name: Option<Guarded<String>> = node_name(), unset("none"), retune;
        /// Private key as 64 hex digits, best as `${env:NAME}` or `${file:PATH}`.
        pub secret_key: Option<Secret> = secret_key(), unset("generated once, kept in the state folder"),
            restart("the secret key changes: the node would be another peer");
        /// Addresses to listen on, if any stream is shared. Port 0 is a free port. Loopback is unreachable from other
        /// machines.
        pub listen: Vec<SocketAddr> = listen(),
            default(vec![SocketAddr::from(([127, 0, 0, 1], 0))]),
            restart("the listen address changes: connections are bound to the old one");
        /// Addresses at which other nodes reach this node.
        pub advertise: Vec<SocketAddr> = list(advertise()),
            empty("the interfaces listened on"),
            restart("the advertised address changes: peers know the node by the old one");
        /// Nodes through which this node joins the network: `<peer id>@<address>:<port>`.
        pub bootstrap: Vec<Bootstrap> = list(bootstrap()), empty("none"), retune;
        /// Find nodes of the local network by multicast DNS, and be found by them.
        pub mdns: bool = flag(), default(false),
            restart("`mdns` changes: discovery is configured once, at the start");
        /// Generation of the Mosaik protocol. Nodes of different generations do not connect.
        pub protocol: Generation = words(PROTOCOLS), default(Generation::V0_3),
            restart("`protocol` changes: peers have an entry of the old version");
        /// Windows and congestion control of connections.
        pub quic: Quic = nested::<Quic>(), default(Quic::default()),
            restart("`quic` changes: the limits of a connection are set when it opens");
        /// Tags by which other nodes select this node.
        pub tags: Vec<Guarded<String>> = list(text()), empty("none"), retune;
        /// Tickets that this node presents to nodes that require them. Every node of the network can read them.
        pub tickets: Vec<PresentedTicket> = list(nested::<PresentedTicket>()), empty("none"), retune;
    }
}

/// A node, with the locations that later checks refer to.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeDecl {
    pub(crate) config: NodeConfig,
    /// The addresses of `listen`, with their locations.
    pub(crate) listen: Vec<(SocketAddr, Span)>,
}

impl NodeDecl {
    pub(crate) fn new(node: Located<NodeConfig>) -> Self {
        let Located { value, places, .. } = node;
        let listen = value.listen.iter().enumerate();
        let listen = listen.filter_map(|(index, address)| {
            let span = places.value(&format!("listen[{index}]"))?;
            Some((*address, span))
        });
        Self {
            listen: listen.collect(),
            config: value,
        }
    }

    /// Returns the first address that is not loopback.
    pub(crate) fn open_listen(&self) -> Option<(SocketAddr, Span)> {
        let mut listen = self.listen.iter();
        listen
            .find(|(address, _)| !address.ip().is_loopback())
            .copied()
    }
}

fn node_name() -> Kind<Guarded<String>> {
    text().when(|cx, node, name| {
        let is_name = StageName::new(name).is_some();
        if !is_name {
            let shown = if name.is_secret() {
                "the substituted value".to_owned()
            } else {
                format!("`{}`", &**name)
            };
            cx.bad_name(&shown, node.span, "a node");
        }
        is_name
    })
}

/// 64 hex digits that are a secret.
fn secret_key() -> Kind<Secret> {
    Kind::new(
        pattern("64 hex digits", "^[0-9A-Fa-f]{64}$"),
        |cx, node, what| {
            cx.mask(node);
            let text = cx.text(node, what, "64 hex digits")?;
            let key = Secret::from_hex(text.as_str());
            if key.is_none() {
                let found = text.as_str().chars().count();
                let label = if text.as_str().chars().all(|c| c.is_ascii_hexdigit()) {
                    format!("expected 64 hex digits, found {found}")
                } else {
                    "expected 64 hex digits, found other characters".to_owned()
                };
                cx.note(
                    Diagnostic::error(format!("`{what}` is not a key"))
                        .at(node.span, label)
                        .help("generate one with `mosaik-runner keygen`"),
                );
            }
            key
        },
    )
}

fn listen() -> Kind<Vec<SocketAddr>> {
    list(address("an address to listen on", true)).when(|cx, node, addresses| {
        let is_empty = matches!(&node.value, Value::Sequence(items) if items.is_empty());
        if is_empty {
            cx.note(
                Diagnostic::error("`listen` is empty")
                    .at(node.span, "expected an address")
                    .help("leave `listen` out for loopback and a free port"),
            );
        }
        !addresses.is_empty()
    })
}

fn advertise() -> Kind<SocketAddr> {
    address("an address to be reached at", false).when(|cx, node, address| {
        let is_reachable = !address.ip().is_unspecified();
        if !is_reachable {
            cx.note(
                Diagnostic::error(format!("`{address}` is unreachable"))
                    .at(node.span, "expected the address that peers connect to"),
            );
        }
        is_reachable
    })
}

fn address(expected: &'static str, any_port: bool) -> Kind<SocketAddr> {
    let shape = pattern(
        "`<address>:<port>`",
        r"^(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]):\d{1,5}$",
    );
    parsed(shape, expected, move |text| parse_address(text, any_port))
        .show(|address| format!("\"{address}\""))
}

fn bootstrap() -> Kind<Bootstrap> {
    let shape = pattern(
        "`<peer id>@<address>:<port>`",
        r"^[0-9A-Fa-f]{64}@(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]):\d{1,5}$",
    );
    parsed(shape, "a node's address", Bootstrap::parse).show(|peer| format!("\"{peer}\""))
}
