//! [`Driver`]: runs a [`FramesOperator`] within its limits, with one method per export of the world.
//!
//! An answer contains at most [`ANSWER_LEN_MAX`] bytes. Further outputs wait; while any wait, `more` is set and no
//! input is consumed. A batch with large outputs is therefore answered in parts, and never held in full.

use crate::frames::Frames;
use crate::frames_operator::{Binding, Description, FramesOperator, State};
use crate::{Error, Outcomes, Outputs, Result};

/// The maximum length of an answer in bytes, frames and reasons together: 4 MiB. A larger record is answered alone.
pub const ANSWER_LEN_MAX: usize = 4 * 1024 * 1024;

/// The maximum length of a rejection reason in bytes. Longer ones are truncated.
pub const REASON_LEN_MAX: usize = 1024;

/// The number of waiting bytes at which no more input is consumed. Below [`ANSWER_LEN_MAX`], so that the outputs of one
/// more record usually fit into the same answer.
pub(crate) const FULL_LEN: usize = 3 * 1024 * 1024;

/// The length of a rejection in an answer, in addition to its reason.
const REJECTED_LEN: usize = 12;

/// Frames for an output port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The index of the port in the description.
    pub port: u32,
    /// The records in wire format.
    pub frames: Vec<u8>,
}

/// A record that the operator rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The index in the batch passed to `process`, also in answers of `resume`.
    pub index: u32,
    /// The reason for the rejection.
    pub reason: String,
}

/// The answer to a call of the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The output records, by port.
    pub outputs: Vec<Output>,
    /// The rejected records.
    pub rejected: Vec<Rejected>,
    /// The outcomes of the processed records that were not rejected.
    pub outcomes: Outcomes,
    /// True if `resume` must be called before anything else.
    pub more: bool,
}

/// Runs an operator by the calls of the world.
#[derive(Debug)]
pub struct Driver<O> {
    running: Option<Running<O>>,
}

#[derive(Debug)]
struct Running<O> {
    operator: O,
    out: Outputs,
    /// The batch being processed; empty between batches.
    batch: Vec<u8>,
    /// The position of the next record in the batch.
    at: usize,
    /// The index of the next record.
    index: u32,
    port: usize,
    draining: bool,
    rejected: Vec<Rejected>,
    rejected_len: usize,
    outcomes: Outcomes,
    /// The input ports with a stream that has not ended.
    open_inputs: Vec<usize>,
}

impl<O: FramesOperator> Default for Driver<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: FramesOperator> Driver<O> {
    /// Creates a driver without an instance; see [`open`](Self::open).
    pub const fn new() -> Self {
        Self { running: None }
    }

    /// Returns the description of the operator.
    pub fn describe() -> Description {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Description {
            inputs: owned(O::INPUTS),
            outputs: owned(O::OUTPUTS),
            config_schema: O::CONFIG_SCHEMA.to_owned(),
            state_version: O::STATE_VERSION,
        }
    }

    /// Creates the instance, replacing an earlier one.
    ///
    /// # Errors
    /// Names the invalid port or configuration field.
    pub fn open(&mut self, config: &str, inputs: &[Binding], outputs: &[Binding]) -> Result<()> {
        let open_inputs = bound_ports(O::INPUTS, inputs, "input")?;
        let bound = bound_ports(O::OUTPUTS, outputs, "output")?;
        let operator = O::open(config, inputs, outputs)?;
        let ports = O::OUTPUTS
            .iter()
            .enumerate()
            .map(|(index, name)| ((*name).into(), bound.contains(&index)));
        self.running = Some(Running {
            operator,
            out: Outputs::new(ports),
            batch: Vec::new(),
            at: 0,
            index: 0,
            port: 0,
            draining: false,
            rejected: Vec::new(),
            rejected_len: 0,
            outcomes: Outcomes::default(),
            open_inputs,
        });
        Ok(())
    }

    /// Processes a batch of an input port.
    ///
    /// # Errors
    /// Fails if the batch is not a sequence of whole frames, the port does not exist, or [`resume`](Self::resume) is
    /// due.
    pub fn process(&mut self, port: u32, batch: Vec<u8>) -> Result<Answer> {
        let running = self.idle()?;
        running.port = input_port::<O>(port)?;
        running.batch = batch;
        running.at = 0;
        running.index = 0;
        running.go_on()
    }

    /// Continues the last answer.
    ///
    /// # Errors
    /// As the call that is continued.
    pub fn resume(&mut self) -> Result<Answer> {
        self.running()?.go_on()
    }

    /// Calls the operator's `tick`.
    ///
    /// # Errors
    /// Errors of the operator, or if [`resume`](Self::resume) is due.
    pub fn tick(&mut self, now_ms: u64) -> Result<Answer> {
        let running = self.idle()?;
        running.call(|operator, out| operator.tick(now_ms, out))?;
        running.go_on()
    }

    /// Notifies the operator that an input has ended.
    ///
    /// # Errors
    /// Errors of the operator, or if the port does not exist or [`resume`](Self::resume) is due.
    pub fn finish(&mut self, port: u32) -> Result<Answer> {
        let running = self.idle()?;
        let port = input_port::<O>(port)?;
        running.open_inputs.retain(|open| *open != port);
        let last = running.open_inputs.is_empty();
        running.call(|operator, out| operator.finish(port, last, out))?;
        running.go_on()
    }

