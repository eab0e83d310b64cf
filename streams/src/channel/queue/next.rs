//! [`Next`]: the queue to which batches go that bypass another one.

use std::{fmt, sync::Arc};

use super::{Queue, Source};

/// The target of batches that bypass the queue.
pub(crate) trait Next: fmt::Debug + Send + Sync {
    fn queue(&self) -> &Queue;

    /// Returns the number under which they are put into that queue.
    fn source(&self) -> Source;

    /// Counts records that were put into that queue, and their bytes without headers. Called before its reader can take
    /// them.
    fn passed(&self, count: usize, len: usize);
}

/// The next queue, while batches bypass this one.
#[derive(Debug, Default)]
pub(super) struct Bypass {
    pub(super) next: Option<Arc<dyn Next>>,
    /// The number of records that bypassed the queue since the last call of `suspend_bypass`.
    pub(super) passed: u64,
}
