//! A connector that feeds a stream.

use std::sync::Arc;

use mosaik_streams::{Frames, FramesProducer};

use super::{Command, Control, Counters, Demand, Drain, End, Ended};
use crate::connector::{Source, SourceError};

/// A running producer of the manifest.
#[derive(Debug)]
pub struct SourceStage {
    /// The outside end.
    pub source: Box<Source>,
    /// What a predecessor read from it and did not hand on.
    pub held: Frames,
    /// The stream it feeds.
    pub output: FramesProducer,
    /// What it waits for before it reads.
    pub demand: Demand,
    /// Where it counts.
    pub counters: Arc<Counters>,
}

impl SourceStage {
    /// Reads until the source ends, fails, or the stage is told to stop.
    pub async fn run(mut self, mut control: Control) -> Ended {
        let end = self.pump(&mut control).await;
        Ended {
            end,
            inputs: Vec::new(),
            source: Some((self.source, self.held)),
        }
    }

    async fn pump(&mut self, control: &mut Control) -> End {
        let Self {
            source,
            held,
            output,
            demand,
            counters,
        } = self;
        let Control { commands, handoff } = control;
        let mut before = source.counts();
        loop {
            let is_held = !held.is_empty();
            let batch = tokio::select! {
                biased;
                // Triggered when the stage is told something.
                command = commands.recv() => match command {
                    Some(Command::Drain(Drain::HandOver)) | None => return End::Stopped,
                    Some(Command::Drain(_)) => {
                        // What cannot be handed on stays held, for a successor.
                        let handed_on = handoff.send_rest(output, held, counters).await;
                        return handed_on.err().unwrap_or(End::Stopped);
                    }
                    Some(other) => {
                        other.refuse();
                        continue;
                    }
                },
                // Triggered when the stream has taken what was read, or takes no more.
                handed_on = handoff.send_rest(output, held, counters), if is_held => match handed_on {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                // Triggered when there is something to read, and somebody to read it for.
                batch = next(source, demand), if !is_held => batch,
            };
            let counts = source.counts();
            counters.skipped(
                counts.too_large - before.too_large,
                counts.invalid - before.invalid,
            );
            counters.mixed(counts.mixed - before.mixed);
            before = counts;
            match batch {
                Ok(Some(batch)) => {
                    counters.took(batch.count(), batch.payload_len());
                    *held = batch;
                }
                Ok(None) => return End::Finished,
                Err(error) => return End::Failed(error.to_string()),
            }
        }
    }
}

/// The next batch, while there is a reader for it. Cancel safe.
async fn next(source: &mut Source, demand: &mut Demand) -> Result<Option<Frames>, SourceError> {
    loop {
        demand.arises().await;
        tokio::select! {
            biased;
            // Triggered when there is something to read.
            batch = source.next() => return batch,
            // Triggered when nobody is left to read it for.
            () = demand.ceases() => {}
        }
    }
}
