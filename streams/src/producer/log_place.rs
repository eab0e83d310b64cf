//! [`LogPlace`]: the place of a subscriber in the log of a durable stream.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use super::retained::NotSent;
use crate::durable::{Cursor, DurableLog, ReaderId};

/// The place of a subscriber in the log of a durable stream.
#[derive(Debug)]
pub(super) struct LogPlace {
    log: DurableLog,
    reader: ReaderId,
    cursor: Mutex<Cursor>,
    /// The position after the last record that was sent.
    sent: AtomicU64,
}

impl LogPlace {
    /// `position` is that of the first record.
    pub(super) fn new(log: DurableLog, reader: ReaderId, position: u64) -> Self {
        Self {
            cursor: Mutex::new(log.connect(reader, position)),
            sent: AtomicU64::new(position),
            log,
            reader,
        }
    }

    pub(super) const fn log(&self) -> &DurableLog {
        &self.log
    }

    /// Returns the cursor. It belongs to the only connection.
    pub(super) async fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().await
    }

    /// Notes that every record before this position is about to be sent.
    pub(super) fn sends(&self, position: u64) {
        self.sent.store(position, Ordering::Release);
    }

    /// Notes that every record before this position is taken.
    pub(super) fn confirm(&self, position: u64) -> Result<(), NotSent> {
        if position > self.sent.load(Ordering::Acquire) {
            return Err(NotSent);
        }
        self.log.confirm(&self.reader, position);
        Ok(())
    }
}

impl Drop for LogPlace {
    fn drop(&mut self) {
        self.log.disconnect(&self.reader);
    }
}
