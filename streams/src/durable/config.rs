//! The settings of a durable stream.

use std::time::{Duration, SystemTime};

use mosaik_log::Retain;

/// The settings of a durable stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurableConfig {
    /// The maximum length of the log in bytes. Default: 1 GiB. At the limit, the oldest records are removed.
    pub retain_bytes: u64,
    /// The maximum age of a record, and the time after which a consumer that does not return is forgotten. Default: 24
    /// hours.
    pub retain_age: Duration,
    /// What happens when the disk is full. Default: wait.
    pub when_full: WhenFull,
    /// When other nodes receive a record. Default: as soon as it is on the disk.
    pub visible: Visible,
}

impl Default for DurableConfig {
    fn default() -> Self {
        Self {
            retain_bytes: 1 << 30,
            retain_age: Duration::from_hours(24),
            when_full: WhenFull::Wait,
            visible: Visible::Immediate,
        }
    }
}

impl DurableConfig {
    pub(super) const fn retain(&self) -> Retain {
        Retain {
            bytes: self.retain_bytes,
            age: self.retain_age,
        }
    }
}

/// What happens when the disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The producer waits until there is room again.
    Wait,
    /// The oldest records of the log are removed. If there are none, the producer waits.
    DropOldest,
}

/// When other nodes receive a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// As soon as it is on the disk. After a crash, records that the application makes again are expected to be the same,
    /// and are not appended twice.
    Immediate,
    /// Once [`DurableLog::commit`](super::DurableLog::commit) has passed it. After a crash, the records behind the last
    /// commit are removed from the log.
    Committed,
}

/// The record with which a consumer begins that has no position in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// The oldest record of the log.
    Earliest,
    /// The next record.
    #[default]
    Latest,
    /// The first record that was appended at this time or later.
    Time(SystemTime),
    /// The record at this position, or the oldest one if the log begins later.
    Position(u64),
}
