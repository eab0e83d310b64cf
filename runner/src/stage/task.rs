//! [`Task`]: a unit of work for an instance, and [`Progress`]: the progress of the attempts at it.

use mosaik_streams::Frames;

use crate::operator::{CallError, ClockTrace, Counted, Instance, Outcomes, Processed, Rejected};

/// A unit of work for an instance.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// Process a batch of an input port.
    Batch(u32, Frames),
    /// Process a tick.
    Tick,
    /// Process the end of an input port.
    Finish(u32),
}

impl Task {
    /// Makes the first call. The rest of the answer is requested with `resume`.
    pub(super) fn call(&self, instance: &mut Instance) -> Result<Processed, CallError> {
        match self {
            Self::Batch(port, batch) => instance.process(*port, batch),
            Self::Tick => instance.tick(),
            Self::Finish(port) => instance.finish(*port),
        }
    }

    /// Returns the number of its records.
    pub(super) fn records(&self) -> usize {
        match self {
            Self::Batch(_, batch) => batch.count(),
            Self::Tick | Self::Finish(_) => 0,
        }
    }

    /// Returns true if the task is about records, and false if it is about the state as a whole.
    pub(super) const fn has_records(&self) -> bool {
        matches!(self, Self::Batch(..))
    }

    /// Returns the size of its records in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Batch(_, batch) => batch.wire_len(),
            Self::Tick | Self::Finish(_) => 0,
        }
    }
}

/// The progress of the attempts at a task, so that a later attempt does not hand on the same output
/// again.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Number of records handed on, by output port.
    handed_on: Vec<usize>,
    /// Number of those records that the current attempt has yet to repeat.
    to_skip: Vec<usize>,
    /// True if the current attempt is not the first.
    is_repeated: bool,
    /// Rejected records, by their index in the batch.
    pub(super) rejected: Vec<u32>,
    /// Outcomes reported in the current attempt.
    pub(super) outcomes: Outcomes,
    /// Counts reported in the current attempt.
    pub(super) counted: Vec<Counted>,
    /// The clock values for the next attempt.
    pub(super) clock: ClockTrace,
}

impl Progress {
    /// Resets the progress for another task.
    pub(super) fn begin(&mut self) {
        self.handed_on.clear();
        self.is_repeated = false;
        self.to_skip.clear();
        self.rejected.clear();
        self.clock = ClockTrace::default();
    }

    /// Returns true if any output was handed on.
    pub(super) fn has_handed_on(&self) -> bool {
        self.handed_on.iter().any(|count| *count > 0)
    }

    /// Returns true if the current attempt has not yet repeated all output that was handed on.
    pub(super) fn is_behind(&self) -> bool {
        self.to_skip.iter().any(|count| *count > 0)
    }

    /// Starts another attempt at the whole task.
    pub(super) fn restart(&mut self) {
        self.is_repeated = true;
        self.to_skip.clone_from(&self.handed_on);
    }

    /// Discards the reports of the current attempt.
    pub(super) fn forget_reports(&mut self) {
        self.outcomes = Outcomes::default();
        self.counted.clear();
    }

    /// Returns whether the record at an index of the batch is rejected.
    pub(super) fn is_rejected(&self, index: u32) -> bool {
        self.rejected.contains(&index)
    }

    /// Returns the records of `part`, which starts at index `first`, that are not rejected.
    pub(super) fn not_rejected<'b>(&self, first: u32, part: &'b Frames) -> Vec<&'b [u8]> {
        let records = (first..).zip(part.iter());
        let records = records.filter(|(index, _)| !self.is_rejected(*index));
        records.map(|(_, record)| record).collect()
    }

    /// Returns the number of rejected records among `count` records from `first` on.
    pub(super) fn rejected_among(&self, first: u32, count: usize) -> usize {
        let is_among = |index: &&u32| **index >= first && ((**index - first) as usize) < count;
        self.rejected.iter().filter(is_among).count()
    }

    /// Records an answer about the records from `first` on. Leaves only the new parts in `answer`.
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
            // Within one attempt, the host has already refused duplicates.
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
    fn a_retry_does_not_repeat_output() {
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
