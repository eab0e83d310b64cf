//! What the other processes of a measurement do. They say `ready ADDRESS` when others may come, `began` when a
//! measurement begins, and `ended NUMBER…` with what it came to.

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

/// How long datums flow before they count.
const WARM_UP: Duration = Duration::from_millis(300);
/// Datums that a queue holds in a measurement of throughput.
const BUFFER_SIZE: usize = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Produces for as long as it lives.
    Produce(throughput::Produce),
    /// Counts what arrives.
    Consume(throughput::Consume),
    /// Answers.
    Echo,
    /// Asks, and measures for how long it waits for the answer.
    Ping(Reach),
    /// As `produce`, on quinn alone.
    QuinnWrite,
    /// As `consume`, on quinn alone.
    QuinnRead(Reach),
    /// As `echo`, on quinn alone.
    QuinnEcho,
    /// As `ping`, on quinn alone.
    QuinnPing(Reach),
    /// Offers streams on which nothing is sent.
    Offer {
        /// How many.
        streams: usize,
    },
    /// Has streams that producers and consumers of this process share, and sends nothing.
    Inside {
        /// How many.
        streams: usize,
    },
    /// Does what `budgets` counts.
    Counted {
        /// Which of it.
        name: String,
    },
    /// Subscribes to them.
    Subscribe {
        /// Where.
        addr: EndpointAddr,
        /// How many.
        streams: usize,
    },
}

/// Where to, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    /// Where the other part is.
    addr: String,
    /// How long to measure, in seconds.
    seconds: f64,
}

/// Does one part.
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

/// Says something to the process that measures.
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

/// Says the spread of waits: their median and the one that 99 of 100 are below, in µs.
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

/// Asks again and again for so long, after a time that does not count.
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
