//! The UDP sockets of a node, and the choice of a socket for a target address.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::time::{sleep, timeout};

use super::{close::CloseReason, released::Released, transport};

/// The time limit for delivering the final close frames, and again for releasing the sockets.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const RELEASE_PAUSE: Duration = Duration::from_millis(1);

/// All sockets of a node. Empty once closed.
#[derive(Default)]
pub(super) struct Sockets(Mutex<Open>);

#[derive(Default)]
struct Open {
    /// One per listening address.
    listening: Vec<Socket>,
    /// Opened for targets of a family or reach that no listening socket has. They accept nothing.
    outgoing: Vec<Socket>,
}

struct Socket {
    addr: SocketAddr,
    endpoint: quinn::Endpoint,
    /// Dead once the port is returned to the operating system.
    io: Weak<dyn AsyncUdpSocket>,
}

impl Socket {
    fn open(addr: SocketAddr, server: Option<quinn::ServerConfig>) -> io::Result<Self> {
        let runtime = Arc::new(TokioRuntime);
        let socket = transport::socket(addr)?;
        let addr = socket.local_addr()?;
        let io = runtime.wrap_udp_socket(socket)?;
        let weak = Arc::downgrade(&io);
        let config = quinn::EndpointConfig::default();
        let endpoint = quinn::Endpoint::new_with_abstract_socket(config, server, io, runtime)?;
        Ok(Self {
            addr,
            endpoint,
            io: weak,
        })
    }

    fn reaches(&self, to: SocketAddr) -> bool {
        let from = self.addr;
        from.is_ipv4() == to.is_ipv4()
            && (from.ip().is_unspecified() || from.ip().is_loopback() == to.ip().is_loopback())
    }
}

impl Sockets {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens on another address.
    pub(super) fn listen(
        &self,
        addr: SocketAddr,
        server: quinn::ServerConfig,
    ) -> io::Result<quinn::Endpoint> {
        let socket = Socket::open(addr, Some(server))?;
        let endpoint = socket.endpoint.clone();
        self.lock().listening.push(socket);
        Ok(endpoint)
    }

    /// Returns the listening addresses.
    pub(super) fn listening(&self) -> BTreeSet<SocketAddr> {
        self.lock()
            .listening
            .iter()
            .map(|socket| socket.addr)
            .collect()
    }

    /// Sets the settings for accepting connections from now on.
    pub(super) fn set_server_config(&self, server: &quinn::ServerConfig) {
        for socket in &self.lock().listening {
            socket.endpoint.set_server_config(Some(server.clone()));
        }
    }

    /// Returns a socket that reaches `addr`: a listening one if possible, otherwise one that only dials, so that a node
    /// that listens on loopback only can dial out.
    pub(super) fn towards(&self, addr: SocketAddr) -> io::Result<quinn::Endpoint> {
        let mut open = self.lock();
        let found = open
            .listening
            .iter()
            .chain(&open.outgoing)
            .find(|socket| socket.reaches(addr));
        if let Some(socket) = found {
            return Ok(socket.endpoint.clone());
        }
        let socket = Socket::open(transport::any_addr_like(addr), None)?;
        let endpoint = socket.endpoint.clone();
        open.outgoing.push(socket);
        Ok(endpoint)
    }

    /// Closes every connection with `reason`. Waits up to 1 s until peers have received that, and up to another 1 s
    /// until the addresses are free. Links that are still in use keep them occupied.
    pub(super) async fn close(&self, reason: CloseReason) {
        let Open {
            listening,
            outgoing,
        } = std::mem::take(&mut *self.lock());
        let all: Vec<Socket> = listening.into_iter().chain(outgoing).collect();
        for socket in &all {
            socket
                .endpoint
                .close(reason.wire_code(), reason.name().as_bytes());
        }
        let idle = futures::future::join_all(all.iter().map(|socket| socket.endpoint.wait_idle()));
        // Peers that did not receive it notice at the idle timeout.
        let _ = timeout(CLOSE_TIMEOUT, idle).await;
        for socket in &all {
            // Cannot fail for an address that could be bound. If it did, the port would be free a little later.
            let _ = Released::replace(&socket.endpoint, socket.addr);
        }
        let released = async {
            while all.iter().any(|socket| socket.io.strong_count() > 0) {
                sleep(RELEASE_PAUSE).await;
            }
        };
        // A link that is still in use keeps its socket.
        let _ = timeout(CLOSE_TIMEOUT, released).await;
    }
}
