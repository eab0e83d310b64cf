//! [`Outputs`]: the outputs of an operator that were not passed to the host yet, as frames per port.

use crate::frames::HEADER_LEN;
use crate::{Error, Result};

/// The maximum number of waiting bytes over all ports: 8 MiB. A single call of an operator's function cannot exceed it:
/// [`Outputs::push`] fails, and the record is rejected. Buffers grow by doubling, which keeps them well within the 64
/// MiB of memory that an operator has by default.
pub const PENDING_LEN_MAX: usize = 8 * 1024 * 1024;

/// The initial buffer of an answer is as large as the last answer, up to this.
const RESERVE_LEN_MAX: usize = 1024 * 1024;

/// Collects the outputs of an operator in wire format, by port.
#[derive(Debug, Default)]
pub struct Outputs {
    ports: Vec<Port>,
    names: Vec<Box<str>>,
    pending: usize,
    more: bool,
    origin: usize,
    /// True if anything was pushed to a bound port since the last mark.
    pushed: bool,
    /// True if anything was pushed to an unbound port since the last mark.
    pushed_nowhere: bool,
    /// The outcome set by the operator for the record being processed.
    said: Option<Outcome>,
}

/// The outcome of an input that was not rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It produced output.
    Answered,
    /// It is kept in the state.
    Absorbed,
    /// It was dropped intentionally.
    Filtered,
}

/// The numbers of inputs by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Inputs that produced output.
    pub answered: u64,
    /// Inputs that are kept in the state.
    pub absorbed: u64,
    /// Inputs that were dropped intentionally.
    pub filtered: u64,
}

impl Outcomes {
    #[inline]
    pub(crate) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered => self.answered += 1,
            Outcome::Absorbed => self.absorbed += 1,
            Outcome::Filtered => self.filtered += 1,
        }
    }
}

#[derive(Debug, Default)]
struct Port {
    frames: Vec<u8>,
    sent: usize,
    mark: usize,
    last_len: usize,
    bound: bool,
}

impl Outputs {
    pub(crate) fn new(ports: impl IntoIterator<Item = (Box<str>, bool)>) -> Self {
        let mut outputs = Self::default();
        for (name, bound) in ports {
            outputs.names.push(name);
            outputs.ports.push(Port {
                bound,
                ..Port::default()
            });
        }
        outputs
    }

