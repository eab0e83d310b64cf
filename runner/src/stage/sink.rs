//! Writes a stream to a connector: converts the records, and hands them to the delivery.

use std::sync::Arc;

use mosaik_streams::{Frames, Received, schema::Transcoder};
use tokio::sync::watch;

use super::{
    BATCH_DATUMS_MAX, Command, Control, Counters, Drain, End, Ended, Input,
    delivery::{Delivery, Misfit, SinkPolicy},
    drain::Draining,
    read_position::read_positions,
    rows::{Rows, without},
};
use crate::{
    checkpoint::{Line, NextLine, Signal, StageImage},
    connector::{CsvEncoder, Sink},
};

/// The code of records that do not fit the schema of their stream, in dead-letter records.
const UNFIT: &str = "schema";

/// A running consumer of the manifest.
#[derive(Debug)]
pub struct SinkStage {
    /// The name of the stage.
    pub name: String,
    /// The subscription to read from.
    pub input: Input,
    /// The connector that it writes to.
    pub sink: Box<dyn Sink>,
    /// Converts its records to JSON; `None` if they are not postcard.
    pub transcoder: Option<Transcoder>,
    /// Its policy, which a reload can change.
    pub policy: watch::Receiver<SinkPolicy>,
    /// The counters of the stage.
    pub counters: Arc<Counters>,
    /// Its line to the coordinator of checkpoints.
    pub line: Line,
    /// The line that it gets with a policy that names another stream.
    pub next_line: NextLine,
}

impl SinkStage {
    /// Writes until the stream ends, the connector fails, or the stage is asked to stop.
    pub async fn run(self, mut control: Control) -> Ended {
        let (mut input, mut sink) = (self.input, self.sink);
        let encoder = sink.take_encoder();
        let handoff = control.handoff.clone();
        let mut outlet = Outlet {
            transcoder: self.transcoder,
            encoder,
            counters: Arc::clone(&self.counters),
            delivery: Delivery::new(self.name, sink, self.policy, self.counters, handoff),
            line: self.line,
            next_line: self.next_line,
        };
        let mut end = outlet.pump(&mut input, &mut control).await;
        if end == End::Finished && outlet.line.is_used() {
            match outlet.delivery.sync().await {
                Ok(token) => outlet.line.ends(StageImage::Sink {
                    token,
                    read: read_positions(std::slice::from_mut(&mut input)),
                    ended: true,
                }),
                Err(failed) => end = failed,
            }
        }
        let closed = tokio::select! {
            biased;
            closed = outlet.delivery.close() => closed,
            // Triggered when the time limit has passed and the receiver has not accepted the rest.
            () = control.handoff.abandoned() => Ok(()),
        };
        if let Err(error) = closed
            && !matches!(end, End::Closed | End::Failed(_))
        {
            end = error;
        }
        Ended {
            end,
            inputs: vec![input],
            source: None,
        }
    }
}

/// The connector and the output format.
struct Outlet {
    transcoder: Option<Transcoder>,
    encoder: Option<CsvEncoder>,
    counters: Arc<Counters>,
    delivery: Delivery,
    line: Line,
    next_line: NextLine,
}

enum Event {
    Command(Option<Command>),
    /// The policy has changed.
    Retuned,
    /// The stream of dead-letter records takes records again after a barrier.
    Open,
    Signal(Signal),
    Received(Option<Received>),
}

