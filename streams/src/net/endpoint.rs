//! [`Endpoint`]: the sockets of a node. Dials peers, and hands incoming links to the handlers of their protocols.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    accept::{Acceptor, ConnHandler, Handler, Handlers, Speaker, peer_of},
    close::CloseReason,
    identity::{EndpointAddr, PeerId, SecretKey},
    link::{Link, LinkConn},
    pending::Pending,
    sockets::Sockets,
    tls,
    transport::{self, Transport},
};
use crate::frames::DEFAULT_MAX_FRAME_LEN;

/// The delay after which dialling starts with the next address of a peer while the previous one has not answered.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// The settings of an [`Endpoint`].
#[derive(Debug, Clone)]
pub(crate) struct EndpointConfig {
    /// The maximum length of a received frame in bytes, without its header. Default 16 MiB.
    pub(crate) max_frame_len: usize,
    /// The time limit for dialling, over all addresses. Default 10 s.
    pub(crate) connect_timeout: Duration,
    /// The time limit for an incoming connection to send its first whole frame. Default 10 s.
    pub(crate) handshake_timeout: Duration,
    /// The maximum number of incoming connections without a whole frame. At the limit, the one that has been silent
    /// longest is closed. Default 1024, minimum 1. In the worst case each holds its receive window, 256 KiB.
    pub(crate) pending_max: usize,
    /// Above this number of connections that are pending, or closed and still in memory, addresses are validated first.
    /// Default 64.
    pub(crate) retry_above: usize,
    /// The memory limits and congestion control of connections.
    pub(crate) transport: Transport,
    /// The maximum number of incoming connections; further ones are refused. Closed connections still in memory may
    /// number as many as the pending ones in addition. Default 8192.
    pub(crate) established_max: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            max_frame_len: DEFAULT_MAX_FRAME_LEN,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            pending_max: 1024,
            retry_above: 64,
            transport: Transport::default(),
            established_max: 8192,
        }
    }
}

/// An error from listening on a node's addresses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is in use, does not belong to this machine, or is not permitted.
    #[error("failed to listen on {addr}: {source}")]
    Socket {
        /// The address.
        addr: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Setting up the key or the cryptography failed.
    #[error("failed to set up TLS: {0}")]
    Tls(String),
    /// The network interfaces cannot be listed.
    #[error("failed to list the network interfaces: {0}")]
    Interfaces(io::Error),
}

/// An error from dialling a peer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address of the peer is known.
    #[error("no known address for {0}")]
    NoAddress(PeerId),
    /// No address answered in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The peer, or another process at its address, closed the connection during the handshake.
    #[error("{addr} closed the connection: {reason}")]
    Closed {
        /// The last address that failed.
        addr: SocketAddr,
        /// The reason.
        reason: CloseReason,
    },
    /// A node with another key answered.
    #[error("{addr}: the peer has another key: {found}")]
    OtherKey {
        /// The dialled address.
        addr: SocketAddr,
        /// The key presented by the node. The node has not proven that it holds it.
        found: PeerId,
    },
    /// The handshake failed, for example without a route or with another protocol.
    #[error("{addr}: {message}")]
    Failed {
        /// The last address that failed.
        addr: SocketAddr,
        /// The description of the failure.
        message: String,
    },
    /// This node's endpoint is closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
}

/// The sockets of a node. Clones are handles to the same endpoint. It lives until [`close`](Self::close) is called, or
/// until the last clone and link are dropped.
#[derive(Clone)]
pub(crate) struct Endpoint(Arc<Inner>);

