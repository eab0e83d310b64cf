//! `mosaik-peer relay | produce RELAY SIZE | consume RELAY ADDR SECONDS | echo RELAY | ping RELAY ADDR SECONDS`
//!
//! Says `ready ADDRESS`, `began` and `ended NUMBER…` on standard output.

#[expect(dead_code, unused_imports, reason = "tests use the rest of it")]
#[path = "../../../../tests/interop/src/v0_3.rs"]
mod v0_3;

use std::{
    collections::BTreeSet,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use iroh::{EndpointAddr, RelayMode, RelayUrl, TransportAddr};
use iroh_relay::server::Server;
use mosaik::{
    Network, PeerId,
    streams::{Consumer, Producer, producer},
};
use serde::{Deserialize, Serialize};

const WARM_UP: Duration = Duration::from_millis(300);
const BUFFER_SIZE: usize = 64 * 1024;
const STREAM: &str = "bench";
const PING_SIZE: usize = 100;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Message {
    seq: u64,
    payload: Bytes,
}

impl Message {
    fn of(size: usize) -> Self {
        let payload = Bytes::from(vec![b'x'; size.saturating_sub(5)]);
        Self { seq: 0, payload }
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["relay"] => relay().await,
        ["produce", relay, size] => produce(relay, size.parse()?).await,
        ["consume", relay, addr, seconds] => consume(relay, addr, seconds.parse()?).await,
        ["echo", relay] => echo(relay).await,
        ["ping", relay, addr, seconds] => ping(relay, addr, seconds.parse()?).await,
        _ => bail!("usage: see the first line of the source"),
    }
}

fn say(text: &str) -> Result<()> {
    println!("{text}");
    Ok(std::io::stdout().flush()?)
}

async fn relay() -> Result<()> {
    let server = Server::spawn(v0_3::relay(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).await?;
    let addr = server.http_addr().context("the relay has no address")?;
    say(&format!("ready http://{addr}"))?;
    std::future::pending().await
}

async fn node(relay: &str, bootstrap: Option<&str>) -> Result<Network> {
    let relay: RelayUrl = relay.parse()?;
    let mut discovery = v0_3::discovery();
    if let Some(addr) = bootstrap {
        discovery = discovery.with_bootstrap(address(addr)?);
    }
    let network = Network::builder("bench")
        .with_relay_mode(RelayMode::custom([relay]))
        .with_addresses(BTreeSet::from([SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]))
        .with_discovery(discovery);
    let network = network.build().await?;
    if let Some(addr) = bootstrap {
        // Else the two hear of each other when they next happen to.
        network.discovery().sync_with(address(addr)?).await?;
    }
    Ok(network)
}

fn address(text: &str) -> Result<EndpointAddr> {
    let (id, ip) = text.split_once('@').context("an address is ID@IP:PORT")?;
    let ip = TransportAddr::Ip(ip.parse()?);
    Ok(EndpointAddr::from_parts(id.parse::<PeerId>()?, [ip]))
}

fn say_ready(network: &Network) -> Result<()> {
    let addr = network.local().addr();
    let ip = addr.addrs.iter().find_map(|addr| match addr {
        TransportAddr::Ip(ip) if ip.ip().is_loopback() => Some(ip),
        _ => None,
    });
    say(&format!(
        "ready {}@{}",
        addr.id,
        ip.context("it listens on loopback")?
    ))
}

async fn produce(relay: &str, size: usize) -> Result<()> {
    let network = node(relay, None).await?;
    let builder = network
        .streams()
        .producer::<Message>()
        .with_stream_id(STREAM);
    let producer = builder
        .with_buffer_size(BUFFER_SIZE)
        .disconnect_lagging(false)
        .build();
    let producer = producer.map_err(|error| anyhow!("{error}"))?;
    say_ready(&network)?;
    producer.when().online().await;
    let mut message = Message::of(size);
    loop {
        message.seq += 1;
        // Its sink may refuse what it said it has room for, and its fan-out drops what a consumer has no room for: the seq
        // tells the consumer what was lost.
        let mut next = message.clone();
        loop {
            next = match producer.try_send(next) {
                Ok(()) => break,
                Err(producer::Error::Full(back)) => back,
                Err(error) => bail!("{error}"),
            };
            tokio::task::yield_now().await;
        }
    }
}

async fn consume(relay: &str, addr: &str, seconds: f64) -> Result<()> {
    let network = node(relay, Some(addr)).await?;
    let mut consumer = network
        .streams()
        .consumer::<Message>()
        .with_stream_id(STREAM)
        .build();
    consumer.recv().await.context("the stream ended")?;
    let (start, window) = (Instant::now(), Duration::from_secs_f64(seconds));
    let (mut count, mut bytes, mut began) = (0_u64, 0, None);
    while let Some(message) = consumer.recv().await {
        count += 1;
        bytes += message.payload.len();
        // The clock is not looked at for each.
        if count % 64 != 0 {
            continue;
        }
        match began {
            None if start.elapsed() > WARM_UP => {
                say("began")?;
                began = Some((Instant::now(), count, bytes));
            }
            Some((began, old_count, old_bytes)) if began.elapsed() >= window => {
                let took = began.elapsed().as_secs_f64();
                #[expect(clippy::cast_precision_loss, reason = "counts are small")]
                let rate = |count: u64| count as f64 / took;
                say(&format!(
                    "ended {} {}",
                    rate(count - old_count),
                    rate((bytes - old_bytes) as u64)
                ))?;
                return std::future::pending().await;
            }
            _ => {}
        }
    }
    bail!("the stream ended")
}

/// What a node answers or asks on, and what it hears on.
fn streams(
    network: &Network,
    to: &str,
    from: &str,
) -> Result<(Producer<Message>, Consumer<Message>)> {
    let streams = network.streams();
    let producer = streams.producer().with_stream_id(to).build();
    let producer = producer.map_err(|error| anyhow!("{error}"))?;
    Ok((producer, streams.consumer().with_stream_id(from).build()))
}

async fn echo(relay: &str) -> Result<()> {
    let network = node(relay, None).await?;
    let (mut answers, mut questions) = streams(&network, "pong", "ping")?;
    say_ready(&network)?;
    while let Some(question) = questions.next().await {
        answers
            .send(question)
            .await
            .map_err(|error| anyhow!("{error}"))?;
    }
    Ok(())
}

async fn ping(relay: &str, addr: &str, seconds: f64) -> Result<()> {
    let network = node(relay, Some(addr)).await?;
    let (mut questions, mut answers) = streams(&network, "ping", "pong")?;
    answers.when().online().await;
    questions.when().online().await;
    let (start, mut waits) = (Instant::now(), Vec::new());
    while start.elapsed() < WARM_UP + Duration::from_secs_f64(seconds) {
        let asked = Instant::now();
        let sent = questions.send(Message::of(PING_SIZE)).await;
        sent.map_err(|error| anyhow!("{error}"))?;
        answers.recv().await.context("the stream ended")?;
        if start.elapsed() > WARM_UP {
            waits.push(asked.elapsed());
        }
    }
    waits.sort();
    let at = |part: usize| waits[waits.len() * part / 100].as_secs_f64() * 1e6;
    say(&format!("ended {:.2} {:.2}", at(50), at(99)))
}
