//! Checkpoints: a consistent image of a node's graph, from which a process that starts again continues as if it had
//! never stopped.
//!
//! Every source notes its position and puts a *barrier* behind what it has sent. The barrier travels between the records
//! to the sinks. An operator with several inputs waits for the barrier on each, and takes nothing more from an input
//! that has brought it. Then it notes its state and passes the barrier on. A sink makes durable what it has written, and
//! notes how much that is. The notes of all stages are one checkpoint, which the [`Ledger`] keeps. What came behind the
//! barrier is not in it, and is made again after a restart: the sources read it again, and the sinks cut it off.

mod coordinator;
mod gate;
mod image;
mod ledger;
mod line;
mod next_line;
mod owner;
mod portable;
mod progress;
#[cfg(test)]
mod random;
mod round;

pub use self::{
    coordinator::{Checkpoints, Outcome},
    gate::{Gate, Writer},
    image::{Image, InstanceImage, ReadPosition, StageId, StageImage, Stages},
    ledger::{Discarded, FORMAT, Ledger, LedgerError, Survey, is_guarded},
    line::{Alignment, Begun, Line, Signal, SourceSignal},
    next_line::NextLine,
    owner::Owner,
    portable::NotPortable,
    progress::{Cause, GivenUp, LastCheckpoint, Progress, SharedProgress},
};
