//! The other processes of a measurement. They print `ready ADDRESS` when others may connect, `began` when a measurement
//! starts, and `ended NUMBER…` with its results.

mod idle;
mod latency;
mod quinn;
pub(crate) mod throughput;

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use mosaik_streams::{EndpointAddr, Network, discovery};

use crate::measure::Result;

/// The time for which records flow before they are counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// The capacity of a queue in records, for throughput.
const BUFFER_SIZE: usize = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Produces until it is killed.
    Produce(throughput::Produce),
    /// Counts received records.
    Consume(throughput::Consume),
    /// Echoes records.
    Echo,
    /// Sends records and measures the time until the echo.
    Ping(Reach),
    /// Like `produce`, with quinn only.
    QuinnWrite,
    /// Like `consume`, with quinn only.
    QuinnRead(Reach),
    /// Like `echo`, with quinn only.
    QuinnEcho,
    /// Like `ping`, with quinn only.
    QuinnPing(Reach),
    /// Offers idle streams.
    Offer {
        /// The number of streams.
        streams: usize,
    },
    /// Runs idle streams with producers and consumers in this process.
    Inside {
        /// The number of streams.
        streams: usize,
    },
    /// Runs a case of `budgets`.
    Counted {
        /// The name of the case.
        name: String,
    },
    /// Subscribes to idle streams.
    Subscribe {
        /// The address of the producer.
        addr: EndpointAddr,
        /// The number of streams.
        streams: usize,
    },
}

/// The target and duration of a measurement.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// The address of the other process.
    addr: String,
    /// The duration in seconds.
    seconds: f64,
}

/// Runs one part.
pub(crate) fn run(part: &Part) -> Result<()> {
    if let Part::Counted { name } = part {
        return say(&format!("did {}", crate::budget::counted(name)?));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match part {
            Part::Produce(what) => throughput::produce(what).await,
            Part::Consume(what) => throughput::consume(what).await,
            Part::Echo => latency::echo().await,
            Part::Ping(reach) => latency::ping(reach).await,
            Part::QuinnWrite => quinn::write().await,
            Part::QuinnRead(reach) => quinn::read(reach).await,
            Part::QuinnEcho => quinn::echo().await,
            Part::QuinnPing(reach) => quinn::ping(reach).await,
            Part::Counted { .. } => Ok(()),
            Part::Inside { streams } => idle::inside(*streams).await,
            Part::Offer { streams } => idle::offer(*streams).await,
            Part::Subscribe { addr, streams } => idle::subscribe(addr.clone(), *streams).await,
        }
    })
}

/// Prints a line for the measuring process.
#[expect(
    clippy::print_stdout,
    reason = "this is how parts tell what they have to tell"
)]
fn say(text: &str) -> Result<()> {
    println!("{text}");
    Ok(std::io::stdout().flush()?)
}

async fn node(bootstrap: Option<EndpointAddr>) -> Result<Network> {
    let mut discovery = discovery::Config::builder();
    if let Some(addr) = bootstrap {
        discovery = discovery.with_bootstrap(addr);
    }
    let network = Network::builder("bench").with_discovery(discovery);
    Ok(network.build().await?)
}

/// Prints the median and the 99th percentile of the waits, in µs.
fn say_latency(mut waits: Vec<Duration>) -> Result<()> {
    waits.sort();
    let at = |part: usize| {
        waits
            .get(waits.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    let micros = |wait: Duration| wait.as_secs_f64() * 1e6;
    say(&format!(
        "ended {:.2} {:.2}",
        micros(at(50)),
        micros(at(99))
    ))
}

/// Sends requests for this duration, after a warm-up.
async fn ask_for<E>(
    seconds: f64,
    mut ask: impl AsyncFnMut() -> std::result::Result<(), E>,
) -> std::result::Result<Vec<Duration>, E> {
    let (start, mut waits) = (Instant::now(), Vec::new());
    let until = WARM_UP + Duration::from_secs_f64(seconds);
    while start.elapsed() < until {
        let asked = Instant::now();
        ask().await?;
        if start.elapsed() > WARM_UP {
            waits.push(asked.elapsed());
        }
    }
    Ok(waits)
}