    /// Returns the index of the output port called `name`.
    pub fn port(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| **known == *name)
    }

    /// Returns true if a stream is bound to the port. Records pushed to an unbound port are discarded.
    pub fn is_bound(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| port.bound)
    }

    /// Returns the index of the input port whose record is being processed.
    pub fn input_port(&self) -> usize {
        self.origin
    }

    /// Appends a record to the port.
    ///
    /// # Errors
    /// Fails if the port does not exist, or [`PENDING_LEN_MAX`] would be exceeded.
    pub fn push(&mut self, port: usize, datum: &[u8]) -> Result<()> {
        self.write(port, |frames| {
            frames.extend_from_slice(datum);
            Ok(())
        })
    }

    /// Appends a record that `write` appends to the given buffer. The length is set afterwards.
    ///
    /// # Errors
    /// Errors of `write`, with nothing appended; or as [`push`](Self::push).
    #[inline]
    pub fn write(
        &mut self,
        port: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let Some(Port {
            frames,
            last_len,
            bound: true,
            ..
        }) = self.ports.get_mut(port)
        else {
            return self.unbound(port);
        };
        if frames.is_empty() {
            frames.reserve(*last_len);
        }
        let start = frames.len();
        frames.extend_from_slice(&[0; HEADER_LEN]);
        let written = write(frames);
        let len = frames.len().saturating_sub(start + HEADER_LEN);
        let fits = written.and_then(|()| {
            if self.pending + HEADER_LEN + len > PENDING_LEN_MAX {
                return Err(Error::new(format_args!(
                    "the outputs of one call exceed {PENDING_LEN_MAX} bytes"
                )));
            }
            Ok(())
        });
        if let Err(error) = fits {
            frames.truncate(start);
            return Err(error);
        }
        match frames.get_mut(start..start + HEADER_LEN) {
            Some(header) => header.copy_from_slice(&(len as u32).to_be_bytes()),
            None => return Err(Error::new("earlier outputs were truncated")),
        }
        self.pending += HEADER_LEN + len;
        self.pushed = true;
        Ok(())
    }

    #[cold]
    fn unbound(&mut self, port: usize) -> Result<()> {
        if port < self.ports.len() {
            self.pushed_nowhere = true;
            return Ok(());
        }
        Err(Error::new(format_args!("no output port {port}")))
    }

    /// Sets the outcome of the input being processed. By default, an input with output is
    /// [`Answered`](Outcome::Answered); one with output to unbound ports only is [`Filtered`](Outcome::Filtered); one
    /// without output is [`Absorbed`](Outcome::Absorbed) if the operator has state, and [`Filtered`](Outcome::Filtered)
    /// otherwise.
    #[inline]
    pub fn outcome(&mut self, outcome: Outcome) {
        self.said = Some(outcome);
    }

    /// Requests a call of [`FramesOperator::drain`](crate::FramesOperator::drain) before anything else is processed.
    pub fn call_drain(&mut self) {
        self.more = true;
    }

    /// Returns true if so much output waits that the operator should stop and continue in
    /// [`drain`](crate::FramesOperator::drain).
    pub fn is_full(&self) -> bool {
        self.pending >= crate::driver::FULL_LEN
    }

    /// Returns the number of bytes of output that were not passed to the host yet.
    pub fn pending_len(&self) -> usize {
        self.pending
    }

    pub(crate) fn take_call_drain(&mut self) -> bool {
        std::mem::take(&mut self.more)
    }

    /// Marks the start of the next record's outputs.
    #[inline]
    pub(crate) fn mark(&mut self, input_port: usize) {
        self.origin = input_port;
        self.pushed = false;
        self.pushed_nowhere = false;
        self.said = None;
        for port in &mut self.ports {
            port.mark = port.frames.len();
        }
    }

    /// Returns the outcome of the input since the last [`mark`](Self::mark).
    #[inline]
    pub(crate) fn outcome_of(&self, has_state: bool) -> Outcome {
        match self.said {
            Some(outcome) => outcome,
            None if self.pushed => Outcome::Answered,
            None if has_state && !self.pushed_nowhere => Outcome::Absorbed,
            None => Outcome::Filtered,
        }
    }

    /// Discards everything pushed since the last [`mark`](Self::mark).
    pub(crate) fn rollback(&mut self) {
        self.more = false;
        for port in &mut self.ports {
            self.pending = self
                .pending
                .saturating_sub(port.frames.len().saturating_sub(port.mark));
            port.frames.truncate(port.mark);
        }
    }

    /// Discards all waiting output.
    pub(crate) fn clear(&mut self) {
        self.more = false;
        self.pending = 0;
        for port in &mut self.ports {
            port.frames = Vec::new();
            port.sent = 0;
        }
    }

    /// Takes whole frames from the front, at most `len_max` bytes but at least one frame, by port.
    pub(crate) fn take(&mut self, len_max: usize) -> Vec<crate::Output> {
        let mut taken = Vec::new();
        let mut room = len_max;
        for (index, port) in self.ports.iter_mut().enumerate() {
            if port.frames.is_empty() {
                continue;
            }
            let unsent = port.frames.len() - port.sent;
            let frames = if port.sent == 0 && unsent <= room {
                port.last_len = unsent.min(RESERVE_LEN_MAX);
                std::mem::take(&mut port.frames)
            } else {
                let rest = &port.frames[port.sent..];
                let len = whole_frames(rest, room, taken.is_empty());
                let part = rest[..len].to_vec();
                port.sent += len;
                if port.sent == port.frames.len() {
                    port.frames = Vec::new();
                    port.sent = 0;
                }
                part
            };
            if frames.is_empty() {
                break;
            }
            room = room.saturating_sub(frames.len());
            self.pending = self.pending.saturating_sub(frames.len());
            taken.push(crate::Output {
                port: index as u32,
                frames,
            });
        }
        taken
    }
}

/// Returns the length of the whole frames at the front of `frames` that fit into `room`; with `at_least_one`, of at
/// least one.
fn whole_frames(frames: &[u8], room: usize, at_least_one: bool) -> usize {
    let mut len = 0;
    for datum in crate::Frames::new(frames).map_while(std::result::Result::ok) {
        let next = len + HEADER_LEN + datum.len();
        if next > room && !(len == 0 && at_least_one) {
            break;
        }
        len = next;
    }
    len
}