    /// Returns the operator's state.
    ///
    /// # Errors
    /// Errors of the operator, or if [`resume`](Self::resume) is due, because the state is incomplete within a batch.
    pub fn snapshot(&mut self) -> Result<State> {
        self.idle()?.operator.snapshot()
    }

    /// Restores a saved state.
    ///
    /// # Errors
    /// Fails if it has another version, or the operator cannot read it.
    pub fn restore(&mut self, saved: State) -> Result<()> {
        self.idle()?.operator.restore(saved)
    }

    /// Returns the operator, once it is open.
    pub fn operator(&self) -> Option<&O> {
        self.running.as_ref().map(|running| &running.operator)
    }

    fn running(&mut self) -> Result<&mut Running<O>> {
        self.running
            .as_mut()
            .ok_or_else(|| Error::new("the operator is not open"))
    }

    fn idle(&mut self) -> Result<&mut Running<O>> {
        let running = self.running()?;
        if running.has_more() {
            return Err(Error::new(
                "the last answer is incomplete; call resume first",
            ));
        }
        Ok(running)
    }
}

impl<O: FramesOperator> Running<O> {
    fn has_more(&self) -> bool {
        self.at < self.batch.len() || self.draining || self.out.pending_len() > 0
    }

    fn is_full(&self) -> bool {
        self.out.pending_len() + self.rejected_len >= FULL_LEN
    }

    /// Runs a call that belongs to no record.
    fn call(&mut self, call: impl FnOnce(&mut O, &mut Outputs) -> Result<()>) -> Result<()> {
        self.out.mark(0);
        let done = call(&mut self.operator, &mut self.out);
        if done.is_err() {
            self.out.rollback();
        }
        self.draining |= self.out.take_call_drain();
        done
    }

    /// An error fails the whole call: its outputs are discarded, and nothing is left for the next call.
    fn go_on(&mut self) -> Result<Answer> {
        let advanced = self.advance();
        if self.at >= self.batch.len() || advanced.is_err() {
            self.batch = Vec::new();
            self.at = 0;
        }
        if let Err(error) = advanced {
            self.out.clear();
            self.rejected.clear();
            self.rejected_len = 0;
            self.outcomes = Outcomes::default();
            self.draining = false;
            return Err(error);
        }
        let outputs = self
            .out
            .take(ANSWER_LEN_MAX.saturating_sub(self.rejected_len));
        let rejected = std::mem::take(&mut self.rejected);
        self.rejected_len = 0;
        Ok(Answer {
            outputs,
            rejected,
            outcomes: std::mem::take(&mut self.outcomes),
            more: self.has_more(),
        })
    }

    fn advance(&mut self) -> Result<()> {
        while !self.is_full() {
            if self.draining {
                self.draining = false;
                self.call(O::drain)?;
            } else if self.at < self.batch.len() {
                self.consume()?;
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Processes records until the batch ends, enough output waits, or the operator asks for `drain`.
    fn consume(&mut self) -> Result<()> {
        let mut frames = Frames::new(self.batch.get(self.at..).unwrap_or_default());
        let result = loop {
            let datum = match frames.next() {
                None => break Ok(()),
                Some(Ok(datum)) => datum,
                Some(Err(error)) => break Err(Error::new(error)),
            };
            self.out.mark(self.port);
            at_datum(Some(self.index));
            if let Err(error) = self.operator.process(self.port, datum, &mut self.out) {
                self.out.rollback();
                let reason = cut(error.into_reason());
                self.rejected_len += reason.len() + REJECTED_LEN;
                self.rejected.push(Rejected {
                    index: self.index,
                    reason,
                });
            } else {
                self.outcomes.add(self.out.outcome_of(O::STATE_VERSION > 0));
            }
            self.index = self.index.wrapping_add(1);
            self.draining = self.out.take_call_drain();
            if self.draining || self.out.pending_len() + self.rejected_len >= FULL_LEN {
                break Ok(());
            }
        };
        at_datum(None);
        self.at = self.batch.len() - frames.rest().len();
        result
    }
}

/// The index in its batch of the record being processed, for panic messages.
#[cfg(target_arch = "wasm32")]
pub(crate) static DATUM: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(NO_DATUM);

/// Greater than any index.
#[cfg(target_arch = "wasm32")]
pub(crate) const NO_DATUM: u64 = u64::MAX;

/// Notes the record being processed, for panic messages.
#[inline]
fn at_datum(index: Option<u32>) {
    #[cfg(target_arch = "wasm32")]
    DATUM.store(
        index.map_or(NO_DATUM, u64::from),
        std::sync::atomic::Ordering::Relaxed,
    );
    #[cfg(not(target_arch = "wasm32"))]
    let _ = index;
}

fn cut(mut reason: String) -> String {
    if reason.len() > REASON_LEN_MAX {
        let mut end = REASON_LEN_MAX;
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

fn input_port<O: FramesOperator>(port: u32) -> Result<usize> {
    let index = port as usize;
    if index < O::INPUTS.len() {
        return Ok(index);
    }
    Err(Error::new(format_args!("no input port {port}")))
}

fn bound_ports(names: &[&str], bindings: &[Binding], side: &str) -> Result<Vec<usize>> {
    let mut bound = Vec::new();
    for binding in bindings {
        let Some(index) = names.iter().position(|name| *name == binding.port) else {
            let known = names.join("`, `");
            crate::bail!("no {side} port `{}`; the ports are `{known}`", binding.port);
        };
        if !bound.contains(&index) {
            bound.push(index);
        }
    }
    Ok(bound)
}
