//! The round trip of a record and its answer.

use futures::{SinkExt as _, StreamExt as _};
use mosaik_streams::Network;

use super::{Reach, ask_for, node, say, say_latency};
use crate::{measure::Result, part::throughput::Message};

const SIZE: usize = 100;

fn streams(
    network: &Network,
    to: &str,
    from: &str,
) -> Result<(
    mosaik_streams::Producer<Message>,
    mosaik_streams::Consumer<Message>,
)> {
    let streams = network.streams();
    Ok((
        streams.producer().with_stream_id(to).build()?,
        streams.consumer().with_stream_id(from).build(),
    ))
}

pub(super) async fn echo() -> Result<()> {
    let network = node(None).await?;
    let (mut answers, mut questions) = streams(&network, "pong", "ping")?;
    say(&format!("ready {}", network.local().addr()))?;
    while let Some(question) = questions.next().await {
        answers.send(question).await?;
    }
    Ok(())
}

pub(super) async fn ping(reach: &Reach) -> Result<()> {
    let network = node(Some(reach.addr.parse()?)).await?;
    let (mut questions, mut answers) = streams(&network, "ping", "pong")?;
    answers.when().online().await;
    questions.when().online().await;
    let waits = ask_for(reach.seconds, async || {
        questions.send(Message::of(SIZE)).await?;
        answers.next().await;
        Ok::<_, mosaik_streams::producer::Error<Message>>(())
    })
    .await?;
    say_latency(waits)
}
