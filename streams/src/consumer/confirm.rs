//! Tells a producer what is taken, over the side channel of its connection.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::feed::Feed;
use crate::{
    network::LinkConn,
    streams::{HANDSHAKE_TIMEOUT, side::Entry},
};

/// The longest that a record which is taken waits to be confirmed: 100 ms. Every 10 ms cost a third of the throughput to 100
/// consumers.
const CONFIRM_AFTER: Duration = Duration::from_millis(100);
/// The longest wait between two looks while the application takes nothing.
const LOOK_AT_LEAST: Duration = Duration::from_millis(400);
/// The wait between two looks at the end of a stream, which is finished as soon as all is taken.
const LOOK_AT_END: Duration = Duration::from_millis(10);

/// What confirms on one connection, from the first record on: a connection on which nothing is sent costs nothing.
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

    /// Records were received.
    pub(super) fn received(&mut self) {
        if self.task.is_none() {
            let task = tokio::spawn(run(self.conn.clone(), self.feed.clone()));
            self.task = Some(AbortOnDropHandle::new(task));
        }
    }

    /// Waits until all that was received is taken. Cancel safe.
    pub(super) async fn all_taken(&self) {
        while !self.feed.is_all_taken() {
            sleep(LOOK_AT_END).await;
        }
    }
}

/// Confirms for as long as the connection lives.
async fn run(conn: LinkConn, feed: Arc<Feed>) {
    let Ok(Ok(mut tx)) = timeout(HANDSHAKE_TIMEOUT, conn.open_uni()).await else {
        return;
    };
    let (mut said, mut wait) = (None, CONFIRM_AFTER);
    loop {
        // Whichever comes first.
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
