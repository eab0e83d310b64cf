//! One gossip connection to a peer: reads the peer's streams, and writes this node's stream.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use mosaik_gossip::MAX_MESSAGE_LEN;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::Message;
use crate::{
    NetworkId,
    net::{CloseReason, LinkConn, LinkError, LinkReceiver, LinkSender},
};

/// The maximum number of streams that a peer may have open: one, and its successors while it closes.
const STREAMS_MAX: u8 = 4;
/// The maximum number of bytes in flight towards this node.
const WINDOW: u32 = 64 * 1024;
/// The timeout for each write, and for the delivery of written messages after the stream has finished.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of messages that a peer may send in a burst, and per second. Above these rates, reading pauses.
const BURST: u32 = 1024;
const PER_SECOND: u32 = 256;

/// An event of a connection.
pub(super) enum Incoming {
    Message(u64, Message),
    /// The peer has received every message, or never will.
    Delivered(u64),
    /// The connection has ended.
    Ended(u64),
}

/// Transfers messages until the connection ends, and reports the end.
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
            debug!(peer = %conn.peer(), "failed to send gossip: {error}");
            conn.close(CloseReason::Cancelled);
        }
        // An error means that the node shuts down, here and below.
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

/// Writes messages until the queue closes, and waits until the peer has received them.
async fn write(
    conn: &LinkConn,
    topic: NetworkId,
    mut outgoing: mpsc::Receiver<Bytes>,
) -> Result<(), LinkError> {
    let slow = || LinkError::Closed(CloseReason::TooSlow);
    let mut stream: Option<LinkSender> = None;
    loop {
        let message = tokio::select! {
            // Triggered when the connection has ended.
            reason = conn.closed() => return Err(LinkError::Closed(reason)),
            // Triggered when there is a message, or the queue has closed.
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

/// Reads messages from all of the peer's streams until the connection ends. An error is the reason to close it.
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

/// Limits the rate of a peer: flow control holds back messages that are not read.
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
