//! [`Released`]: replaces a UDP socket when a node releases its port while quinn still drains old connections.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

/// Discards everything that is sent, and never receives anything.
#[derive(Debug)]
pub(super) struct Released {
    /// The former address of the socket; quinn reads its family.
    addr: SocketAddr,
}

impl Released {
    /// Makes `endpoint` release its socket.
    pub(super) fn replace(endpoint: &quinn::Endpoint, addr: SocketAddr) -> io::Result<()> {
        // quinn keeps the previous socket on a rebind, so a second rebind is needed to drop the first socket.
        endpoint.rebind_abstract(Arc::new(Self { addr }))?;
        endpoint.rebind_abstract(Arc::new(Self { addr }))
    }
}

impl AsyncUdpSocket for Released {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, _transmit: &Transmit<'_>) -> io::Result<()> {
        Ok(())
    }

    fn poll_recv(
        &self,
        _cx: &mut Context<'_>,
        _bufs: &mut [IoSliceMut<'_>],
        _meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
