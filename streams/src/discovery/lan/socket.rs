//! The multicast DNS sockets: one per interface, all on port 5353.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
};

use futures::{FutureExt, future::select_all};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::packet::PACKET_MAX;

/// RFC 6762, section 3.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub(super) const PORT: u16 = 5353;
/// The maximum number of interfaces to listen on.
const INTERFACES_MAX: usize = 8;

pub(super) struct Sockets(Vec<UdpSocket>);

impl Sockets {
    /// Opens a socket on each interface that allows it.
    ///
    /// # Errors
    /// Fails if no interface allows it.
    pub(super) fn open(interfaces: &[Ipv4Addr]) -> io::Result<Self> {
        let mut sockets = Vec::new();
        let mut failed = io::Error::other("the node has no IPv4 address");
        for interface in interfaces.iter().take(INTERFACES_MAX) {
            match open(*interface) {
                Ok(socket) => sockets.push(socket),
                Err(error) => failed = error,
            }
        }
        if sockets.is_empty() {
            return Err(failed);
        }
        Ok(Self(sockets))
    }

    /// Multicasts a packet on every interface.
    ///
    /// # Errors
    /// Fails if no interface sends it.
    pub(super) async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let mut sent = Err(io::ErrorKind::NotConnected.into());
        for socket in &self.0 {
            let result = socket.send_to(packet, (GROUP, PORT)).await;
            sent = sent.or(result.map(drop));
        }
        sent
    }

    /// Waits for a packet from a multicast DNS sender. Cancel safe.
    pub(super) async fn receive(&self) -> io::Result<Vec<u8>> {
        let mut buffers = vec![[0; PACKET_MAX + 1]; self.0.len()];
        loop {
            let receiving = self.0.iter().zip(&mut buffers).map(|(socket, buffer)| {
                async move { Ok((socket.recv_from(buffer.as_mut()).await?, &*buffer)) }.boxed()
            });
            let received: io::Result<_> = select_all(receiving).await.0;
            let ((len, from), buffer) = received?;
            // Nodes send from port 5353. Senders are on the local network, because the group is not routed.
            if from.port() == PORT {
                return Ok(buffer[..len].to_vec());
            }
        }
    }
}

fn open(interface: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // Other processes on this machine may listen on the same port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    let any: SocketAddr = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT).into();
    socket.bind(&any.into())?;
    socket.join_multicast_v4(&GROUP, &interface)?;
    socket.set_multicast_if_v4(&interface)?;
    socket.set_multicast_loop_v4(true)?;
    // RFC 6762, section 11.
    socket.set_multicast_ttl_v4(255)?;
    UdpSocket::from_std(socket.into())
}
