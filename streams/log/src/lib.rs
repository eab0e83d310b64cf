//! An append-only log of records in wire format. It keeps the records of a durable stream.
//!
//! A log is a folder of *segments*, files that are named after the position of their first record. A segment contains a
//! header and *batches*: a header with a checksum, and the records as on the wire ([`Frames`](mosaik_datum::Frames)).
//! A *position* is the number of records that the log had before a record.
//!
//! - **Crash**: what was synced is there after a crash. An unfinished batch at the end is cut off by the next
//!   [`Log::open`].
//! - **Damage**: a batch whose checksum does not match is never returned. Readers skip it, and get the skipped range as
//!   a [`Gap`].
//! - **Retention**: whole segments are removed, oldest first.
//!
//! All calls block on the disk. The [`Disk`] is a trait, so that tests can simulate one that loses power.

mod disk;
mod error;
mod layout;
mod log;
mod reader;
mod recover;
mod scan;
mod segment;

pub use disk::{Disk, DiskFile, Folder};
pub use error::{InvalidLogId, LogError, OpenError};
pub use layout::FORMAT_VERSION;
pub use log::{Log, LogId, Opened, Retain};
pub use reader::{Gap, GapReason, Reader, Step};
pub use segment::View;

#[cfg(test)]
mod tests;
