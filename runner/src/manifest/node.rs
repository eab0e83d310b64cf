//! `node`: settings of the process that runs the manifest.

use std::net::{Ipv4Addr, SocketAddr};

use mosaik_streams::{discovery::Generation, network::Transport};

use super::{
    diagnostics::Diagnostic,
    guarded::{Guarded, Secret},
    keys::{Section, Shape, key},
    quic,
    reader::Reader,
    scalar::{Bootstrap, StageName, parse_address},
    source::Span,
    tickets,
    tree::{Entry, Node, Value},
};

/// The process that runs the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// Its name in logs and for other nodes.
    pub name: Option<Guarded<String>>,
    /// Its private key. Without one, the node generates a key once and stores it in the state folder.
    pub secret_key: Option<Secret>,
    /// The addresses to listen on, if any stream is shared. Default: loopback, with a free port.
    pub listen: Vec<SocketAddr>,
    /// The addresses advertised to other nodes. If empty, the addresses of the interfaces listened on.
    pub advertise: Vec<SocketAddr>,
    /// The peers through which the node joins the network.
    pub bootstrap: Vec<Bootstrap>,
    /// Whether to discover nodes of the local network by multicast DNS.
    pub mdns: bool,
    /// The protocol generation of Mosaik that the network uses.
    pub protocol: Generation,
    /// Limits and transmission settings of QUIC connections.
    pub quic: Transport,
    /// Tags by which other nodes can select this node.
    pub tags: Vec<Guarded<String>>,
    /// JSON Web Tokens to present to nodes that require them.
    pub tickets: Vec<Guarded<String>>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: None,
            secret_key: None,
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            advertise: Vec::new(),
            bootstrap: Vec::new(),
            mdns: false,
            protocol: Generation::default(),
            quic: Transport::default(),
            tags: Vec::new(),
            tickets: Vec::new(),
        }
    }
}

/// A node, with the locations that later checks refer to.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeDecl {
    pub(crate) config: NodeConfig,
    /// The addresses of `listen`, with their locations.
    pub(crate) listen: Vec<(SocketAddr, Span)>,
    /// The first address that is not loopback.
    pub(crate) open_listen: Option<(SocketAddr, Span)>,
}

const ADDRESS: Shape = Shape::Pattern(r"^(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]):\d{1,5}$");
const BOOTSTRAP: Shape =
    Shape::Pattern(r"^[0-9A-Fa-f]{64}@(\d{1,3}(\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]):\d{1,5}$");

/// The keys of `node`.
pub(crate) static NODE: Section = Section {
    name: "node",
    doc: "The process that runs this manifest; all of it is optional.",
    keys: &[
        key(
            "name",
            Shape::Text,
            "Name of this node in logs, and beside its peer id at other nodes. Default: none.",
        ),
        key(
            "secret_key",
            Shape::Hex64,
            "The node's private key as 64 hex digits, best as `${env:NAME}` or `${file:PATH}`. Default: made once and kept in the state folder.",
        ),
        key(
            "listen",
            Shape::List(&ADDRESS),
            "Addresses to listen on. Default: `[\"127.0.0.1:0\"]`, loopback and a free port: reachable from elsewhere only if it says so.",
        ),
        key(
            "advertise",
            Shape::List(&ADDRESS),
            "Addresses that others reach this node at. Default: those of the interfaces listened on.",
        ),
        key(
            "bootstrap",
            Shape::List(&BOOTSTRAP),
            "Nodes to ask for the network: `<peer id>@<address>:<port>`. Default: none.",
        ),
        key(
            "mdns",
            Shape::Bool,
            "Discovery by multicast DNS: `true` finds nodes of the local network, and lets them find this one. Default: false.",
        ),
        key(
            "protocol",
            Shape::Words(&["mosaik-0.3", "mosaik-0.4"]),
            "Generation of the Mosaik protocol; nodes of different ones do not meet. Default: mosaik-0.3.",
        ),
        key(
            "quic",
            Shape::Of(&quic::QUIC),
            "Windows and congestion control of connections. Default: windows of 8 and 16 MiB, CUBIC.",
        ),
        key(
            "tags",
            Shape::List(&Shape::Text),
            "Marks that others select this node by. Default: none.",
        ),
        key(
            "tickets",
            tickets::TICKETS_SHAPE,
            "Tickets to show to producers and consumers that require them. Everyone on the network can read them. Default: none.",
        ),
    ],
};

