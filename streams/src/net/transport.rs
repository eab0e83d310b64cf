//! UDP sockets, and the windows and timers of QUIC connections.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::{AckFrequencyConfig, IdleTimeout, TransportConfig, VarInt, congestion};
use socket2::{Domain, Protocol, Socket, Type};

/// The keep-alive interval of an idle connection. Anything received from the peer counts, so that only one side sends.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The idle timeout, after which a connection is lost: two keep-alives went unanswered.
const IDLE_TIMEOUT_MS: u32 = 30_000;
/// The number of packets that the peer receives before it acknowledges, if it supports the QUIC extension for
/// acknowledgement frequency. Without it, a peer acknowledges every second packet, which costs both sides a fifth of
/// their CPU time when many connections take turns.
const PACKETS_BEFORE_ACK: u32 = 10;
/// The maximum delay of an acknowledgement, so that a connection with fewer packets in flight is not held up.
const ACK_DELAY_MAX: Duration = Duration::from_millis(5);
/// The maximum number of bytes in flight towards the accepting side, which receives handshakes and catalogs only.
/// Limits the memory that an unknown peer can occupy.
const REQUEST_WINDOW: u32 = 256 * 1024;
/// The requested buffer size for each direction of a socket. The operating system may grant less.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// The congestion control algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Congestion {
    /// CUBIC (RFC 9438): treats loss as congestion. The default, and the default of most TCP stacks.
    #[default]
    Cubic,
    /// NewReno (RFC 9002): like CUBIC, but recovers more slowly on long or fast paths.
    NewReno,
    /// BBR: measures the rate and delay of the path. Stays fast if packets are lost for other reasons, as on radio
    /// links, but may take more than its share from CUBIC flows. quinn calls its implementation experimental.
    Bbr,
}

/// The memory limits and congestion control of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    /// The maximum number of bytes in flight from a producer to a consumer on this node, per connection. A consumer
    /// holds at most this in addition to its queue, and receives at most this per round trip. Default 8 MiB: 1 GB/s at
    /// 8 ms.
    pub receive_window: u32,
    /// The maximum number of unacknowledged bytes per connection. Default 16 MiB.
    pub send_window: u32,
    /// The congestion control algorithm. Default: CUBIC.
    pub congestion: Congestion,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            receive_window: 8 * 1024 * 1024,
            send_window: 16 * 1024 * 1024,
            congestion: Congestion::default(),
        }
    }
}

fn config(transport: &Transport, window: u32, incoming_streams: u8) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    match transport.congestion {
        Congestion::Cubic => {}
        Congestion::NewReno => {
            config.congestion_controller_factory(Arc::new(congestion::NewRenoConfig::default()));
        }
        Congestion::Bbr => {
            config.congestion_controller_factory(Arc::new(congestion::BbrConfig::default()));
        }
    }
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(PACKETS_BEFORE_ACK.into())
        .max_ack_delay(Some(ACK_DELAY_MAX));
    config
        .ack_frequency_config(Some(acks))
        .max_concurrent_bidi_streams(incoming_streams.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(window.into())
        .receive_window(window.into())
        .send_window(transport.send_window.into())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))));
    Arc::new(config)
}

/// Settings for connections that this node dials: it opens the stream and mainly receives data.
pub(super) fn dialler(transport: &Transport) -> Arc<TransportConfig> {
    config(transport, transport.receive_window, 0)
}

/// Settings for connections that other nodes dial: they open the stream, and this node mainly sends data.
pub(super) fn acceptor(transport: &Transport) -> Arc<TransportConfig> {
    config(transport, REQUEST_WINDOW, 1)
}

/// Opens a UDP socket. An IPv6 socket accepts IPv6 only, so that both families can listen on the same port.
pub(super) fn socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Larger buffers only help throughput; the socket works without.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Returns the unspecified address of `addr`'s family, with any port.
pub(super) fn any_addr_like(addr: SocketAddr) -> SocketAddr {
    let ip = if addr.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    SocketAddr::new(ip, 0)
}

/// Returns the addresses at which other nodes reach these listening addresses. An unspecified address is replaced by
/// those of the machine's interfaces; loopback is used only if there is no other.
///
/// # Errors
/// Fails if the operating system cannot list its interfaces.
pub(crate) fn reachable(listening: &BTreeSet<SocketAddr>) -> io::Result<BTreeSet<SocketAddr>> {
    let (unspecified, mut found): (BTreeSet<_>, BTreeSet<_>) = listening
        .iter()
        .copied()
        .partition(|addr| addr.ip().is_unspecified());
    if unspecified.is_empty() {
        return Ok(found);
    }
    let interfaces: Vec<IpAddr> = if_addrs::get_if_addrs()?
        .into_iter()
        .map(|interface| interface.ip())
        .collect();
    for listening in unspecified {
        found.extend(of_interfaces(listening, &interfaces));
    }
    Ok(found)
}

fn of_interfaces(listening: SocketAddr, interfaces: &[IpAddr]) -> Vec<SocketAddr> {
    let same_family = |ip: &&IpAddr| ip.is_ipv4() == listening.is_ipv4() && !is_link_local(**ip);
    let (loopback, outside): (Vec<IpAddr>, Vec<IpAddr>) = interfaces
        .iter()
        .filter(same_family)
        .partition(|ip| ip.is_loopback());
    let chosen = if outside.is_empty() {
        loopback
    } else {
        outside
    };
    chosen
        .into_iter()
        .map(|ip| SocketAddr::new(ip, listening.port()))
        .collect()
}

/// A link-local address is only meaningful together with its interface.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_unspecified_address_stands_for_the_interfaces_of_its_family() {
        let interfaces = ips(&["127.0.0.1", "::1", "10.0.0.5", "fe80::1", "169.254.1.1"]);
        let v4 = of_interfaces("0.0.0.0:9".parse().unwrap(), &interfaces);
        assert_eq!(v4, ["10.0.0.5:9".parse().unwrap()]);
        let v6 = of_interfaces("[::]:9".parse().unwrap(), &interfaces);
        assert_eq!(v6, ["[::1]:9".parse().unwrap()]);
        let explicit = BTreeSet::from(["127.0.0.1:9".parse().unwrap()]);
        assert_eq!(reachable(&explicit).unwrap(), explicit);
        let real = reachable(&BTreeSet::from(["0.0.0.0:9".parse().unwrap()])).unwrap();
        assert!(
            real.iter()
                .all(|addr| !addr.ip().is_unspecified() && addr.port() == 9),
            "{real:?}"
        );
    }

    #[test]
    fn one_port_is_listened_on_in_both_families() {
        let v4 = socket("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = v4.local_addr().unwrap().port();
        if let Ok(v6) = socket(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
            assert_eq!(v6.local_addr().unwrap().port(), port);
        }
    }
}
