//! Hears what a consumer confirms on the side channel of a connection.

use tokio::time::{Instant, sleep_until};

use super::{retained::Retained, sender::Ended};
use crate::{
    network::{CloseReason, LinkConn, LinkError},
    streams::side::{ENTRIES_MAX, ENTRY_LEN_MAX, Entry, RATE_PERIOD},
};

/// Reads confirmations until the connection ends or the consumer breaks the protocol. Past a bound on entries a second it
/// reads later.
pub(super) async fn hear(conn: &LinkConn, retained: &Retained, connection: u64) -> Ended {
    // It opens it when it has received something.
    let Ok(mut rx) = conn.accept_uni(ENTRY_LEN_MAX).await else {
        return Ended::Lost;
    };
    let (mut since, mut entries) = (Instant::now(), 0);
    loop {
        let payload = match rx.recv_frame().await {
            Ok(Some(payload)) => payload,
            // It says no more, and may still read.
            Ok(None) => std::future::pending().await,
            Err(LinkError::Closed(_)) => return Ended::Lost,
            Err(_) => return Ended::Said(CloseReason::ProtocolViolation),
        };
        if let Entry::Taken(position) = Entry::decode(&payload)
            && retained.confirm(connection, position).is_err()
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
