//! [`NextLine`]: replaces the line of a running stage whose outputs change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Line;

/// The line that a running stage takes over before it passes its next barrier. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct NextLine(Arc<Mutex<Option<Line>>>);

impl NextLine {
    /// Sets the line that `join` returns. The stage passes no barrier on a line before it from then on, so that no
    /// barrier misses an output that is new.
    pub fn set(&self, join: impl FnOnce() -> Line) {
        let mut next = self.line();
        *next = Some(join());
    }

    /// Replaces a line by the next one, if there is one.
    pub fn take_over(&self, line: &mut Line) {
        if let Some(next) = self.line().take() {
            line.replace(next);
        }
    }

    fn line(&self) -> MutexGuard<'_, Option<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
