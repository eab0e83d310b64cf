//! Confirms taken records to a producer over the side channel of their connection.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::group::Feed;
use crate::{
    channel::{protocol::HANDSHAKE_TIMEOUT, side::Entry},
    net::LinkConn,
};

/// The maximum delay of a confirmation: 100 ms. Confirming every 10 ms cost 100 consumers a third of their throughput.
const CONFIRM_AFTER: Duration = Duration::from_millis(100);
/// The maximum interval between checks while the application takes no records.
const LOOK_AT_LEAST: Duration = Duration::from_millis(400);
/// The interval between checks at the end of a stream, which finishes as soon as every record is taken.
const LOOK_AT_END: Duration = Duration::from_millis(10);

/// Sends the confirmations of one connection. Starts with the first record: an idle connection costs nothing.
#[derive(Debug)]
pub(super) struct Confirming {
    conn: LinkConn,
    feed: Arc<Feed>,
    task: Option<AbortOnDropHandle<()>>,
}

impl Confirming {
    pub(super) const fn new(conn: LinkConn, feed: Arc<Feed>) -> Self {
        Self {
            conn,
            feed,
            task: None,
        }
    }

    /// Starts confirming, if it has not started yet. Call it when records were received.
    pub(super) fn received(&mut self) {
        if self.task.is_none() {
            let task = tokio::spawn(run(self.conn.clone(), self.feed.clone()));
            self.task = Some(AbortOnDropHandle::new(task));
        }
    }

    /// Waits until every received record is taken. Cancel safe.
    pub(super) async fn all_taken(&self) {
        while !self.feed.is_all_taken() {
            sleep(LOOK_AT_END).await;
        }
    }
}

/// Sends confirmations until the connection closes.
async fn run(conn: LinkConn, feed: Arc<Feed>) {
    let Ok(Ok(mut tx)) = timeout(HANDSHAKE_TIMEOUT, conn.open_uni()).await else {
        return;
    };
    let (mut said, mut wait) = (None, CONFIRM_AFTER);
    loop {
        // Either the wait ends or a confirmation becomes due.
        let _ = timeout(wait, feed.due()).await;
        let confirmed = feed.confirmed();
        if said.replace(confirmed) != Some(confirmed) {
            wait = CONFIRM_AFTER;
            if tx
                .send_frame(&Entry::Taken(confirmed).encode())
                .await
                .is_err()
            {
                return;
            }
        } else if feed.idles() {
            feed.due().await;
            wait = CONFIRM_AFTER;
        } else {
            wait = (wait * 2).min(LOOK_AT_LEAST);
        }
    }
}
