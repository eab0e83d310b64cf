//! Idle streams and their subscribers.

use mosaik_streams::{EndpointAddr, Network, Scope};

use super::{node, say};
use crate::measure::Result;

fn idle(number: usize) -> String {
    format!("idle {number}")
}

pub(super) async fn offer(streams: usize) -> Result<()> {
    let network = node(None).await?;
    let mut producers = Vec::new();
    for number in 0..streams {
        producers.push(network.streams().producer_frames(idle(number)).build()?);
    }
    say(&format!("ready {}", network.local().addr()))?;
    for producer in &producers {
        producer.when().online().await;
    }
    say("began")?;
    std::future::pending().await
}

pub(super) async fn inside(streams: usize) -> Result<()> {
    let network = Network::builder("bench").lazy(true).build().await?;
    let (mut producers, mut consumers) = (Vec::new(), Vec::new());
    for number in 0..streams {
        let producer = network.streams().producer_frames(idle(number));
        producers.push(producer.with_scope(Scope::Node).build()?);
        let consumer = network.streams().consumer_frames(idle(number));
        consumers.push(consumer.with_scope(Scope::Node).build()?);
    }
    for producer in &producers {
        producer.when().online().await;
    }
    say("began")?;
    std::future::pending().await
}

pub(super) async fn subscribe(addr: EndpointAddr, streams: usize) -> Result<()> {
    let network = node(Some(addr)).await?;
    let mut consumers = Vec::new();
    for number in 0..streams {
        consumers.push(network.streams().consumer_frames(idle(number)).build()?);
    }
    for consumer in &consumers {
        consumer.when().online().await;
    }
    say("began")?;
    std::future::pending().await
}
