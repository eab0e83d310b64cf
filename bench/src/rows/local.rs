//! Streams within a process.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures::{SinkExt as _, StreamExt as _};
use mosaik_streams::{Network, Scope};

use crate::{
    measure::{Bound, Case, Figure, Goal, Result, Row, Setting},
    part::throughput::{Message, batch},
};

const SIZE: usize = 100;
const CAPACITY: usize = 1024;
const RECORDS: &str = "records/s";
/// The number of records between checks of the clock.
const LOOK_EVERY: usize = 1024;

/// Runs a sending and a receiving task on two threads, and returns the records received per second.
fn flow<S, T, F>(setting: &Setting, make: impl FnOnce() -> F) -> Result<f64>
where
    F: Future<Output = Result<(S, T)>>,
    S: Future<Output = ()> + Send + 'static,
    T: AsyncFnMut() -> usize,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (send, mut take) = make().await?;
        let sending = tokio::spawn(send);
        let warm = Instant::now();
        while warm.elapsed() < Duration::from_millis(100) {
            take().await;
        }
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < setting.window {
            count += take().await;
        }
        let rate = count as f64 / start.elapsed().as_secs_f64();
        sending.abort();
        Ok(rate)
    })
}

fn frames_of(setting: &Setting) -> Result<f64> {
    flow(setting, || async {
        let network = Network::builder("bench").lazy(true).build().await?;
        let streams = network.streams();
        let mut consumer = streams
            .consumer_frames("local")
            .with_scope(Scope::Node)
            .with_buffer_size(1 << 16)
            .build()?;
        let producer = streams
            .producer_frames("local")
            .with_scope(Scope::Node)
            .with_buffer_size(1 << 16)
            .build()?;
        let batch = batch(SIZE, false);
        let send = async move {
            let _network = network;
            while producer.send_frames(batch.clone()).await.is_ok() {}
        };
        let take = async move || {
            consumer
                .recv_frames(usize::MAX)
                .await
                .map_or(0, |frames| frames.count())
        };
        Ok((send, take))
    })
}

fn typed_of(setting: &Setting) -> Result<f64> {
    flow(setting, || async {
        let network = Network::builder("bench").lazy(true).build().await?;
        let streams = network.streams();
        let mut consumer = streams
            .consumer::<Message>()
            .with_scope(Scope::Node)
            .with_buffer_size(CAPACITY)
            .build();
        let mut producer = streams
            .producer::<Message>()
            .with_scope(Scope::Node)
            .with_buffer_size(CAPACITY)
            .build()?;
        let message = Message::of(SIZE);
        let send = async move {
            let _network = network;
            while producer.feed(message.clone()).await.is_ok() {}
        };
        let take = async move || {
            for _ in 0..LOOK_EVERY {
                consumer.next().await;
            }
            LOOK_EVERY
        };
        Ok((send, take))
    })
}

fn channel_of(setting: &Setting) -> Result<f64> {
    flow(setting, || async {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(CAPACITY);
        let message = Message::of(SIZE);
        let send = async move { while sender.send(message.clone()).await.is_ok() {} };
        let take = async move || {
            for _ in 0..LOOK_EVERY {
                receiver.recv().await;
            }
            LOOK_EVERY
        };
        Ok((send, take))
    })
}

pub(super) fn frames() -> Row {
    let name = "frames";
    Row::new(
        "local-frames",
        "a local edge, records of 100 B in batches of 64 KiB",
        vec![Case::new(move |setting| {
            Ok(Figure::alone(name, RECORDS, frames_of(setting)?))
        })],
        vec![Goal::alone(name, Bound::AtLeast(20e6))],
    )
}

pub(super) fn typed() -> Row {
    let (ours, channel) = ("typed, one by one", "tokio mpsc, one by one");
    Row::new(
        "local-typed",
        "a local edge, values of 100 B one by one, against a channel of the same capacity, 1024",
        vec![
            Case::new(move |setting| Ok(Figure::alone(ours, RECORDS, typed_of(setting)?))),
            Case::new(move |setting| Ok(Figure::alone(channel, RECORDS, channel_of(setting)?))),
        ],
        vec![Goal::ratio(ours, channel, Bound::AtLeast(2.0))],
    )
}
