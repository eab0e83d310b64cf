//! [`Outputs`]: what an operator has said and the host has not yet been handed, one run of frames a port.

use crate::frames::HEADER_LEN;
use crate::{Error, Result};

/// Bytes that may wait to be handed out, over all ports: 8 MiB. One call of an operator's function cannot leave more:
/// [`Outputs::push`] fails beyond it, and the datum whose outputs they are is rejected. A buffer grows by doubling, so this
/// stays well within the 64 MiB of memory that a runner gives an operator by default.
pub const PENDING_LEN_MAX: usize = 8 * 1024 * 1024;

/// The buffer an answer starts with is as large as the last one was, up to this.
const RESERVE_LEN_MAX: usize = 1024 * 1024;

/// Collects the outputs of an operator, in wire format, by port.
#[derive(Debug, Default)]
pub struct Outputs {
    ports: Vec<Port>,
    names: Vec<Box<str>>,
    pending: usize,
    more: bool,
    origin: usize,
    /// Whether anything was kept since the last mark.
    pushed: bool,
    /// Whether anything was pushed to a port without a stream since then.
    pushed_nowhere: bool,
    /// What the operator says of the datum being processed.
    said: Option<Outcome>,
}

/// What became of an input that was not rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It brought output.
    Answered,
    /// It is kept in the state.
    Absorbed,
    /// It was left out by decision.
    Filtered,
}

/// How many inputs became what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Those that brought output.
    pub answered: u64,
    /// Those that are kept in the state.
    pub absorbed: u64,
    /// Those that were left out by decision.
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

    /// The index of the output port called `name`.
    pub fn port(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| **known == *name)
    }

    /// Whether a stream is bound to the port. What is pushed to one without is not kept.
    pub fn is_bound(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| port.bound)
    }

    /// The index of the input port whose datum is being processed.
    pub fn input_port(&self) -> usize {
        self.origin
    }

    /// Appends a datum to the port.
    ///
    /// # Errors
    /// When the port does not exist, or [`PENDING_LEN_MAX`] would be passed.
    pub fn push(&mut self, port: usize, datum: &[u8]) -> Result<()> {
        self.write(port, |frames| {
            frames.extend_from_slice(datum);
            Ok(())
        })
    }

    /// Appends a datum that `write` puts at the end of the buffer it is given; its length is filled in afterwards.
    ///
    /// # Errors
    /// That of `write`, with nothing appended; or as [`push`](Self::push).
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
                    "the outputs of one call are over {PENDING_LEN_MAX} bytes"
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
            None => return Err(Error::new("the outputs before this one were cut away")),
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
        Err(Error::new(format_args!("there is no output port {port}")))
    }

    /// Says what became of the input being processed. Where an operator does not say: an input that brought output is
    /// [`Answered`](Outcome::Answered); one that was only sent to ports without a stream is
    /// [`Filtered`](Outcome::Filtered); another is [`Absorbed`](Outcome::Absorbed) by an operator with state, and
    /// [`Filtered`](Outcome::Filtered) by one without.
    #[inline]
    pub fn outcome(&mut self, outcome: Outcome) {
        self.said = Some(outcome);
    }

    /// Asks for a call of [`FramesOperator::drain`](crate::FramesOperator::drain) before anything else is processed.
    pub fn call_drain(&mut self) {
        self.more = true;
    }

    /// Whether enough waits to be handed out that an operator with much to say should stop, and ask for
    /// [`drain`](crate::FramesOperator::drain) to go on.
    pub fn is_full(&self) -> bool {
        self.pending >= crate::driver::FULL_LEN
    }

    /// Bytes that wait to be handed out.
    pub fn pending_len(&self) -> usize {
        self.pending
    }

    pub(crate) fn take_call_drain(&mut self) -> bool {
        std::mem::take(&mut self.more)
    }

    /// Remembers where the outputs of the datum that comes next start.
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

    /// What became of the input since the last [`mark`](Self::mark), in an operator that has state or not.
    #[inline]
    pub(crate) fn outcome_of(&self, has_state: bool) -> Outcome {
        match self.said {
            Some(outcome) => outcome,
            None if self.pushed => Outcome::Answered,
            None if has_state && !self.pushed_nowhere => Outcome::Absorbed,
            None => Outcome::Filtered,
        }
    }

    /// Takes back what was pushed since the last [`mark`](Self::mark).
    pub(crate) fn rollback(&mut self) {
        self.more = false;
        for port in &mut self.ports {
            self.pending = self
                .pending
                .saturating_sub(port.frames.len().saturating_sub(port.mark));
            port.frames.truncate(port.mark);
        }
    }

    /// Forgets all that waits.
    pub(crate) fn clear(&mut self) {
        self.more = false;
        self.pending = 0;
        for port in &mut self.ports {
            port.frames = Vec::new();
            port.sent = 0;
        }
    }

    /// Takes whole frames off the front, at most `len_max` bytes (but at least one frame), by port.
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

/// The length of the whole frames at the front of `frames` that fit `room`; with `at_least_one` one even if it does not.
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
