//! Writes a stream to a connector.

use std::sync::Arc;

use mosaik_streams::{Frames, Received, schema::Transcoder};

use super::{
    BATCH_DATUMS_MAX, Command, Control, Counters, Drain, End, Ended, Input,
    convert::{RateLimitedWarnings, for_sink, leave_out},
    drain::Draining,
};
use crate::{
    checkpoint::{Line, Signal, StageImage},
    connector::{CsvEncoder, Sink, SinkError},
};

/// A running consumer of the manifest.
#[derive(Debug)]
pub struct SinkStage {
    /// The subscription.
    pub input: Input,
    /// The connector that it writes to.
    pub sink: Box<dyn Sink>,
    /// Converts its records to JSON; `None` if they are not postcard.
    pub transcoder: Option<Transcoder>,
    /// Its counters.
    pub counters: Arc<Counters>,
    /// Its line to the coordinator of checkpoints.
    pub line: Line,
}

impl SinkStage {
    /// Writes until the stream ends, the connector fails, or the stage is asked to stop.
    pub async fn run(self, mut control: Control) -> Ended {
        let mut input = self.input;
        let mut line = self.line;
        let mut sink = self.sink;
        let mut outlet = Outlet {
            encoder: sink.take_encoder(),
            sink,
            transcoder: self.transcoder,
            counters: self.counters,
            warnings: RateLimitedWarnings::default(),
        };
        outlet.counters.writes_with(outlet.sink.progress());
        let mut end = outlet.pump(&mut input, &mut line, &mut control).await;
        if end == End::Finished && line.is_used() {
            match outlet.sink.sync().await {
                Ok(token) => line.ends(StageImage::Sink { token, ended: true }),
                Err(error) => end = failure(error),
            }
        }
        let closed = tokio::select! {
            biased;
            closed = outlet.sink.close() => closed,
            // Triggered when the time limit has passed and the receiver has not accepted the rest.
            () = control.handoff.abandoned() => Ok(()),
        };
        if let Err(error) = closed
            && !matches!(end, End::Closed | End::Failed(_))
        {
            end = failure(error);
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
    sink: Box<dyn Sink>,
    transcoder: Option<Transcoder>,
    encoder: Option<CsvEncoder>,
    counters: Arc<Counters>,
    warnings: RateLimitedWarnings,
}

impl Outlet {
    async fn pump(&mut self, input: &mut Input, line: &mut Line, control: &mut Control) -> End {
        let mut alignment = line.alignment();
        loop {
            if let Some(number) = alignment.complete(line, |_| true) {
                alignment.release();
                if let Err(end) = self.pass_barrier(line, number).await {
                    return end;
                }
            }
            let received = tokio::select! {
                biased;
                command = control.commands.recv() => match command {
                    Some(Command::Drain(drain)) => return self.drain(input, drain, control).await,
                    None => return End::Stopped,
                    Some(other) => {
                        other.refuse();
                        continue;
                    }
                },
                // Triggered when a checkpoint begins here, or is given up.
                signal = line.signal() => {
                    let passed = match signal {
                        Signal::Begun(begun) => self.pass_barrier(line, begun.number).await,
                        Signal::GivenUp => {
                            alignment.release_if_given_up(line);
                            Ok(())
                        }
                    };
                    match passed {
                        Ok(()) => continue,
                        Err(end) => return end,
                    }
                }
                received = input.consumer.recv_next(BATCH_DATUMS_MAX) => received,
            };
            match received {
                Some(Received::Batch(batch)) => {
                    if let Err(end) = self.take(batch, control).await {
                        return end;
                    }
                }
                Some(Received::Mark(mark)) => alignment.arrive(line, 0, mark),
                None => return End::Finished,
            }
        }
    }

    /// Makes durable what is written, and notes it for a checkpoint.
    async fn pass_barrier(&mut self, line: &mut Line, number: u64) -> Result<(), End> {
        let token = self.sink.sync().await.map_err(failure)?;
        line.pass(
            number,
            StageImage::Sink {
                token,
                ended: false,
            },
        );
        Ok(())
    }

    async fn drain(&mut self, input: &mut Input, drain: Drain, control: &Control) -> End {
        let mut draining = Draining::new(drain, input);
        while let Some(batch) = draining.next(&control.handoff).await {
            if let Err(end) = self.take(batch, control).await {
                return end;
            }
        }
        End::Stopped
    }

    async fn take(&mut self, mut batch: Frames, control: &Control) -> Result<(), End> {
        self.counters.took(batch.count(), batch.payload_len());
        let Some(transcoder) = self.transcoder.clone() else {
            let batch = self.rows(batch);
            return self.write(&batch, control).await;
        };
        while !batch.is_empty() {
            let json = for_sink(&transcoder, &mut batch, &self.counters, &mut self.warnings);
            let json = self.rows(json);
            if let Err(end) = self.write(&json, control).await {
                self.counters.undelivered(batch.count());
                return Err(end);
            }
        }
        Ok(())
    }

    /// Makes the rows of the sink's format. Counts the records that are not rows as invalid.
    fn rows(&mut self, batch: Frames) -> Frames {
        let Some(encoder) = &mut self.encoder else {
            return batch;
        };
        let (rows, refused) = encoder.encode(&batch);
        let reasons: Vec<_> = refused
            .iter()
            .map(|no_row| no_row.error.to_string())
            .collect();
        leave_out(&reasons, &self.counters, &mut self.warnings);
        rows
    }

    async fn write(&mut self, batch: &Frames, control: &Control) -> Result<(), End> {
        let written = tokio::select! {
            biased;
            written = self.sink.write(batch) => Some(written.map_err(failure)),
            () = control.handoff.abandoned() => None,
        };
        let (count, ended) = match written {
            Some(Ok(())) => (batch.count(), Ok(())),
            Some(Err(end)) => (0, Err(end)),
            None => (self.sink.give_up(batch).await, Err(End::Stopped)),
        };
        let mut rest = batch.clone();
        let written = rest.split_front(count, usize::MAX);
        self.counters.gave(count, written.payload_len());
        self.counters.passed(count);
        self.counters.undelivered(rest.count());
        ended
    }
}

fn failure(error: SinkError) -> End {
    match error {
        SinkError::Closed { .. } => End::Closed,
        error => End::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use mosaik_streams::Encoding;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        connector::{FileSink, SinkConfig, SinkContext, open_sink},
        stage::Handoff,
    };

    #[tokio::test]
    async fn an_unwritten_batch_is_counted_as_undelivered() {
        let config = SinkConfig::new("file", FileSink::of("/dev/full".into()));
        let sink = open_sink(&config, SinkContext::new(Encoding::Text)).await;
        let counters = Arc::new(Counters::default());
        let mut outlet = Outlet {
            sink: sink.unwrap(),
            transcoder: None,
            encoder: None,
            counters: Arc::clone(&counters),
            warnings: RateLimitedWarnings::default(),
        };
        let abandon = CancellationToken::new();
        let (_sender, commands) = mpsc::channel(1);
        let control = Control {
            commands,
            handoff: Handoff::until(abandon.clone()),
        };
        abandon.cancel();
        let batch: Frames = [b"one", b"two"].into_iter().collect();
        let end = outlet.take(batch, &control).await;
        assert_eq!(end, Err(End::Stopped));
        let counts = counters.snapshot();
        assert_eq!((counts.datums_in, counts.inputs.undelivered), (2, 2));
        assert_eq!((counts.datums_out, counts.bytes_out), (0, 0));
    }
}
