//! [`SubscriptionHold`]: prevents shared subscriptions from dialling.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

/// Counts the holds that prevent shared subscriptions from dialling.
#[derive(Default)]
pub(crate) struct Holds(Arc<watch::Sender<usize>>);

/// Prevents shared subscriptions from dialling until it is dropped. See
/// [`Streams::hold_subscriptions`](crate::Streams::hold_subscriptions).
#[must_use = "subscriptions are held for as long as it lives"]
pub struct SubscriptionHold(Arc<watch::Sender<usize>>);

impl Holds {
    /// Prevents shared subscriptions from dialling until the hold is dropped.
    pub(crate) fn hold(&self) -> SubscriptionHold {
        self.0.send_modify(|holds| *holds += 1);
        SubscriptionHold(self.0.clone())
    }

    /// Resolves when no hold is left. Cancel safe.
    pub(crate) async fn released(&self) {
        let mut holds = self.0.subscribe();
        // Cannot fail: `self` owns the sender.
        let _ = holds.wait_for(|holds| *holds == 0).await;
    }
}

impl Drop for SubscriptionHold {
    fn drop(&mut self) {
        self.0.send_modify(|holds| *holds -= 1);
    }
}

impl fmt::Debug for SubscriptionHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionHold").finish_non_exhaustive()
    }
}
