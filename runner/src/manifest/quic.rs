//! `quic` of a node: limits and transmission settings of its connections.

use mosaik_streams::network::{Congestion, Transport};

use crate::declare::{section, size, words};

const CONGESTION: &[(&str, Congestion)] = &[
    ("cubic", Congestion::Cubic),
    ("new_reno", Congestion::NewReno),
    ("bbr", Congestion::Bbr),
];
/// The smallest window: 64 KiB.
const MIN_WINDOW: u64 = 64 << 10;
/// The largest window: 1 GiB.
const MAX_WINDOW: u64 = 1 << 30;

section! {
    /// Windows and congestion control of the node's connections.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Quic: "quic" + Default {
        /// Bytes that a producer may have in flight to this node on each connection. Limits the throughput to one
        /// window per round trip.
        pub receive_window: u32 = size(MIN_WINDOW, MAX_WINDOW), default(Transport::default().receive_window);
        /// Bytes that a connection holds until they are acknowledged.
        pub send_window: u32 = size(MIN_WINDOW, MAX_WINDOW), default(Transport::default().send_window);
        /// Congestion control: `cubic` and `new_reno` slow down at loss, `bbr` measures the path; it is experimental.
        pub congestion: Congestion = words(CONGESTION), default(Transport::default().congestion);
    }
}

impl From<Quic> for Transport {
    fn from(quic: Quic) -> Self {
        Self {
            receive_window: quic.receive_window,
            send_window: quic.send_window,
            congestion: quic.congestion,
        }
    }
}
