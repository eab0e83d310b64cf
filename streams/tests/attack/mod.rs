//! A malicious peer: plain quinn with raw public keys and handwritten frames, so that it can send anything.

pub(crate) mod entry;
mod tls;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use mosaik_streams::{EndpointAddr, Network, PeerId, SecretKey};
use quinn::{Connection, ConnectionError, RecvStream, SendStream, crypto::rustls::HandshakeData};

pub(crate) use entry::{Entry, snapshot};

pub(crate) const STREAMS: &[u8] = b"/mosaik/streams/1.0";
pub(crate) const SYNC: &[u8] = b"/mosaik/discovery/sync/1.0";
pub(crate) const PING: &[u8] = b"/mosaik/discovery/ping/1.0";
pub(crate) const ALPNS: [&[u8]; 3] = [STREAMS, SYNC, PING];

/// A key and a socket.
pub(crate) struct Attacker {
    pub(crate) key: SecretKey,
    pub(crate) endpoint: quinn::Endpoint,
}

/// A connection with its one stream.
pub(crate) struct Line {
    pub(crate) conn: Connection,
    pub(crate) tx: SendStream,
    pub(crate) rx: RecvStream,
}

impl Attacker {
    pub(crate) fn new() -> Self {
        let key = SecretKey::generate();
        let server = quinn::ServerConfig::with_crypto(tls::server(&key));
        let (config, runtime) = (quinn::EndpointConfig::default(), quinn::TokioRuntime);
        let endpoint = quinn::Endpoint::new(config, Some(server), socket(), Arc::new(runtime));
        let endpoint = endpoint.expect("a runtime");
        Self { key, endpoint }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.key.public()
    }

    pub(crate) fn addr(&self) -> EndpointAddr {
        let addr = self.endpoint.local_addr().expect("it is bound");
        EndpointAddr::new(self.id(), [addr])
    }

    /// Returns its entry when it behaves correctly.
    pub(crate) fn entry(&self, network: &str) -> Entry {
        Entry::new(network, &self.addr())
    }

    pub(crate) fn connecting(&self, node: &EndpointAddr, alpn: &[u8]) -> quinn::Connecting {
        let addr = *node.addrs.first().expect("it is bound");
        let mut config = quinn::ClientConfig::new(tls::client(&self.key, alpn));
        let mut transport = quinn::TransportConfig::default();
        // Like an attacker that stays connected.
        transport.keep_alive_interval(Some(Duration::from_secs(2)));
        config.transport_config(Arc::new(transport));
        let name = tls::server_name(&node.id);
        let connecting = self.endpoint.connect_with(config, addr, &name);
        connecting.expect("the configuration works")
    }

    pub(crate) async fn dial(&self, node: &Network, alpn: &[u8]) -> Connection {
        let addr = node.local().addr();
        // On a busy machine an attempt may take longer than its timeout.
        for _ in 0..9 {
            if let Ok(conn) = self.connecting(&addr, alpn).await {
                return conn;
            }
        }
        let last = self.connecting(&addr, alpn).await;
        last.expect("the node accepts connections")
    }

    /// Dials and sends any bytes.
    pub(crate) async fn say(&self, node: &Network, alpn: &[u8], bytes: &[u8]) -> Line {
        let conn = self.dial(node, alpn).await;
        let (mut tx, rx) = conn.open_bi().await.expect("one stream is allowed");
        // Fails if the node has closed the connection, which the caller detects.
        let _ = tx.write_all(bytes).await;
        Line { conn, tx, rx }
    }

    /// Joins the node's catalog like any member.
    pub(crate) async fn join(&self, node: &Network, entry: &Entry) {
        let snapshot = snapshot(&[entry.signed(&self.key)]);
        let mut line = self.say(node, SYNC, &frame(&snapshot)).await;
        line.answer().await.expect("the node answers a member");
        line.conn.close(200u32.into(), b"Success");
    }

    /// Answers every connection with `answer`, while the attacker exists.
    pub(crate) fn serve<F>(&self, answer: impl Fn(Line) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let endpoint = self.endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let Ok(conn) = incoming.await else { continue };
                let Ok((tx, rx)) = conn.accept_bi().await else {
                    continue;
                };
                tokio::spawn(answer(Line { conn, tx, rx }));
            }
        });
    }
}

impl Line {
    /// The protocol of the connection.
    pub(crate) fn alpn(&self) -> Option<Vec<u8>> {
        let data = self.conn.handshake_data()?;
        data.downcast::<HandshakeData>().ok()?.protocol
    }

    /// Returns the payload of the next frame.
    pub(crate) async fn answer(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 4];
        self.rx.read_exact(&mut header).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes(header) as usize];
        self.rx.read_exact(&mut payload).await.ok()?;
        Some(payload)
    }

    /// Returns all bytes up to the end.
    pub(crate) async fn everything(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(Some(chunk)) = self.rx.read_chunk(usize::MAX, true).await {
            all.extend_from_slice(&chunk.bytes);
        }
        all
    }
}

/// With room for the answers to many connections.
fn socket() -> UdpSocket {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = UdpSocket::bind(any).expect("loopback can be listened on");
    let asked = socket2::SockRef::from(&socket).set_recv_buffer_size(4 * 1024 * 1024);
    asked.expect("it may be less");
    socket
}

/// Returns the code with which the node closed the connection.
pub(crate) async fn code(conn: &Connection) -> Option<u64> {
    match conn.closed().await {
        ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
        _ => None,
    }
}

/// Encodes a valid frame.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a frame of these tests");
    [&len.to_be_bytes()[..], payload].concat()
}
