//! `quic` of a node: limits and transmission settings of its connections.

use mosaik_streams::network::{Congestion, Transport};

use super::{
    keys::{Section, Shape, key},
    reader::Reader,
    stream::size,
    tree::Node,
};

const CONGESTION: &[&str] = &["cubic", "new_reno", "bbr"];
/// The smallest window: 64 KiB.
const MIN_WINDOW: u64 = 64 << 10;
/// The largest window: 1 GiB.
const MAX_WINDOW: u64 = 1 << 30;

pub(super) static QUIC: Section = Section {
    name: "quic",
    doc: "Windows and congestion control of the node's connections.",
    keys: &[
        key(
            "receive_window",
            Shape::Size,
            "Bytes that a producer may have on the way to this node on each connection, 64KiB to 1GiB: bounds the speed to so much per round trip. Default: `8MiB`.",
        ),
        key(
            "send_window",
            Shape::Size,
            "Bytes that a connection holds until they are acknowledged, 64KiB to 1GiB. Default: `16MiB`.",
        ),
        key(
            "congestion",
            Shape::Words(CONGESTION),
            "When a connection slows down: `cubic` (default) and `new_reno` at loss, `bbr` by measuring the path; `bbr` is experimental.",
        ),
    ],
};

/// Reads `quic`. Missing and invalid settings keep their defaults.
pub(super) fn read(cx: &mut Reader<'_>, node: &Node) -> Transport {
    let mut transport = Transport::default();
    let Some(fields) = cx.section(node, "quic", &QUIC) else {
        return transport;
    };
    for (name, window) in [
        ("receive_window", &mut transport.receive_window),
        ("send_window", &mut transport.send_window),
    ] {
        let bytes = fields
            .node(name)
            .and_then(|node| size(cx, node, name, MIN_WINDOW, MAX_WINDOW))
            .and_then(|bytes| u32::try_from(bytes).ok());
        *window = bytes.unwrap_or(*window);
    }
    if let Some(node) = fields.node("congestion") {
        transport.congestion = match cx.word(node, "congestion", CONGESTION) {
            Some("new_reno") => Congestion::NewReno,
            Some("bbr") => Congestion::Bbr,
            _ => Congestion::Cubic,
        };
    }
    transport
}
