//! The relay that a Mosaik node waits for when it starts; on loopback, without TLS.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use iroh_relay::server::Server;
use tokio::io::{AsyncReadExt, stdin};

use crate::version;

/// Runs until standard input ends.
pub async fn run() -> anyhow::Result<()> {
    let config = version::relay(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let server = Server::spawn(config)
        .await
        .context("failed to start the relay")?;
    let addr = server.http_addr().context("the relay has no address")?;
    println!("http://{addr}");
    let mut rest = Vec::new();
    stdin().read_to_end(&mut rest).await?;
    server.shutdown().await.context("failed to stop the relay")
}
