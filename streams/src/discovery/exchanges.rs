//! The catalog exchanges in progress. A departing node finishes them before it announces its departure. Otherwise a
//! peer that merges the node's entry afterwards would add it again.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The time for which a departing node waits for exchanges in progress.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);

/// The exchanges of a node, incoming and outgoing.
#[derive(Default)]
pub(super) struct Exchanges {
    under_way: TaskTracker,
    cut: CancellationToken,
}

impl Exchanges {
    /// Runs an exchange. Returns `None` if the node was departing already, or the exchange did not finish in time.
    pub(super) async fn run<T>(&self, exchange: impl Future<Output = T>) -> Option<T> {
        // Counted before the check, so that a concurrent `settle` waits for it.
        let _counted = self.under_way.token();
        if self.under_way.is_closed() {
            return None;
        }
        self.cut.run_until_cancelled(exchange).await
    }

    /// Returns true if the node is departing and no exchange can start.
    pub(super) fn are_over(&self) -> bool {
        self.under_way.is_closed()
    }

    /// Prevents new exchanges, and waits up to 250 ms for those in progress. Then cancels them.
    pub(super) async fn settle(&self) {
        self.under_way.close();
        let _ = timeout(SETTLE_TIMEOUT, self.under_way.wait()).await;
        self.cut.cancel();
        // Cancelled exchanges end at once.
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
