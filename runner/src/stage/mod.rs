//! The running vertices of a graph. A stage owns its ends of the edges, runs as its own task and
//! receives [`Command`]s between two batches. When it ends, it reports its outcome and returns its
//! inputs.

mod answers;
mod attempt;
mod backoff;
mod blueprint;
mod conversation;
mod convert;
mod counters;
mod dead_letter;
mod delivery;
mod demand;
mod drain;
mod error;
mod failure;
mod guest;
mod handoff;
mod history;
mod image;
mod instance_set;
mod key;
mod operator;
mod operator_counters;
mod order;
mod partitioning;
mod pool;
mod read_position;
mod recoverable;
mod rows;
mod single;
mod sink;
mod source;
mod task;
mod update;
mod worker;

pub use blueprint::{Blueprint, OnError};
pub use convert::Converters;
pub use counters::{Counters, Inputs, Snapshot};
pub use delivery::{Retry, SinkPolicy};
pub use demand::Demand;
pub use drain::{Drain, SHARED_MAX, SHARED_QUIET};
pub use error::{
    InstancesError, NotKeyed, RepartitionError, RestoreError, SnapshotError, UpdateError,
};
pub use guest::Guest;
pub use handoff::Handoff;
pub use history::SNAPSHOT_INTERVAL;
pub use image::RestoredState;
pub use key::Key;
pub use operator::OperatorStage;
pub use operator_counters::{OperatorCounter, OperatorCounters};
pub use partitioning::Partitioning;
pub use read_position::positions_of;
pub use single::{Lost, Receiver, SingleInstance};
pub use sink::SinkStage;
pub use source::{Reading, SourceStage};
pub use update::{Asked, Replacement, Settings, Update};
pub use worker::OutputPort;

use mosaik_streams::FramesConsumer;
use tokio::sync::mpsc;

/// Maximum number of records that a stage takes from an edge at once, regardless of the edge's own
/// bound: 4096.
pub const BATCH_DATUMS_MAX: usize = 4096;

/// Capacity of a stage's command queue: 4. A sender waits while it is full.
pub const COMMANDS_MAX: usize = 4;

/// A command to a running stage, which receives it between two batches.
#[derive(Debug)]
pub enum Command {
    /// End the stage: a source stops reading; an operator or sink drains its edges to the extent
    /// given by [`Drain`], and then ends its inputs.
    Drain(Drain),
    /// Switch to other instances or settings between two batches. Only operators support this.
    Update(Box<Update>, Asked),
}

impl Command {
    /// Refuses a command that only operators support. The requester may already be gone.
    fn refuse(self) {
        if let Self::Update(_, asked) = self {
            let _ = asked.ready.send(Err(InstancesError::None.into()));
        }
    }
}

/// The control channels of a stage.
#[derive(Debug)]
pub struct Control {
    /// Its commands, in order. If the sender is dropped, the stage stops where it is.
    pub commands: mpsc::Receiver<Command>,
    /// Hands on its batches. Once the time limit for the stage to end has passed, its remaining
    /// records count as undelivered.
    pub handoff: Handoff,
}

/// One subscription of a stage.
#[derive(Debug)]
pub struct Input {
    /// The operator port that it feeds; 0 for a sink.
    pub port: u32,
    /// True if the stream has writers on other nodes too.
    pub shared: bool,
    /// The subscription to read from.
    pub consumer: FramesConsumer,
}

/// The outcome of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All its input has ended and was processed.
    Finished,
    /// It was asked to stop.
    Stopped,
    /// The external side of a sink has closed, such as the reader of a pipe.
    Closed,
    /// It cannot continue.
    Failed(String),
}

/// The remains of a stage that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The reason that the stage ended.
    pub end: End,
    /// Its subscriptions, so that a successor can continue with them.
    pub inputs: Vec<Input>,
    /// A producer's source, with the records read from it but not handed on, so that a successor
    /// can continue with them.
    pub source: Option<Reading>,
}
