//! Feeds a stream from a connector.

use std::sync::Arc;

use mosaik_streams::{Frames, FramesProducer};

use super::{Command, Control, Counters, Demand, Drain, End, Ended};
use crate::{
    connector::{Source, SourceCounts, SourceError},
    operator::{Counted, CounterClass},
};

/// A running producer of the manifest.
#[derive(Debug)]
pub struct SourceStage {
    /// The connector that it reads from.
    pub source: Box<dyn Source>,
    /// The records that a predecessor read from it and did not hand on.
    pub held: Frames,
    /// The stream it feeds.
    pub output: FramesProducer,
    /// The demand that it waits for before it reads.
    pub demand: Demand,
    /// Its counters.
    pub counters: Arc<Counters>,
}

impl SourceStage {
    /// Reads until the source ends or fails, or the stage is asked to stop.
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
        let mut reported = source.counts();
        loop {
            let is_held = !held.is_empty();
            let batch = tokio::select! {
                biased;
                // Triggered when a command arrives.
                command = commands.recv() => match command {
                    Some(Command::Drain(Drain::HandOver)) | None => return End::Stopped,
                    Some(Command::Drain(drain)) => {
                        // Records that cannot be handed on stay held, for a successor.
                        let mut handed_on = handoff.send_rest(output, held, counters).await;
                        if drain == Drain::ToEnd && source.stop() {
                            while let Ok(Some(batch)) = source.next().await {
                                counters.took(batch.count(), batch.payload_len());
                                if handed_on.is_err() {
                                    counters.undelivered(batch.count());
                                } else {
                                    *held = batch;
                                    handed_on = handoff.send_rest(output, held, counters).await;
                                }
                            }
                        }
                        source.conclude();
                        count_skipped(&**source, &mut reported, counters);
                        return handed_on.err().unwrap_or(End::Stopped);
                    }
                    Some(other) => {
                        other.refuse();
                        continue;
                    }
                },
                // Triggered when the stream has accepted the held records, or accepts no more.
                handed_on = handoff.send_rest(output, held, counters), if is_held => match handed_on {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                // Triggered when there is input, and a stream with readers.
                batch = next(&mut **source, demand), if !is_held => batch,
            };
            count_skipped(&**source, &mut reported, counters);
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

/// Counts the records that the source has skipped since the last call.
fn count_skipped(source: &dyn Source, reported: &mut SourceCounts, counters: &Counters) {
    let counts = source.counts();
    counters.skipped(
        counts.too_large - reported.too_large,
        counts.invalid - reported.invalid,
    );
    let own = [
        (
            "missed_files",
            CounterClass::Lost,
            counts.missed_files - reported.missed_files,
        ),
        // These records are still in the file.
        (
            "unfinished",
            CounterClass::Normal,
            counts.unfinished - reported.unfinished,
        ),
        (
            "cut_off",
            CounterClass::Lost,
            counts.cut_off - reported.cut_off,
        ),
        // These fields were handed on, although they do not have the type of their column.
        ("mixed", CounterClass::Normal, counts.mixed - reported.mixed),
    ];
    for (name, class, delta) in own.into_iter().filter(|(.., delta)| *delta > 0) {
        let name = name.into();
        counters
            .of_operator()
            .add(&[Counted { name, class, delta }]);
    }
    *reported = counts;
}

/// Returns the next batch while its stream has readers. Cancel safe.
async fn next(source: &mut dyn Source, demand: &mut Demand) -> Result<Option<Frames>, SourceError> {
    loop {
        demand.arises().await;
        tokio::select! {
            biased;
            // Triggered when there is input.
            batch = source.next() => return batch,
            // Triggered when no reader is left.
            () = demand.ceases() => {}
        }
    }
}
