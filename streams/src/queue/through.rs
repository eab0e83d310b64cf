//! Cutting through: while a queue is empty, a large batch that is put into it goes to the next one at once, without waking
//! the task that would move it there.
//!
//! Small batches and single datums are held, for that task to gather: whoever takes them would be woken for each otherwise.

use std::{fmt, sync::Arc, task::Waker};

use super::{
    Queue, Source,
    state::{JOIN_BELOW, State},
};
use crate::frames::Frames;

/// Where batches go that need not wait for anything.
pub(crate) trait Next: fmt::Debug + Send + Sync {
    fn queue(&self) -> &Queue;

    /// Which of that queue's writers they come from.
    fn source(&self) -> Source;

    /// So many datums have gone there, of so many bytes without headers. Said before its reader can see them.
    fn passed(&self, count: usize, len: usize);
}

/// The next queue, while batches cut through.
#[derive(Debug, Default)]
pub(super) struct Through {
    next: Option<Arc<dyn Next>>,
    /// How many datums went there and are not counted yet.
    passed: u64,
}

impl Queue {
    /// Large batches that are put in from now on go to `next`. The first one that has no room there, and whatever else is
    /// held here, ends this. Nothing comes of it while this queue holds something, which must go first.
    pub(crate) fn cut_through(&self, next: Arc<dyn Next>) {
        let mut state = self.state();
        if state.count == 0 && !state.closed {
            state.through.next = Some(next);
        }
    }

    /// Ends that: what is put in is held. Gives how many datums went through since this was last asked.
    pub(crate) fn hold(&self) -> u64 {
        let through = &mut self.state().through;
        through.next = None;
        std::mem::take(&mut through.passed)
    }
}

impl State {
    /// Moves as many datums as there is room for, or all or none, from the front of a large batch to the next queue, if
    /// batches cut through. Gives whom to wake.
    #[inline]
    pub(super) fn pass(&mut self, frames: &mut Frames, whole: bool) -> Option<Waker> {
        if self.through.next.is_none() || frames.wire_len() < JOIN_BELOW {
            return None;
        }
        self.pass_on(frames, whole)
    }

    #[inline(never)]
    fn pass_on(&mut self, frames: &mut Frames, whole: bool) -> Option<Waker> {
        let next = self.through.next.take()?;
        let mut there = next.queue().state();
        if there.closed || (whole && !there.fits_all(frames)) {
            return None;
        }
        let before = (frames.count(), frames.payload_len());
        there.fill(next.source(), frames);
        let count = before.0 - frames.count();
        let len = before.1 - frames.payload_len();
        self.put += count as u64;
        self.put_len += len as u64;
        self.taken += count as u64;
        self.through.passed += count as u64;
        next.passed(count, len);
        let reader = (count > 0).then(|| there.reader.take()).flatten();
        drop(there);
        if frames.is_empty() {
            self.through.next = Some(next);
        }
        reader
    }

    /// What follows must not overtake what is held here.
    #[inline]
    pub(super) fn end_through(&mut self) {
        if self.through.next.is_some() {
            self.through.next = None;
        }
    }
}
