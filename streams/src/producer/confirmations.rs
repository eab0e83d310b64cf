//! Receives the confirmations of a consumer from the side channel of a connection.

use tokio::time::{Instant, sleep_until};

use super::retained::NotSent;
use crate::{
    channel::side::{ENTRIES_MAX, ENTRY_LEN_MAX, Entry, RATE_PERIOD},
    net::{CloseReason, LinkConn, LinkError},
};

/// The outcome of sending over a connection.
pub(super) enum Ended {
    /// The producer closes the connection with this reason.
    Said(CloseReason),
    /// Nothing more can be sent; the connection has its own close reason.
    Lost,
}

/// Reads confirmations until the connection ends or the consumer violates the protocol. Reading pauses above a maximum
/// rate of entries.
pub(super) async fn hear(conn: &LinkConn, confirm: impl Fn(u64) -> Result<(), NotSent>) -> Ended {
    // The consumer opens the side channel once it has received something.
    let Ok(mut rx) = conn.accept_uni(ENTRY_LEN_MAX).await else {
        return Ended::Lost;
    };
    let (mut since, mut entries) = (Instant::now(), 0);
    loop {
        let payload = match rx.recv_frame().await {
            Ok(Some(payload)) => payload,
            // The consumer sends no more confirmations, but may still read.
            Ok(None) => std::future::pending().await,
            Err(LinkError::Closed(_)) => return Ended::Lost,
            Err(_) => return Ended::Said(CloseReason::ProtocolViolation),
        };
        if let Entry::Taken(position) = Entry::decode(&payload)
            && confirm(position).is_err()
        {
            return Ended::Said(CloseReason::ProtocolViolation);
        }
        entries += 1;
        if since.elapsed() >= RATE_PERIOD {
            (since, entries) = (Instant::now(), 0);
        } else if entries >= ENTRIES_MAX {
            sleep_until(since + RATE_PERIOD).await;
        }
    }
}