/// Reads `node`.
pub(crate) fn read(cx: &mut Reader<'_>, entry: &Entry) -> NodeDecl {
    let mut decl = NodeDecl::default();
    let Some(fields) = cx.section(&entry.node, "node", &NODE) else {
        return decl;
    };
    if let Some(node) = fields.node("name") {
        match cx.text(node, "name", "text") {
            Some(name) if StageName::new(name.as_str()).is_some() => {
                decl.config.name = Some(name.value);
            }
            Some(name) => cx.bad_name(&name.shown(), node.span, "a node"),
            None => {}
        }
    }
    if let Some(node) = fields.node("secret_key") {
        decl.config.secret_key = hex_key(cx, node, "secret_key");
    }
    if let Some(node) = fields.node("listen") {
        let listen = addresses(cx, node, "listen", true);
        decl.open_listen = listen
            .iter()
            .find(|(address, _)| !address.ip().is_loopback())
            .copied();
        decl.config.listen = listen.iter().map(|(address, _)| *address).collect();
        decl.listen = listen;
        if matches!(&node.value, Value::Sequence(items) if items.is_empty()) {
            cx.note(
                Diagnostic::error("`listen` is empty")
                    .at(node.span, "expected an address")
                    .help("leave `listen` out for loopback and a free port"),
            );
        }
    }
    if let Some(node) = fields.node("advertise") {
        let advertise = addresses(cx, node, "advertise", false);
        for (address, span) in &advertise {
            if address.ip().is_unspecified() {
                cx.note(
                    Diagnostic::error(format!("nobody can reach `{address}`"))
                        .at(*span, "expected the address that others see"),
                );
            }
        }
        decl.config.advertise = advertise.into_iter().map(|(address, _)| address).collect();
    }
    if let Some(node) = fields.node("bootstrap") {
        let read = |cx: &mut Reader<'_>, node: &Node| {
            cx.parse(
                node,
                "an item of `bootstrap`",
                "a node's address",
                Bootstrap::parse,
            )
        };
        decl.config.bootstrap = cx.list(node, "bootstrap", read).unwrap_or_default();
    }
    if let Some(node) = fields.node("mdns") {
        decl.config.mdns = cx.flag(node, "mdns").unwrap_or_default();
    }
    if let Some(node) = fields.node("protocol")
        && let Some(text) = cx.text(node, "protocol", "`mosaik-0.3` or `mosaik-0.4`")
    {
        match text.as_str() {
            "mosaik-0.3" => decl.config.protocol = Generation::V0_3,
            "mosaik-0.4" => decl.config.protocol = Generation::V0_4,
            _ => cx.note(
                Diagnostic::error(format!("there is no protocol {}", text.shown()))
                    .at(node.span, "expected `mosaik-0.3` or `mosaik-0.4`"),
            ),
        }
    }
    if let Some(node) = fields.node("quic") {
        decl.config.quic = quic::read(cx, node);
    }
    if let Some(node) = fields.node("tags") {
        decl.config.tags = tags(cx, node, "tags");
    }
    if let Some(node) = fields.node("tickets") {
        decl.config.tickets = tickets::read(cx, node);
    }
    decl
}

/// Reads 64 hex digits that are a secret.
fn hex_key(cx: &mut Reader<'_>, node: &Node, what: &str) -> Option<Secret> {
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
                .help("`mosaik-runner keygen` makes one"),
        );
    }
    key
}

fn addresses(
    cx: &mut Reader<'_>,
    node: &Node,
    what: &str,
    any_port: bool,
) -> Vec<(SocketAddr, Span)> {
    let read = |cx: &mut Reader<'_>, node: &Node| {
        let item = format!("an item of `{what}`");
        let expected = if any_port {
            "an address to listen on"
        } else {
            "an address to be reached at"
        };
        let address = cx.parse(node, &item, expected, |text| parse_address(text, any_port))?;
        Some((address, node.span))
    };
    cx.list(node, what, read).unwrap_or_default()
}

/// Reads a list of tags.
pub(crate) fn tags(cx: &mut Reader<'_>, node: &Node, what: &str) -> Vec<Guarded<String>> {
    cx.list(node, what, |cx, node| {
        Some(cx.text(node, what, "text")?.value)
    })
    .unwrap_or_default()
}
