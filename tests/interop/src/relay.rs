//! The relay that a Mosaik node waits for when it starts; on loopback, without TLS.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use iroh_relay::server::{AccessConfig, Limits, RelayConfig, Server, ServerConfig};
use tokio::io::{AsyncReadExt, stdin};

/// Runs until standard input ends.
pub async fn run() -> anyhow::Result<()> {
    let config = ServerConfig::<std::io::Error> {
        relay: Some(RelayConfig {
            http_bind_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: None,
            limits: Limits::default(),
            key_cache_capacity: None,
            access: AccessConfig::Everyone,
        }),
        quic: None,
        metrics_addr: None,
    };
    let server = Server::spawn(config)
        .await
        .context("failed to start the relay")?;
    let addr = server.http_addr().context("the relay has no address")?;
    println!("http://{addr}");
    let mut rest = Vec::new();
    stdin().read_to_end(&mut rest).await?;
    server.shutdown().await.context("failed to stop the relay")
}
