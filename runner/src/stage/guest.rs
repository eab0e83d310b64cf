//! What an operator says while it runs: its log lines go to the node's log, its counters are kept for whoever asks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::operator::{Events, Level};

/// The outside of one operator's instances.
#[derive(Debug)]
pub struct Guest {
    operator: String,
    counters: Mutex<BTreeMap<String, u64>>,
}

impl Guest {
    /// For the operator of this name.
    pub fn new(operator: impl Into<String>) -> Self {
        Self {
            operator: operator.into(),
            counters: Mutex::default(),
        }
    }

    /// The operator's own counters; the host bounds their number.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Events for Guest {
    fn log(&self, level: Level, message: &str) {
        let operator = self.operator.as_str();
        match level {
            Level::Trace => tracing::trace!(operator, "{message}"),
            Level::Debug => tracing::debug!(operator, "{message}"),
            Level::Info => tracing::info!(operator, "{message}"),
            Level::Warn => tracing::warn!(operator, "{message}"),
            Level::Error => tracing::error!(operator, "{message}"),
        }
    }

    fn count(&self, name: &str, delta: u64) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(total) = counters.get_mut(name) {
            *total = total.saturating_add(delta);
        } else {
            counters.insert(name.to_owned(), delta);
        }
    }
}
