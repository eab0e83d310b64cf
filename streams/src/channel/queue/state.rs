//! [`State`]: the contents of a queue, and the operations under its lock.

use std::{
    collections::VecDeque,
    task::{Context, Waker},
};

use bytes::BytesMut;

use super::{Item, Mark, PutError, Source, next::Bypass};
use crate::frames::{Frames, FramesBuilder, HEADER_LEN};

/// The length in bytes below which batches are merged by copying; longer ones are queued unchanged. Copying 4 KiB takes
/// as long as handing over one more batch.
pub(super) const JOIN_BELOW: usize = 4 * 1024;
/// The length in bytes at which a merged batch is closed: 64 KiB.
pub(super) const JOINED_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) max_count: usize,
    pub(super) max_bytes: usize,
    pub(super) batches: VecDeque<(Source, Frames)>,
    /// Small batches that are being merged, after all `batches`.
    pub(super) joining: FramesBuilder,
    pub(super) joining_source: Source,
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// Room reserved for writers of single records.
    pub(super) reserved: usize,
    pub(super) closed: bool,
    /// The number of records ever queued, their bytes without headers, and the number of records ever taken.
    pub(super) put: u64,
    pub(super) put_len: u64,
    pub(super) taken: u64,
    /// Marks between records, each with the number of records ever queued before it.
    pub(super) marks: VecDeque<(u64, Mark)>,
    pub(super) reader: Option<Waker>,
    pub(super) bypass: Bypass,
}

impl State {
    /// Moves as many records as fit from the front of `frames`.
    #[inline]
    pub(super) fn fill(&mut self, source: Source, frames: &mut Frames) {
        while let Some(first) = frames.iter().next() {
            if !self.fits(first.len()) {
                break;
            }
            let room = (
                self.max_count - self.count - self.reserved,
                self.max_bytes.saturating_sub(self.bytes),
            );
            self.append(source, frames.split_front(room.0, room.1));
        }
    }

    /// Writes one record of at most `max_len` bytes in place, even if there is no room.
    pub(super) fn write<E>(
        &mut self,
        max_len: usize,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), PutError<E>> {
        self.join_for(0);
        let before = self.joining.wire_len();
        self.joining.push_with(|bytes| {
            let start = bytes.len();
            write(bytes).map_err(PutError::Write)?;
            if bytes.len() - start > max_len {
                Err(PutError::TooLarge)
            } else {
                Ok(())
            }
        })?;
        let len = self.joining.wire_len() - before;
        self.count += 1;
        self.bytes += len;
        self.put += 1;
        self.put_len += (len - HEADER_LEN) as u64;
        self.end_bypass();
        Ok(())
    }

    pub(super) fn fits_all(&self, frames: &Frames) -> bool {
        self.count + self.reserved + frames.count() <= self.max_count
            && self.bytes + frames.wire_len() <= self.max_bytes
    }

    #[inline]
    pub(super) fn fits(&self, len: usize) -> bool {
        self.count + self.reserved < self.max_count
            && (self.count == 0
                || (self.bytes < self.max_bytes && self.bytes + HEADER_LEN + len <= self.max_bytes))
    }

    pub(super) fn reserve(&mut self) -> bool {
        let fits = self.fits(0);
        self.reserved += usize::from(fits);
        fits
    }

    #[inline]
    pub(super) fn append(&mut self, source: Source, frames: Frames) {
        self.count += frames.count();
        self.bytes += frames.wire_len();
        self.put += frames.count() as u64;
        self.put_len += frames.payload_len() as u64;
        self.end_bypass();
        if frames.wire_len() < JOIN_BELOW {
            self.join_for(source);
            self.joining.extend(&frames);
        } else {
            self.seal();
            self.batches.push_back((source, frames));
        }
    }

    /// Prepares `joining` for records of this source.
    #[inline]
    pub(super) fn join_for(&mut self, source: Source) {
        if self.joining_source != source || self.joining.wire_len() >= JOINED_MAX {
            self.seal();
            self.joining_source = source;
        }
    }

    #[inline]
    pub(super) fn seal(&mut self) {
        if !self.joining.is_empty() {
            self.batches
                .push_back((self.joining_source, self.joining.finish()));
        }
    }

    /// Puts a mark behind all queued records.
    pub(super) fn put_mark(&mut self, mark: Mark) {
        self.marks.push_back((self.put, mark));
        self.end_bypass();
    }

    #[inline]
    pub(super) fn is_mark_due(&self) -> bool {
        let first = self.marks.front();
        first.is_some_and(|(position, _)| *position <= self.taken)
    }

    /// Takes a mark that is before the first record.
    #[inline]
    pub(super) fn take_due_mark(&mut self) -> Option<Mark> {
        if self.is_mark_due() {
            self.marks.pop_front().map(|(_, mark)| mark)
        } else {
            None
        }
    }

    /// Takes the next batch, and discards the marks before it.
    #[inline]
    pub(super) fn take(&mut self, max_count: usize) -> Option<(Source, Frames)> {
        while self.take_due_mark().is_some() {}
        self.take_batch(max_count)
    }

    /// Takes the next mark or batch. A batch ends before a mark.
    #[inline]
    pub(super) fn take_item(&mut self, max_count: usize) -> Option<Item> {
        if let Some(mark) = self.take_due_mark() {
            return Some(Item::Mark(mark));
        }
        let (source, frames) = self.take_batch(max_count)?;
        Some(Item::Batch(source, frames))
    }

    #[inline]
    fn take_batch(&mut self, max_count: usize) -> Option<(Source, Frames)> {
        if self.batches.is_empty() {
            self.seal();
        }
        let before_mark = self.marks.front().map_or(usize::MAX, |(position, _)| {
            usize::try_from(position - self.taken).unwrap_or(usize::MAX)
        });
        let (source, front) = self.batches.front_mut()?;
        let max_count = max_count.max(1).min(before_mark);
        let taken = (*source, front.split_front(max_count, usize::MAX));
        if front.is_empty() {
            self.batches.pop_front();
        }
        self.count -= taken.1.count();
        self.bytes -= taken.1.wire_len();
        self.taken += taken.1.count() as u64;
        Some(taken)
    }

    #[inline]
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        if !self
            .reader
            .as_ref()
            .is_some_and(|reader| reader.will_wake(cx.waker()))
        {
            self.reader = Some(cx.waker().clone());
        }
    }
}
