//! Snapshots of a durable stream.

use std::time::SystemTime;

use super::LogId;
use crate::PeerId;

/// A snapshot of the log of a durable stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableStatus {
    /// Identifies the log.
    pub log: LogId,
    /// The position of the oldest record.
    pub start: u64,
    /// The position after the last record.
    pub end: u64,
    /// The position before which other nodes can receive records.
    pub visible: u64,
    /// The length of the log in bytes.
    pub bytes: u64,
    /// True while the disk has no room.
    pub is_full: bool,
    /// The error for which nothing is appended any more.
    pub failure: Option<String>,
    /// The number of records that retention, or a full disk, has removed since this process started.
    pub expired: u64,
    /// The consumers on other nodes, also those that are not connected.
    pub readers: Vec<DurableReader>,
}

/// A consumer on another node that reads a durable stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableReader {
    /// Its node.
    pub peer: PeerId,
    /// True if it is connected.
    pub is_connected: bool,
    /// The position before which it has taken every record.
    pub position: u64,
    /// The number of visible records that it has not taken.
    pub lag: u64,
    /// When it was connected last.
    pub seen: SystemTime,
}
