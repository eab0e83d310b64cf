//! The running vertices of a graph. A stage owns its ends of the edges, runs as a task of its own, listens to
//! [`Command`]s between two batches, and says at its end how it ended and hands its inputs back.

mod attempt;
mod backoff;
mod blueprint;
mod convert;
mod counters;
mod crew;
mod dead_letter;
mod demand;
mod drain;
mod failure;
mod guest;
mod handoff;
mod history;
mod key;
mod operator;
mod operator_counters;
mod order;
mod pool;
mod retry;
mod sink;
mod source;
mod spread;
mod task;
mod update;
mod worker;

pub use attempt::ANSWERS_MAX;
pub use blueprint::{Blueprint, OnError};
pub use convert::Converters;
pub use counters::{Counters, Inputs, Snapshot};
pub use demand::Demand;
pub use drain::{Drain, SHARED_MAX, SHARED_QUIET};
pub use guest::Guest;
pub use handoff::Handoff;
pub use history::SNAPSHOT_INTERVAL;
pub use key::Key;
pub use operator::OperatorStage;
pub use operator_counters::{OperatorCounter, OperatorCounters};

pub use sink::SinkStage;
pub use source::SourceStage;
pub use spread::Spread;
pub use update::{Asked, Replacement, Settings, Update};
pub use worker::OutputPort;

use mosaik_streams::{Frames, FramesConsumer};
use tokio::sync::mpsc;

use crate::connector::Source;

/// The most datums that a stage takes from an edge at once, whatever the edge's own bound.
pub const BATCH_DATUMS_MAX: usize = 4096;

/// Commands that may wait for one stage; a sender waits when there are more.
pub const COMMANDS_MAX: usize = 4;

/// What a running stage can be told. It listens between two batches.
#[derive(Debug)]
pub enum Command {
    /// Come to an end: a source stops reading; an operator or sink works off its edges as far as it is told, as at the
    /// end of its input.
    Drain(Drain),
    /// Go over to something else between two batches; only operators can.
    Update(Box<Update>, Asked),
}

impl Command {
    /// Answers what only operators can do; a receiver that is gone no longer wants to know.
    fn refuse(self) {
        if let Self::Update(_, asked) = self {
            let _ = asked.ready.send(Err("it has no instance".into()));
        }
    }
}

/// How a stage is steered from outside.
#[derive(Debug)]
pub struct Control {
    /// What it is told, one after the other; a sender that is gone means to stop where it is.
    pub commands: mpsc::Receiver<Command>,
    /// How it hands batches on; when the time to come to an end is over, what is still held is counted as undelivered.
    pub handoff: Handoff,
}

/// One subscription of a stage.
#[derive(Debug)]
pub struct Input {
    /// The operator's port it feeds; 0 for a sink.
    pub port: u32,
    /// Whether the stream has writers on other nodes too.
    pub shared: bool,
    /// The subscription.
    pub consumer: FramesConsumer,
}

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All its input has ended and was worked off.
    Finished,
    /// It was told to stop.
    Stopped,
    /// The outside end of a sink is gone, like the reader of a pipe.
    Closed,
    /// It cannot go on.
    Failed(String),
}

/// What is left of a stage that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// Its subscriptions, so that a successor can go on with them.
    pub inputs: Vec<Input>,
    /// A producer's outside end and what was read from it but not handed on, likewise.
    pub source: Option<(Box<Source>, Frames)>,
}