impl Outlet {
    async fn pump(&mut self, input: &mut Input, control: &mut Control) -> End {
        let mut alignment = self.line.alignment();
        loop {
            self.next_line.take_over(&mut self.line);
            let handled = match alignment.complete(&self.line, |_| true) {
                Some(number) => {
                    alignment.release();
                    self.pass_barrier(input, number).await
                }
                None => match self.next_event(input, control).await {
                    Event::Command(Some(Command::Drain(drain))) => {
                        return self.drain(input, drain, control).await;
                    }
                    Event::Command(None) => return End::Stopped,
                    Event::Command(Some(other)) => {
                        other.refuse();
                        Ok(())
                    }
                    Event::Retuned | Event::Open => Ok(()),
                    Event::Signal(Signal::Begun(begun)) => {
                        self.pass_barrier(input, begun.number).await
                    }
                    Event::Signal(Signal::Over) => {
                        alignment.release_if_over(&self.line);
                        Ok(())
                    }
                    Event::Received(Some(Received::Batch(batch))) => self.take(batch).await,
                    Event::Received(Some(Received::Mark(mark))) => {
                        alignment.arrive(&self.line, 0, mark);
                        Ok(())
                    }
                    Event::Received(None) => return End::Finished,
                },
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    /// Waits for the next event. After a barrier, no records are taken until all other writers of the
    /// stream of dead-letter records have passed it too.
    ///
    /// Triggered when a command arrives; when the policy changes; when the input has a batch or has
    /// ended; or when a checkpoint begins here, is over, or is passed by all other writers.
    async fn next_event(&mut self, input: &mut Input, control: &mut Control) -> Event {
        if !self.line.is_open() {
            return tokio::select! {
                biased;
                command = control.commands.recv() => Event::Command(command),
                () = self.delivery.policy_changed() => Event::Retuned,
                () = self.line.opens() => Event::Open,
            };
        }
        tokio::select! {
            biased;
            command = control.commands.recv() => Event::Command(command),
            () = self.delivery.policy_changed() => Event::Retuned,
            signal = self.line.signal() => Event::Signal(signal),
            received = input.consumer.recv_next(BATCH_DATUMS_MAX) => Event::Received(received),
        }
    }

    /// Syncs the written records, and reports their position for a checkpoint.
    async fn pass_barrier(&mut self, input: &mut Input, number: u64) -> Result<(), End> {
        let token = self.delivery.sync().await?;
        self.next_line.take_over(&mut self.line);
        let image = StageImage::Sink {
            token,
            read: read_positions(std::slice::from_mut(input)),
            ended: false,
        };
        self.line.pass(number, image);
        Ok(())
    }

    async fn drain(&mut self, input: &mut Input, drain: Drain, control: &Control) -> End {
        let mut draining = Draining::new(drain, input);
        while let Some(batch) = draining.next(&control.handoff).await {
            if let Err(end) = self.take(batch).await {
                return end;
            }
        }
        End::Stopped
    }

    async fn take(&mut self, mut batch: Frames) -> Result<(), End> {
        self.counters.took(batch.count(), batch.payload_len());
        while !batch.is_empty() {
            if let Err(end) = self.write_front(&mut batch).await {
                self.counters.undelivered(batch.count());
                return Err(end);
            }
        }
        Ok(())
    }

    /// Converts records from the front of a batch, at most all, and writes them.
    async fn write_front(&mut self, batch: &mut Frames) -> Result<(), End> {
        let records = self.json(batch).await?;
        let rows = self.rows(records).await?;
        self.delivery.write(rows).await
    }

    /// Converts the front of a postcard batch to JSON. Other batches are taken as they are.
    async fn json(&mut self, batch: &mut Frames) -> Result<Frames, End> {
        let Some(transcoder) = &self.transcoder else {
            return Ok(std::mem::take(batch));
        };
        let converted = transcoder.frames_to_json(batch);
        let mut records = (0..).zip(converted.taken.iter());
        let refused = converted.refused.iter().filter_map(|refused| {
            let (_, record) = records.find(|(index, _)| *index == refused.index)?;
            Some(Misfit {
                record,
                reason: refused.error.to_string(),
                code: UNFIT,
            })
        });
        let refused: Vec<_> = refused.collect();
        if let Err(end) = self.delivery.refuse(&refused).await {
            self.counters.undelivered(converted.frames.count());
            return Err(end);
        }
        Ok(converted.frames)
    }

    /// Makes the rows of the sink's format, if it has one.
    async fn rows(&mut self, records: Frames) -> Result<Rows, End> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(Rows::new(records.clone(), records));
        };
        let (rows, refused) = encoder.encode(&records);
        let mut all = (0..).zip(records.iter());
        let misfits = refused.iter().filter_map(|no_row| {
            let (_, record) = all.find(|(index, _)| *index == no_row.index)?;
            Some(Misfit {
                record,
                reason: no_row.error.to_string(),
                code: no_row.error.code(),
            })
        });
        let misfits: Vec<_> = misfits.collect();
        if let Err(end) = self.delivery.refuse(&misfits).await {
            self.counters.undelivered(rows.count());
            return Err(end);
        }
        let kept = without(records.clone(), refused.iter().map(|no_row| no_row.index));
        Ok(Rows::new(rows, kept))
    }
}

#[cfg(test)]
mod tests;
