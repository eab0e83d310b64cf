//! The UDP sockets of a node, and which of them reaches whom.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::time::{sleep, timeout};

use super::{CloseReason, released::Released, transport};

/// How long closing waits for the last goodbyes to be out, and again for the sockets to be given back.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const RELEASE_PAUSE: Duration = Duration::from_millis(1);

/// All sockets of a node; empty once closed.
#[derive(Default)]
pub(super) struct Sockets(Mutex<Open>);

#[derive(Default)]
struct Open {
    /// One per address listened on.
    listening: Vec<Socket>,
    /// Opened when a target is of no family or reach that is listened on; they accept nothing.
    outgoing: Vec<Socket>,
}

struct Socket {
    addr: SocketAddr,
    endpoint: quinn::Endpoint,
    /// Gone when the operating system has its port back.
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

    /// Listens on one more address.
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

    /// The addresses listened on.
    pub(super) fn listening(&self) -> BTreeSet<SocketAddr> {
        self.lock()
            .listening
            .iter()
            .map(|socket| socket.addr)
            .collect()
    }

    /// Accepts by these settings from now on.
    pub(super) fn set_server_config(&self, server: &quinn::ServerConfig) {
        for socket in &self.lock().listening {
            socket.endpoint.set_server_config(Some(server.clone()));
        }
    }

    /// A socket that reaches `addr`: one that listens, or else one that only dials, so that a node that listens on
    /// loopback alone can still dial out.
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

    /// Closes every connection with `reason`, waits up to a second for that to be known, and up to another until the
    /// addresses can be listened on again; links that are still held keep them taken.
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
        // Whoever did not hear of it finds out by the idle time-out.
        let _ = timeout(CLOSE_TIMEOUT, idle).await;
        for socket in &all {
            // It fails for no address that could be bound; if it did, the port would be free a little later.
            let _ = Released::replace(&socket.endpoint, socket.addr);
        }
        let released = async {
            while all.iter().any(|socket| socket.io.strong_count() > 0) {
                sleep(RELEASE_PAUSE).await;
            }
        };
        // Whoever holds on to a link holds on to its socket too.
        let _ = timeout(CLOSE_TIMEOUT, released).await;
    }
}
