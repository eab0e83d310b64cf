//! A connector that feeds a stream.

use std::sync::Arc;

use mosaik_streams::{Frames, FramesProducer};

use super::{Command, Control, Counters, End, Ended};
use crate::connector::Source;

/// A running producer of the manifest.
#[derive(Debug)]
pub struct SourceStage {
    /// The outside end.
    pub source: Box<Source>,
    /// What a predecessor read from it and did not hand on.
    pub held: Frames,
    /// The stream it feeds.
    pub output: FramesProducer,
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
        let counts = self.source.counts();
        let (mut too_large, mut invalid) = (counts.too_large, counts.invalid);
        loop {
            if !self.held.is_empty()
                && let Err(end) = self.hand_on(control).await
            {
                return end;
            }
            let batch = tokio::select! {
                biased;
                command = control.commands.recv() => match command {
                    Some(Command::Swap(_, reply)) => {
                        // Only operators are ever asked; a receiver that is gone no longer wants to know.
                        let _ = reply.send(Err("a producer has no instance to swap".into()));
                        continue;
                    }
                    Some(Command::Drain(_)) | None => return End::Stopped,
                },
                batch = self.source.next() => batch,
            };
            let counts = self.source.counts();
            self.counters
                .skipped(counts.too_large - too_large, counts.invalid - invalid);
            (too_large, invalid) = (counts.too_large, counts.invalid);
            match batch {
                Ok(Some(batch)) => {
                    self.counters.took(batch.count(), batch.payload_len());
                    self.held = batch;
                }
                Ok(None) => return End::Finished,
                Err(error) => return End::Failed(error.to_string()),
            }
        }
    }

    /// Hands on what is held. What could not be handed on stays held, for a successor.
    async fn hand_on(&mut self, control: &Control) -> Result<(), End> {
        control
            .handoff
            .send_rest(&self.output, &mut self.held, &self.counters)
            .await
    }
}
