//! [`Demand`]: suspends a source while none of its streams has readers, so that it does not read
//! ahead without need.

use std::future::pending;

use futures::future::select_all;
use mosaik_streams::status::When;
use tokio::sync::watch;

/// The streams that a source waits for: it reads only while one of them is online. If there are
/// none, it does not wait.
#[derive(Debug)]
pub struct Demand(watch::Receiver<Vec<When>>);

impl Demand {
    /// Creates a demand for the streams in this channel, which may change.
    pub const fn of(streams: watch::Receiver<Vec<When>>) -> Self {
        Self(streams)
    }

    /// Waits until one of the streams is online. Cancel safe.
    pub(super) async fn arises(&mut self) {
        loop {
            let streams = {
                let streams = self.0.borrow_and_update();
                if streams.is_empty() || streams.iter().any(When::is_online) {
                    return;
                }
                streams.clone()
            };
            let online = select_all(streams.iter().map(|stream| Box::pin(stream.online())));
            tokio::select! {
                // Triggered when one of the streams comes online.
                _ = online => return,
                // Triggered when the source leads to other streams, or its node is gone.
                changed = self.0.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Waits until none of the streams is online any more. Cancel safe.
    pub(super) async fn ceases(&mut self) {
        loop {
            let streams = self.0.borrow_and_update().clone();
            let online: Vec<_> = streams.iter().filter(|stream| stream.is_online()).collect();
            if !streams.is_empty() && online.is_empty() {
                return;
            }
            let offline = async {
                if online.is_empty() {
                    return pending().await;
                }
                let offline = online.iter().map(|stream| Box::pin(stream.offline()));
                select_all(offline).await;
            };
            tokio::select! {
                // Triggered when one of the streams goes offline.
                () = offline => {}
                // Triggered when the source leads to other streams, or its node is gone.
                changed = self.0.changed() => if changed.is_err() {
                    return pending().await;
                },
            }
        }
    }
}
