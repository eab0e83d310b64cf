//! `zenoh-peer publish quic|tcp SIZE | subscribe ADDRESS SECONDS`
//!
//! Says `ready ADDRESS`, `began` and `ended NUMBER…` on standard output. Nothing is lost: congestion blocks the publisher.

use std::{
    io::Write as _,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use zenoh::{Config, Session, bytes::ZBytes, qos::CongestionControl};

const WARM_UP: Duration = Duration::from_millis(300);
const KEY: &str = "bench";
const HOST: &str = "localhost";

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["publish", over, size] => publish(over, size.parse()?).await,
        ["subscribe", addr, seconds] => subscribe(addr, seconds.parse()?).await,
        _ => bail!("usage: see the first line of the source"),
    }
}

fn say(text: &str) -> Result<()> {
    println!("{text}");
    Ok(std::io::stdout().flush()?)
}

async fn open(settings: &[(&str, String)]) -> Result<Session> {
    let mut config = Config::default();
    let common = [
        ("mode", "\"peer\"".to_owned()),
        ("scouting/multicast/enabled", "false".to_owned()),
        ("scouting/gossip/enabled", "false".to_owned()),
    ];
    for (key, value) in common.iter().chain(settings) {
        config
            .insert_json5(key, value)
            .map_err(|error| anyhow!("{key}: {error}"))?;
    }
    zenoh::open(config)
        .await
        .map_err(|error| anyhow!("{error}"))
}

async fn publish(over: &str, size: usize) -> Result<()> {
    // A port that is free now: Zenoh does not tell which one it took.
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let folder = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("cert.pem"), made.cert.pem())?;
    std::fs::write(at("key.pem"), made.key_pair.serialize_pem())?;
    let host = if over == "quic" { HOST } else { "127.0.0.1" };
    let endpoint = format!("{over}/{host}:{port}");
    let session = open(&[
        ("listen/endpoints", format!("[\"{endpoint}\"]")),
        (
            "transport/link/tls/listen_certificate",
            format!("\"{}\"", at("cert.pem")),
        ),
        (
            "transport/link/tls/listen_private_key",
            format!("\"{}\"", at("key.pem")),
        ),
    ])
    .await?;
    let publisher = session
        .declare_publisher(KEY)
        .congestion_control(CongestionControl::Block);
    let publisher = publisher.await.map_err(|error| anyhow!("{error}"))?;
    say(&format!("ready {endpoint}#{}", at("cert.pem")))?;
    while !publisher
        .matching_status()
        .await
        .map_err(|error| anyhow!("{error}"))?
        .matching()
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let payload = ZBytes::from(vec![b'x'; size]);
    loop {
        publisher
            .put(payload.clone())
            .await
            .map_err(|error| anyhow!("{error}"))?;
    }
}

async fn subscribe(addr: &str, seconds: f64) -> Result<()> {
    let (endpoint, certificate) = addr
        .split_once('#')
        .context("an address is ENDPOINT#CERTIFICATE")?;
    let session = open(&[
        ("connect/endpoints", format!("[\"{endpoint}\"]")),
        (
            "transport/link/tls/root_ca_certificate",
            format!("\"{certificate}\""),
        ),
    ])
    .await?;
    let seen = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&seen);
    let _subscriber = session
        .declare_subscriber(KEY)
        .callback(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .await
        .map_err(|error| anyhow!("{error}"))?;
    while seen.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(WARM_UP).await;
    say("began")?;
    let (start, before) = (Instant::now(), seen.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let count = seen.load(Ordering::Relaxed) - before;
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let rate = count as f64 / start.elapsed().as_secs_f64();
    say(&format!("ended {rate}"))?;
    std::future::pending().await
}
