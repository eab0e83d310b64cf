//! Converts between postcard streams and stages that use JSON, by the schema of the stream and in
//! parts. Records that do not fit the schema count as `invalid`.

use mosaik_streams::{
    Frames, FramesProducer,
    schema::{Refused, Transcoder},
};

use super::{
    End,
    worker::{Held, Worker},
};
use crate::operator::Rejected;
pub(super) use crate::rate_limited_warnings::RateLimitedWarnings;

/// The converters of an operator's ports that use JSON on postcard streams, by port number.
#[derive(Debug, Clone, Default)]
pub struct Converters {
    /// Converters of the input ports.
    pub inputs: Vec<Option<Transcoder>>,
    /// Converters of the output ports.
    pub outputs: Vec<Option<Transcoder>>,
}

/// A port of an operator, by number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Port {
    Input(u32),
    Output(u32),
}

impl Worker {
    /// Converts a postcard batch to JSON, in parts, and passes it to the guest.
    pub(super) async fn process_as_json(
        &mut self,
        port: u32,
        transcoder: &Transcoder,
        mut rest: Frames,
    ) -> Result<(), End> {
        while !rest.is_empty() {
            let converted = transcoder.frames_to_json(&mut rest);
            let mut done = self
                .misfits(Port::Input(port), &converted.taken, converted.refused)
                .await;
            if done.is_err() {
                self.shared.counters.undelivered(converted.frames.count());
            } else if !converted.frames.is_empty() {
                done = self.process(port, converted.frames).await;
            } else if self.restart {
                self.end_call();
            }
            if done.is_err() {
                self.shared.counters.undelivered(rest.count());
                return done;
            }
        }
        Ok(())
    }

    /// Converts the guest's JSON to postcard, in parts, and queues it for its stream.
    pub(super) async fn hold_as_postcard(
        &mut self,
        (port, producer): (u32, &FramesProducer),
        transcoder: &Transcoder,
        mut rest: Frames,
        is_counted: bool,
    ) -> Result<(), End> {
        while !rest.is_empty() {
            let converted = transcoder.frames_to_postcard(&mut rest);
            if !converted.frames.is_empty() {
                self.held.push_back(Held {
                    producer: producer.clone(),
                    frames: converted.frames,
                    is_counted,
                });
            }
            let judged = self
                .misfits(Port::Output(port), &converted.taken, converted.refused)
                .await;
            if judged.is_err() {
                self.shared.counters.outputs_undelivered(rest.count());
                return judged;
            }
        }
        Ok(())
    }

    /// Applies the error policy to records that do not fit the schema of their stream.
    async fn misfits(
        &mut self,
        port: Port,
        batch: &Frames,
        refused: Vec<Refused>,
    ) -> Result<(), End> {
        match port {
            Port::Input(_) => self.shared.counters.invalid(refused.len()),
            Port::Output(_) => self.shared.counters.outputs_invalid(refused.len()),
        }
        let rejected: Vec<Rejected> = refused
            .into_iter()
            .map(|refused| Rejected {
                index: refused.index as u32,
                reason: refused.error.to_string(),
            })
            .collect();
        self.refused((port, batch, 0), &rejected).await
    }
}
