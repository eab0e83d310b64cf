//! The bypass of an empty queue: a large batch put into it goes directly to the next queue, without waking the task
//! that would move it there.
//!
//! Small batches and single records are queued, so that the task can merge them. Otherwise the reader of the next queue
//! would be woken for each.

use std::{sync::Arc, task::Waker};

use super::{
    Queue,
    next::Next,
    state::{JOIN_BELOW, State},
};
use crate::frames::Frames;

impl Queue {
    /// Sends large batches directly to `next` from now on. The first one that does not fit there, or anything queued
    /// here, ends this. Does nothing while this queue is not empty, since its records must go first.
    pub(crate) fn start_bypass(&self, next: Arc<dyn Next>) {
        let mut state = self.state();
        if state.count == 0 && state.marks.is_empty() && !state.closed {
            state.bypass.next = Some(next);
        }
    }

    /// Ends the bypass: batches are queued. Returns the number of records that bypassed the queue since the last call.
    pub(crate) fn suspend_bypass(&self) -> u64 {
        let bypass = &mut self.state().bypass;
        bypass.next = None;
        std::mem::take(&mut bypass.passed)
    }
}

impl State {
    /// Moves as many records as fit, or with `whole` all or none, from the front of a large batch to the next queue, if
    /// there is a bypass. Returns the waker of the next queue's reader.
    #[inline]
    pub(super) fn pass(&mut self, frames: &mut Frames, whole: bool) -> Option<Waker> {
        if self.bypass.next.is_none() || frames.wire_len() < JOIN_BELOW {
            return None;
        }
        self.pass_on(frames, whole)
    }

    #[inline(never)]
    fn pass_on(&mut self, frames: &mut Frames, whole: bool) -> Option<Waker> {
        let next = self.bypass.next.take()?;
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
        self.bypass.passed += count as u64;
        next.passed(count, len);
        let reader = (count > 0).then(|| there.reader.take()).flatten();
        drop(there);
        if frames.is_empty() {
            self.bypass.next = Some(next);
        }
        reader
    }

    /// Later batches must not overtake queued ones.
    #[inline]
    pub(super) fn end_bypass(&mut self) {
        if self.bypass.next.is_some() {
            self.bypass.next = None;
        }
    }
}
