//! Feeds a stream from a connector.

use std::sync::Arc;

use mosaik_streams::{Frames, FramesProducer};

use super::{Command, Control, Counters, Demand, Drain, End, Ended};
use crate::{
    checkpoint::{Begun, Line, SourceSignal, StageImage},
    connector::{Position, ResumeError, Source, SourceCounts, SourceError},
    operator::{Counted, CounterClass},
};

/// A source with the records that were read from it and not yet handed on.
#[derive(Debug)]
pub struct Reading {
    source: Box<dyn Source>,
    /// The records that were read and not handed on.
    held: Frames,
    /// The position before the batch to which they belong, and the number of records of that batch.
    before: (Option<Position>, usize),
    /// The number of the next records that an earlier process has handed on.
    to_skip: u64,
}

impl Reading {
    /// Takes a source from which nothing was read yet.
    pub fn new(source: Box<dyn Source>) -> Self {
        Self {
            source,
            held: Frames::new(),
            before: (None, 0),
            to_skip: 0,
        }
    }

    /// Resumes at a position of an earlier process, and skips the `sent` records after it, which that process has
    /// handed on.
    ///
    /// # Errors
    /// Fails if the source no longer has this position.
    pub async fn resume(&mut self, position: &Position, sent: u64) -> Result<(), ResumeError> {
        self.source.resume(position).await?;
        self.to_skip = sent;
        Ok(())
    }

    /// Returns the number of records that were read and not handed on.
    pub fn held(&self) -> usize {
        self.held.count()
    }

    /// Returns the state of a source of which nothing was read yet, for a checkpoint.
    pub fn first_image(&self) -> StageImage {
        self.image(false)
    }

    /// Returns the state for a checkpoint: everything that was handed on is before it.
    fn image(&self, ended: bool) -> StageImage {
        let (position, sent) = if self.held.is_empty() {
            (self.source.position(), self.to_skip)
        } else {
            let (position, count) = &self.before;
            (position.clone(), (count - self.held.count()) as u64)
        };
        StageImage::Source {
            position,
            sent,
            ended,
        }
    }

    /// Takes a batch, without the records that an earlier process has handed on.
    fn hold(&mut self, mut batch: Frames, before: Option<Position>) {
        self.before = (before, batch.count());
        if self.to_skip > 0 {
            let skipped = usize::try_from(self.to_skip).unwrap_or(usize::MAX);
            let skipped = batch.split_front(skipped, usize::MAX).count();
            self.to_skip -= skipped as u64;
        }
        self.held = batch;
    }
}

/// A running producer of the manifest.
#[derive(Debug)]
pub struct SourceStage {
    /// The connector that it reads from.
    pub reading: Reading,
    /// The stream it feeds.
    pub output: FramesProducer,
    /// The demand that it waits for before it reads.
    pub demand: Demand,
    /// The counters of the stage.
    pub counters: Arc<Counters>,
    /// Its line to the coordinator of checkpoints.
    pub line: Line,
}

impl SourceStage {
    /// Reads until the source ends or fails, or the stage is asked to stop.
    pub async fn run(mut self, mut control: Control) -> Ended {
        let end = self.pump(&mut control).await;
        if end == End::Finished {
            self.line.ends(self.reading.image(true));
        }
        Ended {
            end,
            inputs: Vec::new(),
            source: Some(self.reading),
        }
    }

    async fn pump(&mut self, control: &mut Control) -> End {
        let Self {
            reading,
            output,
            demand,
            counters,
            line,
        } = self;
        let Control { commands, handoff } = control;
        let mut reported = reading.source.counts();
        let is_noted = line.is_used();
        // True behind the last barrier: nothing more is read or sent until the stage is stopped.
        let mut is_paused = false;
        loop {
            let is_held = !reading.held.is_empty();
            let is_open = line.is_open() && !is_paused;
            let batch = tokio::select! {
                biased;
                // Triggered when a command arrives.
                command = commands.recv() => match command {
                    Some(Command::Drain(Drain::HandOver)) | None => return End::Stopped,
                    Some(Command::Drain(Drain::Suspend)) => {
                        // The next process reads them again.
                        counters.took_back(reading.held.count(), reading.held.payload_len());
                        reading.held = Frames::new();
                        return End::Stopped;
                    }
                    Some(Command::Drain(drain)) => {
                        // Records that cannot be handed on stay held, for a successor.
                        let mut handed_on = handoff.send_rest(output, &mut reading.held, counters).await;
                        if drain == Drain::ToEnd && reading.source.stop() {
                            while let Ok(Some(batch)) = reading.source.next().await {
                                counters.took(batch.count(), batch.payload_len());
                                if handed_on.is_err() {
                                    counters.undelivered(batch.count());
                                } else {
                                    reading.hold(batch, None);
                                    handed_on = handoff.send_rest(output, &mut reading.held, counters).await;
                                }
                            }
                        }
                        reading.source.conclude();
                        count_skipped(&*reading.source, &mut reported, counters);
                        return handed_on.err().unwrap_or(End::Stopped);
                    }
                    Some(other) => {
                        other.refuse();
                        continue;
                    }
                },
                // Triggered when a checkpoint begins, or the stream takes records again after one.
                signal = line.source_signal() => {
                    if let SourceSignal::Begun(Begun { number, is_last }) = signal {
                        line.pass(number, reading.image(false));
                        is_paused |= is_last;
                    }
                    continue;
                }
                // Triggered when the stream has accepted the held records, or accepts no more.
                handed_on = handoff.send_rest(output, &mut reading.held, counters), if is_held && is_open => match handed_on {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                // Triggered when there is input, and a stream with readers.
                batch = next_noted(&mut *reading.source, demand, is_noted), if !is_held && !is_paused => batch,
            };
            count_skipped(&*reading.source, &mut reported, counters);
            match batch {
                Ok(Some((batch, before))) => {
                    reading.hold(batch, before);
                    counters.took(reading.held.count(), reading.held.payload_len());
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

/// Returns the next batch while its stream has readers, with the position before it if `is_noted`
/// is set. Cancel safe.
async fn next_noted(
    source: &mut dyn Source,
    demand: &mut Demand,
    is_noted: bool,
) -> Result<Option<(Frames, Option<Position>)>, SourceError> {
    let before = is_noted.then(|| source.position()).flatten();
    let batch = next(source, demand).await?;
    Ok(batch.map(|batch| (batch, before)))
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
