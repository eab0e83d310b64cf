//! quinn alone with the same windows, as the baseline.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use quinn::{
    ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::QuicClientConfig,
};
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};

use super::{Reach, WARM_UP, ask_for, say, say_latency};
use crate::measure::Result;

const WRITE: usize = 64 * 1024;
const PING: usize = 100;
/// As in the streams crate.
const WINDOW: u32 = 8 * 1024 * 1024;
const SEND_WINDOW: u64 = 16 * 1024 * 1024;
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
const NAME: &str = "localhost";

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(SEND_WINDOW);
    Arc::new(config)
}

fn socket() -> Result<std::net::UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    // Larger buffers only help throughput; the socket works without.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket.into())
}

fn endpoint(server: Option<ServerConfig>) -> Result<Endpoint> {
    let runtime = quinn::default_runtime().ok_or("there is no runtime")?;
    let config = quinn::EndpointConfig::default();
    Ok(Endpoint::new(config, server, socket()?, runtime)?)
}

/// Waits for the only connection.
async fn accept() -> Result<Connection> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let shown = HEXLOWER.encode(&certificate);
    let mut config = ServerConfig::with_single_cert(vec![certificate], key.into())?;
    config.transport_config(transport());
    let endpoint = endpoint(Some(config))?;
    say(&format!("ready {}#{shown}", endpoint.local_addr()?))?;
    let incoming = endpoint.accept().await.ok_or("the endpoint is closed")?;
    Ok(incoming.await?)
}

async fn connect(addr: &str) -> Result<(Endpoint, Connection)> {
    let (addr, certificate) = addr
        .split_once('#')
        .ok_or("an address is IP:PORT#CERTIFICATE")?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(
        HEXLOWER.decode(certificate.as_bytes())?,
    ))?;
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport());
    let mut endpoint = endpoint(None)?;
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(addr.parse()?, NAME)?.await?;
    Ok((endpoint, connection))
}

pub(super) async fn write() -> Result<()> {
    let connection = accept().await?;
    let (mut stream, _back) = connection.accept_bi().await?;
    let bytes = vec![b'x'; WRITE];
    loop {
        stream.write_all(&bytes).await?;
    }
}

pub(super) async fn read(reach: &Reach) -> Result<()> {
    let (_endpoint, connection) = connect(&reach.addr).await?;
    let (mut there, mut stream) = connection.open_bi().await?;
    there.write_all(b"go").await?;
    let mut chunks: [bytes::Bytes; 32] = std::array::from_fn(|_| bytes::Bytes::new());
    let (start, window) = (Instant::now(), Duration::from_secs_f64(reach.seconds));
    let (mut bytes, mut began) = (0_u64, None);
    while let Some(count) = stream.read_chunks(&mut chunks).await? {
        bytes += chunks[..count]
            .iter()
            .map(|chunk| chunk.len() as u64)
            .sum::<u64>();
        match began {
            None if start.elapsed() > WARM_UP => {
                say("began")?;
                began = Some((Instant::now(), bytes));
            }
            Some((began, before)) if began.elapsed() >= window => {
                let rate = (bytes - before) as f64 / began.elapsed().as_secs_f64();
                say(&format!("ended {rate}"))?;
                return std::future::pending().await;
            }
            _ => {}
        }
    }
    Err("the writer ended".into())
}

pub(super) async fn echo() -> Result<()> {
    let connection = accept().await?;
    let (mut back, mut there) = connection.accept_bi().await?;
    let mut question = [0; PING];
    loop {
        there.read_exact(&mut question).await?;
        back.write_all(&question).await?;
    }
}

pub(super) async fn ping(reach: &Reach) -> Result<()> {
    let (_endpoint, connection) = connect(&reach.addr).await?;
    let (mut there, mut back) = connection.open_bi().await?;
    let mut answer = [0; PING];
    let waits = ask_for(reach.seconds, async || {
        there.write_all(&answer).await?;
        back.read_exact(&mut answer).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    })
    .await?;
    say_latency(waits)
}
