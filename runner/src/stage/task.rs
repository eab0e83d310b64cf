//! [`Task`]: what a worker makes its instance do, and [`Progress`]: how far an attempt at it came.

use mosaik_streams::Frames;

use crate::operator::{CallError, ClockTrace, Counted, Instance, Outcomes, Processed, Rejected};

/// What a worker makes its instance do.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// Process a batch of an input port.
    Batch(u32, Frames),
    /// See the clock.
    Tick,
    /// An input port has ended.
    Finish(u32),
}

impl Task {
    /// Makes the first call. The rest of the answer is asked for by `resume`.
    pub(super) fn call(&self, instance: &mut Instance) -> Result<Processed, CallError> {
        match self {
            Self::Batch(port, batch) => instance.process(*port, batch),
            Self::Tick => instance.tick(),
            Self::Finish(port) => instance.finish(*port),
        }
    }

    /// Records that it is about.
    pub(super) fn records(&self) -> usize {
        match self {
            Self::Batch(_, batch) => batch.count(),
            Self::Tick | Self::Finish(_) => 0,
        }
    }

    /// Whether it is about records. Else it is about the state as a whole.
    pub(super) const fn has_records(&self) -> bool {
        matches!(self, Self::Batch(..))
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Batch(_, batch) => batch.wire_len(),
            Self::Tick | Self::Finish(_) => 0,
        }
    }
}

/// How far the attempts at a task have come, so that a later one repeats nothing that was handed on.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Records handed on, by output port.
    handed_on: Vec<usize>,
    /// Of those, the ones that the current attempt has yet to repeat.
    to_skip: Vec<usize>,
    /// Whether there was an attempt before the current one.
    is_repeated: bool,
    /// Rejected records, by their index in the batch.
    pub(super) rejected: Vec<u32>,
    /// What the current attempt has reported.
    pub(super) outcomes: Outcomes,
    /// What the current attempt has counted.
    pub(super) counted: Vec<Counted>,
    /// What the clock is to answer in the next attempt.
    pub(super) clock: ClockTrace,
}

impl Progress {
    /// Starts with another task.
    pub(super) fn begin(&mut self) {
        self.handed_on.clear();
        self.is_repeated = false;
        self.to_skip.clear();
        self.rejected.clear();
        self.clock = ClockTrace::default();
    }

    /// Whether anything that came of it is handed on.
    pub(super) fn has_handed_on(&self) -> bool {
        self.handed_on.iter().any(|count| *count > 0)
    }

    /// Whether the current attempt has not yet repeated all that is handed on.
    pub(super) fn is_behind(&self) -> bool {
        self.to_skip.iter().any(|count| *count > 0)
    }

    /// Starts another attempt, at all of it.
    pub(super) fn restart(&mut self) {
        self.is_repeated = true;
        self.to_skip.clone_from(&self.handed_on);
    }

    /// Forgets what the current attempt has reported.
    pub(super) fn forget_reports(&mut self) {
        self.outcomes = Outcomes::default();
        self.counted.clear();
    }

    /// The records of a part of the batch, which starts at `first`, that are not rejected.
    pub(super) fn not_rejected<'b>(&self, first: u32, part: &'b Frames) -> Vec<&'b [u8]> {
        let records = (first..).zip(part.iter());
        let records = records.filter(|(index, _)| !self.rejected.contains(index));
        records.map(|(_, record)| record).collect()
    }

    /// How many of `count` records from `first` on are rejected.
    pub(super) fn rejected_among(&self, first: u32, count: usize) -> usize {
        let is_among = |index: &&u32| **index >= first && ((**index - first) as usize) < count;
        self.rejected.iter().filter(is_among).count()
    }

    /// Notes an answer about the records from `first` on. Leaves in it what is new.
    pub(super) fn note(&mut self, first: u32, answer: &mut Processed) {
        for (port, frames) in &mut answer.outputs {
            let port = *port as usize;
            if self.handed_on.len() <= port {
                self.handed_on.resize(port + 1, 0);
                self.to_skip.resize(port + 1, 0);
            }
            let skipped = self.to_skip[port].min(frames.count());
            if skipped > 0 {
                frames.split_front(skipped, usize::MAX);
                self.to_skip[port] -= skipped;
            }
            self.handed_on[port] += frames.count();
        }
        answer.rejected.retain_mut(|Rejected { index, .. }| {
            *index += first;
            // Of one attempt, the host has seen to it that none is there twice.
            let is_new = !self.is_repeated || !self.rejected.contains(index);
            if is_new {
                self.rejected.push(*index);
            }
            is_new
        });
        self.outcomes += answer.outcomes;
        for counted in answer.counted.drain(..) {
            match self.counted.iter_mut().find(|c| c.name == counted.name) {
                Some(known) => known.delta = known.delta.saturating_add(counted.delta),
                None => self.counted.push(counted),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(outputs: &[(u32, usize)], rejected: &[u32]) -> Processed {
        let frames = |count: usize| {
            let mut builder = mosaik_streams::FramesBuilder::new();
            (0..count).for_each(|_| builder.push(b"x"));
            builder.finish()
        };
        Processed {
            outputs: outputs
                .iter()
                .map(|(port, n)| (*port, frames(*n)))
                .collect(),
            rejected: rejected
                .iter()
                .map(|index| Rejected {
                    index: *index,
                    reason: String::new(),
                })
                .collect(),
            ..Processed::default()
        }
    }

    fn new(answer: &Processed) -> (Vec<usize>, Vec<u32>) {
        let counts = answer.outputs.iter().map(|(_, frames)| frames.count());
        let rejected = answer.rejected.iter().map(|rejected| rejected.index);
        (counts.collect(), rejected.collect())
    }

    #[test]
    fn another_attempt_repeats_nothing_that_was_handed_on() {
        let mut progress = Progress::default();
        let mut first = answer(&[(0, 5), (2, 1)], &[3]);
        progress.note(0, &mut first);
        assert_eq!(new(&first), (vec![5, 1], vec![3]));

        progress.restart();
        assert!(progress.is_behind());
        let mut again = answer(&[(0, 3)], &[]);
        progress.note(0, &mut again);
        assert_eq!(new(&again), (vec![0], vec![]));
        // Index 1 of a part that starts at the third record.
        let mut rest = answer(&[(0, 4), (2, 1), (1, 1)], &[1, 2]);
        progress.note(2, &mut rest);
        assert_eq!(new(&rest), (vec![2, 0, 1], vec![4]));
        assert!(!progress.is_behind());
        let among =
            [(0, 10), (0, 3), (3, 1), (4, 1), (5, 9)].map(|(at, n)| progress.rejected_among(at, n));
        assert_eq!(among, [2, 0, 1, 1, 0]);
    }
}
