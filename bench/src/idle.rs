//! What producers without consumers and consumers without producers cost while they wait, all in this process.

use std::{error::Error, fmt::Write as _, path::Path, time::Duration};

use futures::{SinkExt, StreamExt};
use mosaik_streams::{Network, discovery};

use crate::footprint::cpu_time;

const HANDLES: u32 = 100;
const SETTLE: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(10);

/// Lets two nodes wait for each other's streams, none of which they have in common.
pub(crate) fn measure() -> Result<String, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let used = runtime.block_on(wait())?;
    let mut report = String::new();
    writeln!(
        report,
        "{HANDLES} offline producers and {HANDLES} consumers without producers over {IDLE:?}: {used:.0?} of CPU"
    )?;
    Ok(report)
}

async fn wait() -> Result<Duration, Box<dyn Error>> {
    let one = Network::new("idle").await?;
    let config = discovery::Config::builder().with_bootstrap(one.local().addr());
    let other = Network::builder("idle")
        .with_discovery(config)
        .build()
        .await?;
    for number in 0..HANDLES {
        let id = format!("offline {number}");
        let producer = one.streams().producer::<u32>().with_stream_id(id.as_str());
        let mut producer = producer.build()?;
        tokio::spawn(async move { producer.send(number).await });
        let id = format!("wanted {number}");
        let consumer = other
            .streams()
            .consumer::<u32>()
            .with_stream_id(id.as_str());
        let mut consumer = consumer.build();
        tokio::spawn(async move { consumer.next().await });
    }
    let process = Path::new("/proc/self");
    tokio::time::sleep(SETTLE).await;
    let before = cpu_time(process)?;
    tokio::time::sleep(IDLE).await;
    Ok(cpu_time(process)?.saturating_sub(before))
}
