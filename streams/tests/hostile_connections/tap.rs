//! A client socket that counts the node's answers and optionally discards them.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, EndpointConfig, Runtime, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};

/// The numbers of received packets by type.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) retries: AtomicU64,
    pub(crate) others: AtomicU64,
}

/// A socket that discards everything received: quinn never gets an answer.
#[derive(Debug)]
pub(crate) struct Tap {
    inner: Arc<dyn AsyncUdpSocket>,
    heard: Arc<Heard>,
}

impl Tap {
    /// An endpoint that can only send.
    pub(crate) fn deaf_endpoint() -> (quinn::Endpoint, Arc<Heard>) {
        let runtime = Arc::new(TokioRuntime);
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback can be listened on");
        let inner = runtime.wrap_udp_socket(socket).expect("a socket");
        let heard = Arc::new(Heard::default());
        let tap = Self {
            inner,
            heard: heard.clone(),
        };
        let config = EndpointConfig::default();
        let endpoint =
            quinn::Endpoint::new_with_abstract_socket(config, None, Arc::new(tap), runtime);
        (endpoint.expect("a runtime"), heard)
    }
}

impl Heard {
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(crate) fn others(&self) -> u64 {
        self.others.load(Ordering::Relaxed)
    }

    /// RFC 9000 section 17.2: a long header's first byte is 11tt…, and a Retry's type is 3.
    fn count(&self, datagram: &[u8]) {
        let is_retry = datagram.first().is_some_and(|first| first & 0xf0 == 0xf0);
        let counter = if is_retry {
            &self.retries
        } else {
            &self.others
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl AsyncUdpSocket for Tap {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let count = ready!(self.inner.poll_recv(cx, bufs, meta))?;
            for (buf, meta) in bufs.iter().zip(&meta[..count]) {
                for datagram in buf[..meta.len].chunks(meta.stride.max(1)) {
                    self.heard.count(datagram);
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}
