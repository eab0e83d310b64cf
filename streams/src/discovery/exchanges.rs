//! The exchanges of catalogs that are under way. A node that leaves has them end before it says so: a peer that takes in
//! the node's entry afterwards would know it anew.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a leaving node waits for exchanges that have begun.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);

/// The exchanges of a node, either side's.
#[derive(Default)]
pub(super) struct Exchanges {
    under_way: TaskTracker,
    cut: CancellationToken,
}

impl Exchanges {
    /// Runs an exchange; `None` if the node leaves and the exchange did not begin, or took too long then.
    pub(super) async fn run<T>(&self, exchange: impl Future<Output = T>) -> Option<T> {
        // Counted first: whoever closes between the two waits for it.
        let _counted = self.under_way.token();
        if self.under_way.is_closed() {
            return None;
        }
        self.cut.run_until_cancelled(exchange).await
    }

    /// Whether none begins any more, as the node leaves.
    pub(super) fn are_over(&self) -> bool {
        self.under_way.is_closed()
    }

    /// Has no exchange begin from now on, and waits for those that have, 250 ms at most; then they are cut.
    pub(super) async fn settle(&self) {
        self.under_way.close();
        let _ = timeout(SETTLE_TIMEOUT, self.under_way.wait()).await;
        self.cut.cancel();
        // What is cut ends at once.
        let _ = timeout(SETTLE_TIMEOUT, self.under_way.wait()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Arc};

    use tokio::{sync::oneshot, time::Instant};

    use super::*;

    #[tokio::test]
    async fn what_has_begun_is_waited_for_and_nothing_begins_then() {
        let exchanges = Arc::new(Exchanges::default());
        let (go, gone) = oneshot::channel::<()>();
        let begun = tokio::spawn({
            let exchanges = exchanges.clone();
            async move { exchanges.run(gone).await }
        });
        tokio::task::yield_now().await;
        let settled = tokio::spawn({
            let exchanges = exchanges.clone();
            async move { exchanges.settle().await }
        });
        tokio::task::yield_now().await;
        assert!(!settled.is_finished());
        assert_eq!(exchanges.run(async { 1 }).await, None);
        go.send(()).expect("it is waited for");
        assert_eq!(begun.await.expect("no panic"), Some(Ok(())));
        settled.await.expect("no panic");
    }

    #[tokio::test]
    async fn what_takes_too_long_is_cut() {
        let exchanges = Arc::new(Exchanges::default());
        let begun = tokio::spawn({
            let exchanges = exchanges.clone();
            async move { exchanges.run(pending::<()>()).await }
        });
        tokio::task::yield_now().await;
        let since = Instant::now();
        exchanges.settle().await;
        assert!(since.elapsed() >= SETTLE_TIMEOUT);
        assert_eq!(begun.await.expect("no panic"), None);
    }
}
