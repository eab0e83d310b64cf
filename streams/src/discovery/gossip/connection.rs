//! One connection to a peer: what comes in on its streams, and what goes out on ours.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::wire::{MAX_MESSAGE_LEN, Message};
use crate::{
    NetworkId,
    network::{CloseReason, LinkConn, LinkError, LinkReceiver, LinkSender},
};

/// Streams that a peer may have open at a time: one, and its successors while it ends.
const STREAMS_MAX: u8 = 4;
/// Bytes in flight towards this node.
const WINDOW: u32 = 64 * 1024;
/// For each write, and for what was written to arrive once no more follows.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages that a peer may send in a burst, and a second; with more it waits.
const BURST: u32 = 1024;
const PER_SECOND: u32 = 256;

/// What a connection brings.
pub(super) enum Incoming {
    Message(u64, Message),
    /// The peer has all that was to be said, or never will.
    Delivered(u64),
    /// It has ended.
    Ended(u64),
}

/// Moves messages until the connection ends; says so when it has.
pub(super) async fn run(
    conn: LinkConn,
    topic: NetworkId,
    outgoing: mpsc::Receiver<Bytes>,
    incoming: mpsc::Sender<Incoming>,
) {
    let id = conn.stable_id();
    conn.allow_uni(STREAMS_MAX, WINDOW);
    let writing = async {
        if let Err(error) = write(&conn, topic, outgoing).await {
            debug!(peer = %conn.peer(), "gossip not sent: {error}");
            conn.close(CloseReason::Cancelled);
        }
        // An error means that the node ends, here and below.
        let _ = incoming.send(Incoming::Delivered(id)).await;
    };
    let reading = async {
        if let Err(reason) = read(&conn, topic, &incoming).await {
            conn.close(reason);
        }
    };
    tokio::join!(writing, reading);
    let _ = incoming.send(Incoming::Ended(id)).await;
}

/// Writes what comes until no more can, and waits until the peer has it.
async fn write(
    conn: &LinkConn,
    topic: NetworkId,
    mut outgoing: mpsc::Receiver<Bytes>,
) -> Result<(), LinkError> {
    let slow = || LinkError::Closed(CloseReason::TooSlow);
    let mut stream: Option<LinkSender> = None;
    loop {
        let message = tokio::select! {
            // Triggered when the connection is no more.
            reason = conn.closed() => return Err(LinkError::Closed(reason)),
            // Triggered when there is something to say, or never will be again.
            message = outgoing.recv() => message,
        };
        let Some(message) = message else { break };
        let written = async {
            if stream.is_none() {
                let mut opened = conn.open_uni().await?;
                opened.send_frame(topic.as_bytes()).await?;
                stream = Some(opened);
            }
            match &mut stream {
                Some(stream) => stream.send_frame(&message).await,
                None => Ok(()),
            }
        };
        timeout(WRITE_TIMEOUT, written)
            .await
            .map_err(|_| slow())??;
    }
    if let Some(mut stream) = stream {
        stream.finish();
        timeout(WRITE_TIMEOUT, stream.delivered())
            .await
            .map_err(|_| slow())?;
    }
    Ok(())
}

/// Takes messages of all the peer's streams until the connection ends; an error is the reason to end it for.
async fn read(
    conn: &LinkConn,
    topic: NetworkId,
    incoming: &mpsc::Sender<Incoming>,
) -> Result<(), CloseReason> {
    let pace = Arc::new(tokio::sync::Mutex::new(Pace::new()));
    let mut streams = FuturesUnordered::new();
    loop {
        tokio::select! {
            // Triggered when the peer opens a stream, or the connection has ended.
            stream = conn.accept_uni(MAX_MESSAGE_LEN + 1) => match stream {
                Ok(stream) => streams.push(read_stream(conn.stable_id(), stream, topic, incoming, pace.clone())),
                Err(_) => return Ok(()),
            },
            // Triggered when a stream has ended.
            Some(ended) = streams.next() => ended?,
        }
    }
}

async fn read_stream(
    id: u64,
    mut stream: LinkReceiver,
    topic: NetworkId,
    incoming: &mpsc::Sender<Incoming>,
    pace: Arc<tokio::sync::Mutex<Pace>>,
) -> Result<(), CloseReason> {
    let broken = |error| match error {
        LinkError::Closed(reason) => reason,
        LinkError::TooLarge { .. } | LinkError::Truncated => CloseReason::ProtocolViolation,
    };
    let Some(header) = stream.recv_frame().await.map_err(broken)? else {
        return Ok(());
    };
    if *header != *topic.as_bytes() {
        return Err(CloseReason::DifferentNetwork);
    }
    while let Some(frame) = stream.recv_frame().await.map_err(broken)? {
        pace.lock().await.take().await;
        let message = Message::decode(&frame).ok_or(CloseReason::ProtocolViolation)?;
        if incoming.send(Incoming::Message(id, message)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Holds back a peer that says too much: what is not read, it cannot send.
struct Pace {
    left: u32,
    since: Instant,
}

impl Pace {
    fn new() -> Self {
        Self {
            left: BURST,
            since: Instant::now(),
        }
    }

    async fn take(&mut self) {
        if self.left == 0 {
            sleep(Duration::from_millis(100).saturating_sub(self.since.elapsed())).await;
        }
        let earned = self.since.elapsed().as_millis() * u128::from(PER_SECOND) / 1000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(BURST);
            self.left = self.left.saturating_add(earned).min(BURST);
            self.since = Instant::now();
        }
        self.left = self.left.saturating_sub(1);
    }
}
