//! Durable streams: a producer appends every record to a log before it is sent to other nodes.
//!
//! Consumers on other nodes read the log, from memory while they keep up and from the disk otherwise. A consumer
//! continues at its position after either side was restarted. Consumers on this node, and those of plain Mosaik,
//! receive the live stream.

mod config;
mod cursor;
mod error;
mod handle;
mod readers;
mod state;
mod status;
mod time;
mod writer;

pub use mosaik_log::{Gap, GapReason, LogId};

pub use config::{DurableConfig, StartAt, Visible, WhenFull};
pub(crate) use cursor::{Cursor, Next};
pub use error::DurableError;
pub use handle::{DurableLog, LogMarks, LogPosition, Recovered, SourcePosition};
pub(crate) use readers::ReaderId;
pub use status::{DurableReader, DurableStatus};
pub(crate) use time::{from_millis, millis};
