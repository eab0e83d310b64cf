//! What takes a UDP socket's place when a node gives its port back while quinn still lets old connections die.

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

/// Takes all that is sent to nowhere, and never receives anything.
#[derive(Debug)]
pub(super) struct Released {
    /// The address it had; quinn asks for its family.
    addr: SocketAddr,
}

impl Released {
    /// Makes `endpoint` let go of its socket.
    pub(super) fn replace(endpoint: &quinn::Endpoint, addr: SocketAddr) -> io::Result<()> {
        // quinn keeps listening on the socket before, so it takes a second change to be rid of the first.
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
