//! [`View`]: the segments of a log, shared by its writer and its readers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{layout::SEGMENT_HEADER_LEN, log::LogId};

/// The distance in bytes between two known places of a segment: 1 MiB.
const KNOWN_EVERY: u64 = 1024 * 1024;

/// The segments of a log. Clones refer to the same log.
#[derive(Debug, Clone)]
pub struct View {
    id: LogId,
    segments: Arc<Mutex<Vec<Segment>>>,
}

/// A batch whose place is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) position: u64,
    pub(crate) time: u64,
    pub(crate) offset: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    /// The position after the last record.
    pub(crate) end: u64,
    /// The length in bytes, header included.
    pub(crate) len: u64,
    /// Some of its batches, in order. The first batch comes first, once it is known.
    known: Vec<Known>,
}

impl Segment {
    pub(crate) const fn new(base: u64, end: u64, len: u64) -> Self {
        Self {
            base,
            end,
            len,
            known: Vec::new(),
        }
    }

    /// The time of the first batch, if it is known.
    pub(crate) fn first_time(&self) -> Option<u64> {
        self.known.first().map(|known| known.time)
    }

    /// Notes the place of a batch, unless another one is near. Batches are noted in order.
    pub(crate) fn note(&mut self, known: Known) {
        let is_far = |last: &Known| known.offset >= last.offset + KNOWN_EVERY;
        if self.known.last().is_none_or(is_far) {
            self.known.push(known);
        }
    }

    /// Returns the offset of the last known batch whose position is not higher, or of the first batch.
    pub(crate) fn offset_before(&self, position: u64) -> u64 {
        let before = self
            .known
            .partition_point(|known| known.position <= position);
        let known = before.checked_sub(1).and_then(|at| self.known.get(at));
        known.map_or(SEGMENT_HEADER_LEN, |known| known.offset)
    }

    /// Forgets everything from an offset on.
    pub(crate) fn cut(&mut self, end: u64, len: u64) {
        (self.end, self.len) = (end, len);
        self.known.retain(|known| known.offset < len);
    }
}

impl View {
    pub(crate) fn new(id: LogId, segments: Vec<Segment>) -> Self {
        Self {
            id,
            segments: Arc::new(Mutex::new(segments)),
        }
    }

    pub(crate) fn segments(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of the log.
    pub const fn id(&self) -> LogId {
        self.id
    }

    /// The position of the oldest record that the log has.
    pub fn start(&self) -> u64 {
        self.segments().first().map_or(0, |segment| segment.base)
    }

    /// The position after the last record.
    pub fn end(&self) -> u64 {
        self.segments().last().map_or(0, |segment| segment.end)
    }

    /// The length of all segments in bytes.
    pub fn len(&self) -> u64 {
        self.segments().iter().map(|segment| segment.len).sum()
    }

    /// Returns true if the log has no records.
    pub fn is_empty(&self) -> bool {
        self.start() == self.end()
    }

    /// Returns the segment that contains a position, or begins or ends at it; `None` before the start.
    pub(crate) fn find(&self, position: u64) -> Option<Segment> {
        let segments = self.segments();
        let after = segments.partition_point(|segment| segment.base <= position);
        after
            .checked_sub(1)
            .and_then(|at| segments.get(at))
            .cloned()
    }

    /// Returns the base of the last segment whose first batch is known to be older than `time`, in milliseconds since
    /// 1970; the start of the log if there is none.
    pub(crate) fn segment_before(&self, time: u64) -> u64 {
        let segments = self.segments();
        let is_before = |segment: &&Segment| segment.first_time().is_some_and(|first| first < time);
        let last = segments.iter().rev().find(is_before).or(segments.first());
        last.map_or(0, |segment| segment.base)
    }
}
