//! A node's sockets: it dials peers and hands the links that come in to whoever speaks their protocol.

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
    CloseReason, EndpointAddr, Link, LinkConn, PeerId, SecretKey,
    accept::{Acceptor, ConnHandler, Handler, Handlers, Speaker, peer_of},
    pending::Pending,
    sockets::Sockets,
    tls,
    transport::{self, Transport},
};
use crate::frames::DEFAULT_MAX_FRAME_LEN;

/// A dialler with several addresses starts the next after this long without an answer.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// The bounds of an [`Endpoint`].
#[derive(Debug, Clone)]
pub(crate) struct EndpointConfig {
    /// Bytes of the largest frame taken, without its header. Default 16 MiB.
    pub(crate) max_frame_len: usize,
    /// Time for dialling, over all addresses. Default 10 s.
    pub(crate) connect_timeout: Duration,
    /// Time for an incoming connection to come to its first whole frame. Default 10 s.
    pub(crate) handshake_timeout: Duration,
    /// Incoming connections that may be without a whole frame; when there are more, the one silent longest is closed.
    /// Default 1024, at least 1. In the worst case each holds its receive window, 256 KiB.
    pub(crate) pending_max: usize,
    /// With more than this many of them, or of such as are over and not yet forgotten, addresses are validated first.
    /// Default 64.
    pub(crate) retry_above: usize,
    /// What a connection may hold and how it sends.
    pub(crate) transport: Transport,
    /// Incoming connections in all; more are refused. Those that are over and not yet forgotten have as much room again as
    /// the pending. Default 8192.
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

/// Why a node cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is taken, not this machine's, or not allowed.
    #[error("failed to listen on {addr}: {source}")]
    Socket {
        /// The address.
        addr: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The key or the cryptography does not work.
    #[error("failed to set up TLS: {0}")]
    Tls(String),
    /// The machine's addresses cannot be listed.
    #[error("failed to list the network interfaces: {0}")]
    Interfaces(io::Error),
}

/// Why a peer could not be dialled.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address is known.
    #[error("no address of {0} is known")]
    NoAddress(PeerId),
    /// None of the addresses answered in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The peer, or whoever answered in its place, ended the connection before it was one.
    #[error("{addr} closed the connection: {reason}")]
    Closed {
        /// The last address that failed.
        addr: SocketAddr,
        /// Why.
        reason: CloseReason,
    },
    /// Another peer answered.
    #[error("{addr}: the peer has another key: {found}")]
    OtherKey {
        /// The address that was dialled.
        addr: SocketAddr,
        /// The key it showed, but has not proved.
        found: PeerId,
    },
    /// The handshake failed: no route, or another protocol.
    #[error("{addr}: {message}")]
    Failed {
        /// The last address that failed.
        addr: SocketAddr,
        /// What went wrong.
        message: String,
    },
    /// This node's endpoint is closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
}

/// A node's sockets. Clones are the same endpoint; it lives until [`close`](Self::close) or until the last clone and
/// link is dropped.
#[derive(Clone)]
pub(crate) struct Endpoint(Arc<Inner>);

struct Inner {
    secret: SecretKey,
    config: EndpointConfig,
    sockets: Sockets,
    /// By protocol name.
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
    /// Opens a socket for every address and starts to accept. Without addresses it can only dial.
    ///
    /// Must run inside a Tokio runtime.
    ///
    /// # Errors
    /// When an address cannot be listened on; then none is.
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

    /// The addresses listened on, with the ports that were assigned.
    pub(crate) fn local_addrs(&self) -> BTreeSet<SocketAddr> {
        self.0.sockets.listening()
    }

    /// Hands incoming links of this protocol to `handler`, which runs in the link's own task.
    ///
    /// # Errors
    /// When the key cannot be used; it could at [`bind`](Self::bind).
    pub(crate) fn register(&self, alpn: &'static [u8], handler: Handler) -> Result<(), BindError> {
        self.speak(alpn, Speaker::Link(handler))
    }

    /// Hands incoming connections of this protocol to `handler`, without waiting for a stream.
    ///
    /// # Errors
    /// When the key cannot be used; it could at [`bind`](Self::bind).
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

    /// Dials a peer under a protocol name. All its addresses are tried, one shortly after the other; the first on
    /// which the peer proves its key is taken.
    ///
    /// The peer hears of the stream with the first frame. Cancel safe: dropped, it leaves nothing behind.
    ///
    /// # Errors
    /// After 10 s in all, or when the last address has failed.
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

    /// The same without a stream, for protocols that open theirs themselves.
    ///
    /// # Errors
    /// After 10 s in all, or when the last address has failed.
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
            None => return Err(failed("the peer showed no key".to_owned())),
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

    /// Stops accepting, closes every connection with `reason`, and waits up to 2 s for that to be known and for the
    /// addresses to be free again.
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
