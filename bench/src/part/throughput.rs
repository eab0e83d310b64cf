//! Producers that send as fast as possible, and consumers that count.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use futures::{SinkExt as _, StreamExt as _};
use mosaik_streams::{Bytes, Criteria, EndpointAddr, Frames, producer::DisconnectLagging};
use serde::{Deserialize, Serialize};

use super::{BUFFER_SIZE, WARM_UP, node, say};
use crate::measure::Result;

const STREAM: &str = "bench";
/// The approximate length of a batch in bytes.
const BATCH_BYTES: usize = 64 * 1024;
/// The capacity of a queue in bytes.
const BUFFER_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Produce {
    /// The length of a record in bytes.
    size: usize,
    /// Sends typed values one by one.
    #[arg(long)]
    typed: bool,
    /// Sends JSON of which one record in ten has `"kind":0`.
    #[arg(long)]
    json: bool,
    /// Does not wait for consumers that do not keep up.
    #[arg(long)]
    unhurried: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// The address of the producer.
    addr: EndpointAddr,
    /// The duration in seconds.
    seconds: f64,
    /// The number of consumers.
    #[arg(long, default_value_t = 1)]
    consumers: usize,
    /// The number of additional consumers that take nothing.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// The time in seconds for which records flow before they are counted.
    #[arg(long, default_value_t = WARM_UP.as_secs_f64())]
    warm_up: f64,
    /// Receives typed values one by one.
    #[arg(long)]
    typed: bool,
    /// Selects one record in ten.
    #[arg(long)]
    select: bool,
}

/// A typed record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) seq: u64,
    pub(crate) payload: Bytes,
}

impl Message {
    /// Creates a record with about this many bytes when encoded.
    pub(crate) fn of(size: usize) -> Self {
        let payload = Bytes::from(vec![b'x'; size.saturating_sub(5)]);
        Self { seq: 0, payload }
    }
}

/// Creates a batch that is sent repeatedly.
pub(crate) fn batch(size: usize, json: bool) -> Frames {
    let count = (BATCH_BYTES / (size + 4)).max(1);
    let datum = |n: usize| {
        if !json {
            return vec![b'x'; size];
        }
        let start = format!(
            r#"{{"kind":{},"symbol":"MSFT","price":28.8,"volume":1200345,"note":""#,
            n % 10
        );
        format!(
            "{start}{}\"}}",
            "x".repeat(size.saturating_sub(start.len() + 2))
        )
        .into_bytes()
    };
    (0..count / 10 * 10 + usize::from(count < 10))
        .map(datum)
        .collect()
}

pub(super) async fn produce(what: &Produce) -> Result<()> {
    let network = node(None).await?;
    let streams = network.streams();
    let lagging = if what.unhurried {
        DisconnectLagging::Never
    } else {
        DisconnectLagging::Wait
    };
    let addr = network.local().addr();
    if what.typed {
        let mut producer = streams
            .producer::<Message>()
            .with_stream_id(STREAM)
            .with_buffer_size(BUFFER_SIZE)
            .with_buffer_bytes(BUFFER_BYTES)
            .disconnect_lagging(lagging)
            .build()?;
        say(&format!("ready {addr}"))?;
        let mut message = Message::of(what.size);
        loop {
            message.seq += 1;
            producer.feed(message.clone()).await?;
        }
    }
    let producer = streams
        .producer_frames(STREAM)
        .with_buffer_size(BUFFER_SIZE)
        .with_buffer_bytes(BUFFER_BYTES)
        .disconnect_lagging(lagging)
        .build()?;
    say(&format!("ready {addr}"))?;
    let batch = batch(what.size, what.json);
    loop {
        producer.send_frames(batch.clone()).await?;
    }
}

pub(super) async fn consume(what: &Consume) -> Result<()> {
    let network = node(Some(what.addr.clone())).await?;
    let streams = network.streams();
    // Records and bytes, counted per batch.
    let seen: Vec<Arc<(AtomicU64, AtomicU64)>> =
        (0..what.consumers).map(|_| Arc::default()).collect();
    let mut stalled = Vec::new();
    let criteria: Criteria =
        serde_json::from_str(if what.select { r#"{"kind":0}"# } else { "{}" })?;
    let frames = || {
        streams
            .consumer_frames(STREAM)
            .with_buffer_size(BUFFER_SIZE)
            .with_buffer_bytes(BUFFER_BYTES)
            .with_criteria(criteria.clone())
    };
    for seen in &seen {
        let seen = Arc::clone(seen);
        let note = move |records: usize, bytes: usize| {
            seen.0.fetch_add(records as u64, Ordering::Relaxed);
            seen.1.fetch_add(bytes as u64, Ordering::Relaxed);
        };
        if what.typed {
            let mut consumer = streams
                .consumer::<Message>()
                .with_stream_id(STREAM)
                .with_buffer_size(BUFFER_SIZE)
                .with_buffer_bytes(BUFFER_BYTES)
                .build();
            tokio::spawn(async move {
                let mut last = None;
                while let Some(message) = consumer.next().await {
                    assert!(
                        last.is_none_or(|last| last + 1 == message.seq),
                        "a record is missing"
                    );
                    last = Some(message.seq);
                    note(1, message.payload.len());
                }
            });
        } else {
            let mut consumer = frames().build()?;
            tokio::spawn(async move {
                while let Some(frames) = consumer.recv_frames(usize::MAX).await {
                    note(frames.count(), frames.payload_len());
                }
            });
        }
    }
    for _ in 0..what.stalled {
        stalled.push(frames().build()?);
    }
    let sum = || {
        let sums = seen.iter().map(|seen| {
            (
                seen.0.load(Ordering::Relaxed),
                seen.1.load(Ordering::Relaxed),
            )
        });
        sums.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    };
    while seen.iter().any(|seen| seen.0.load(Ordering::Relaxed) == 0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_secs_f64(what.warm_up)).await;
    say("began")?;
    let (start, before) = (Instant::now(), sum());
    tokio::time::sleep(Duration::from_secs_f64(what.seconds)).await;
    let (took, after) = (start.elapsed().as_secs_f64(), sum());
    let rate = |after: u64, before: u64| (after - before) as f64 / took;
    say(&format!(
        "ended {} {}",
        rate(after.0, before.0),
        rate(after.1, before.1)
    ))?;
    std::future::pending().await
}