struct Inner {
    secret: SecretKey,
    config: EndpointConfig,
    sockets: Sockets,
    /// Keyed by protocol name.
    clients: Mutex<HashMap<&'static [u8], quinn::ClientConfig>>,
    acceptor: Arc<Acceptor>,
    cancel: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Endpoint {
    /// Opens a socket for each address and starts accepting. Without addresses the endpoint can only dial.
    ///
    /// Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// Fails if one of the addresses cannot be listened on; then no socket stays open.
    pub(crate) fn bind(
        secret: SecretKey,
        listen: &BTreeSet<SocketAddr>,
        config: EndpointConfig,
    ) -> Result<Self, BindError> {
        let cancel = CancellationToken::new();
        let acceptor = Arc::new(Acceptor {
            handlers: Handlers::default(),
            pending: Pending::new(config.pending_max),
            retry_above: config.retry_above,
            established: Arc::new(Semaphore::new(config.established_max)),
            established_max: config.established_max,
            handshake_timeout: config.handshake_timeout,
            max_frame_len: config.max_frame_len,
            cancel: cancel.clone(),
        });
        let server = server_config(&secret, Vec::new(), &config.transport).map_err(tls_failed)?;
        let sockets = Sockets::default();
        let mut accepting = Vec::with_capacity(listen.len());
        for &addr in listen {
            let opened = sockets.listen(addr, server.clone());
            accepting.push(opened.map_err(|source| BindError::Socket { addr, source })?);
        }
        for endpoint in accepting {
            tokio::spawn(acceptor.clone().run(endpoint));
        }
        let clients = Mutex::default();
        Ok(Self(Arc::new(Inner {
            secret,
            config,
            sockets,
            clients,
            acceptor,
            cancel,
        })))
    }

    /// Returns the listening addresses with their assigned ports.
    pub(crate) fn local_addrs(&self) -> BTreeSet<SocketAddr> {
        self.0.sockets.listening()
    }

    /// Passes incoming links of a protocol to `handler`, which runs in the task of the link.
    ///
    /// # Errors
    /// Fails if the key is unusable, which [`bind`](Self::bind) has ruled out.
    pub(crate) fn register(&self, alpn: &'static [u8], handler: Handler) -> Result<(), BindError> {
        self.speak(alpn, Speaker::Link(handler))
    }

    /// Passes incoming connections of a protocol to `handler` without waiting for a stream.
    ///
    /// # Errors
    /// Fails if the key is unusable, which [`bind`](Self::bind) has ruled out.
    pub(crate) fn register_conn(
        &self,
        alpn: &'static [u8],
        handler: ConnHandler,
    ) -> Result<(), BindError> {
        self.speak(alpn, Speaker::Conn(handler))
    }

    fn speak(&self, alpn: &'static [u8], speaker: Speaker) -> Result<(), BindError> {
        self.0.acceptor.handlers.insert(alpn, speaker);
        let server = server_config(
            &self.0.secret,
            self.0.acceptor.handlers.alpns(),
            &self.0.config.transport,
        )
        .map_err(tls_failed)?;
        self.0.sockets.set_server_config(&server);
        Ok(())
    }

    /// Dials a peer with a protocol name. Tries all its addresses, each shortly after the previous one, and uses the
    /// first on which the peer proves its key.
    ///
    /// The peer learns of the stream with the first frame. Cancel safe.
    ///
    /// # Errors
    /// Fails after 10 s in total, or when the last address has failed.
    pub(crate) async fn connect(
        &self,
        to: &EndpointAddr,
        alpn: &'static [u8],
    ) -> Result<Link, ConnectError> {
        let opened = async {
            let (conn, addr) = self.connect_any(to, alpn).await?;
            let stream = conn.open_bi().await.map_err(|error| ended(addr, &error))?;
            Ok(Link::new(conn, stream, self.0.config.max_frame_len))
        };
        self.in_time(opened).await
    }

    /// Like [`connect`](Self::connect), without a stream, for protocols that open streams themselves.
    ///
    /// # Errors
    /// Fails after 10 s in total, or when the last address has failed.
    pub(crate) async fn connect_conn(
        &self,
        to: &EndpointAddr,
        alpn: &'static [u8],
    ) -> Result<LinkConn, ConnectError> {
        let connected = async { Ok(self.connect_any(to, alpn).await?.0) };
        self.in_time(connected).await
    }

    async fn in_time<T>(
        &self,
        connecting: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let deadline = self.0.config.connect_timeout;
        match timeout(deadline, connecting).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::TimedOut(deadline)),
        }
    }

    async fn connect_any(
        &self,
        to: &EndpointAddr,
        alpn: &'static [u8],
    ) -> Result<(LinkConn, SocketAddr), ConnectError> {
        let mut waiting = to.addrs.iter();
        let mut attempts = FuturesUnordered::new();
        let mut last_error = ConnectError::NoAddress(to.id);
        loop {
            if let Some(&addr) = waiting.next() {
                attempts.push(self.connect_one(to, addr, alpn));
            }
            if attempts.is_empty() {
                return Err(last_error);
            }
            let stagger = async {
                if waiting.len() > 0 {
                    tokio::time::sleep(NEXT_ADDRESS_AFTER).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                // Triggered when an address has answered or failed.
                Some(result) = attempts.next() => match result {
                    Ok(conn) => return Ok(conn),
                    Err(error) => last_error = error,
                },
                // Triggered when it is time for the next address.
                () = stagger => {}
            }
        }
    }

    async fn connect_one(
        &self,
        to: &EndpointAddr,
        addr: SocketAddr,
        alpn: &'static [u8],
    ) -> Result<(LinkConn, SocketAddr), ConnectError> {
        if self.0.cancel.is_cancelled() {
            return Err(ConnectError::EndpointClosed);
        }
        let failed = |message: String| ConnectError::Failed { addr, message };
        let client = self
            .client_config(alpn)
            .map_err(|error| failed(error.to_string()))?;
        let endpoint = self
            .0
            .sockets
            .towards(addr)
            .map_err(|error| failed(error.to_string()))?;
        let connecting = endpoint
            .connect_with(client, addr, &tls::server_name(&to.id))
            .map_err(|error| failed(error.to_string()))?;
        let conn = connecting.await.map_err(|error| ended(addr, &error))?;
        match peer_of(&conn) {
            Some(found) if found != to.id => return Err(ConnectError::OtherKey { addr, found }),
            None => return Err(failed("the peer presented no key".to_owned())),
            Some(_) => {}
        }
        Ok((LinkConn::new(conn, to.id), addr))
    }

    fn client_config(&self, alpn: &'static [u8]) -> Result<quinn::ClientConfig, rustls::Error> {
        let mut clients = self
            .0
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(alpn) {
            return Ok(client.clone());
        }
        let tls = tls::client_config(&self.0.secret, alpn)?;
        let crypto = QuicClientConfig::try_from(tls)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let mut client = quinn::ClientConfig::new(Arc::new(crypto));
        client.transport_config(transport::dialler(&self.0.config.transport));
        clients.insert(alpn, client.clone());
        Ok(client)
    }

    /// Stops accepting, closes every connection with `reason`, and waits up to 2 s until peers have received that and
    /// the addresses are free again.
    pub(crate) async fn close(&self, reason: CloseReason) {
        self.0.cancel.cancel();
        self.0.acceptor.handlers.clear();
        self.0.sockets.close(reason).await;
    }
}

fn ended(addr: SocketAddr, error: &quinn::ConnectionError) -> ConnectError {
    if let Some(found) = tls::found_key(error) {
        return ConnectError::OtherKey { addr, found };
    }
    match CloseReason::from_connection_error(error) {
        CloseReason::Lost => ConnectError::Failed {
            addr,
            message: error.to_string(),
        },
        reason => ConnectError::Closed { addr, reason },
    }
}

fn tls_failed(error: rustls::Error) -> BindError {
    BindError::Tls(error.to_string())
}

fn server_config(
    secret: &SecretKey,
    alpns: Vec<Vec<u8>>,
    transport: &Transport,
) -> Result<quinn::ServerConfig, rustls::Error> {
    let tls = tls::server_config(secret, alpns)?;
    let crypto = QuicServerConfig::try_from(tls)
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(transport::acceptor(transport));
    Ok(server)
}
