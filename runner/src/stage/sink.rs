//! A stream that leaves through a connector.

use std::sync::Arc;

use mosaik_streams::Frames;

use super::{
    BATCH_DATUMS_MAX, Command, Control, Counters, Drain, End, Ended, Input, drain::Draining,
};
use crate::connector::{Sink, SinkError};

/// A running consumer of the manifest.
#[derive(Debug)]
pub struct SinkStage {
    /// The subscription.
    pub input: Input,
    /// The outside end.
    pub sink: Sink,
    /// Where it counts.
    pub counters: Arc<Counters>,
}

impl SinkStage {
    /// Writes until the stream ends, the outside fails, or the stage is told to stop.
    pub async fn run(mut self, mut control: Control) -> Ended {
        let mut end = self.pump(&mut control).await;
        let closed = tokio::select! {
            biased;
            closed = self.sink.close() => closed,
            // Whatever is at the other end does not take it.
            () = control.abandon.cancelled() => Ok(()),
        };
        if let Err(error) = closed
            && !matches!(end, End::Closed | End::Failed(_))
        {
            end = failure(error);
        }
        Ended {
            end,
            inputs: vec![self.input],
            source: None,
        }
    }

    async fn pump(&mut self, control: &mut Control) -> End {
        loop {
            let batch = tokio::select! {
                biased;
                command = control.commands.recv() => match command {
                    Some(Command::Drain(drain)) => return self.drain(drain, control).await,
                    None => return End::Stopped,
                    Some(Command::Swap(_, reply)) => {
                        // Only operators are ever asked; a receiver that is gone no longer wants to know.
                        let _ = reply.send(Err("a sink has no instance to swap".into()));
                        continue;
                    }
                },
                batch = self.input.consumer.recv_frames(BATCH_DATUMS_MAX) => batch,
            };
            let Some(batch) = batch else {
                return End::Finished;
            };
            if let Err(end) = write(&mut self.sink, &self.counters, &batch, control).await {
                return end;
            }
        }
    }

    async fn drain(&mut self, drain: Drain, control: &Control) -> End {
        let mut draining = Draining::new(drain, &mut self.input);
        while let Some(batch) = draining.next(&control.abandon).await {
            if let Err(end) = write(&mut self.sink, &self.counters, &batch, control).await {
                return end;
            }
        }
        End::Stopped
    }
}

async fn write(
    sink: &mut Sink,
    counters: &Counters,
    batch: &Frames,
    control: &Control,
) -> Result<(), End> {
    counters.took(batch.count(), batch.payload_len());
    let written = tokio::select! {
        biased;
        written = sink.write(batch) => written.map_err(failure),
        () = control.abandon.cancelled() => Err(End::Stopped),
    };
    match written {
        Ok(()) => counters.gave(batch.count(), batch.payload_len()),
        Err(_) => counters.undelivered(batch.count()),
    }
    written
}

fn failure(error: SinkError) -> End {
    match error {
        SinkError::Closed { .. } => End::Closed,
        error => End::Failed(error.to_string()),
    }
}
