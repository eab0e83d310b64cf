//! [`Reader`]: reads a log from a position on.

use std::{io, sync::Arc};

use mosaik_datum::Frames;

use crate::{
    disk::Disk,
    layout::{SegmentHeader, segment_name},
    scan::Scanner,
    segment::View,
};

/// Positions whose records a reader cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first position.
    pub from: u64,
    /// The position after the last one.
    pub to: u64,
    /// Why the records are missing.
    pub reason: GapReason,
}

/// The reason for a [`Gap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// Retention removed the records.
    Expired,
    /// The checksum of the batch does not match, or the file is too short.
    Damaged,
}

/// The result of a read.
#[derive(Debug, Clone)]
pub enum Step {
    /// Records in wire format.
    Records {
        /// The position of the first record.
        position: u64,
        /// The time at which they were appended, in milliseconds since 1970.
        time: u64,
        /// The records, at least one.
        frames: Frames,
    },
    /// Records are missing. The next read returns what follows.
    Gap(Gap),
    /// Every record before the limit was read.
    End,
}

/// Reads a log from a position on. Independent of its writer and of other readers.
#[derive(Debug)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    view: View,
    position: u64,
    scanner: Option<Scanner>,
}

impl Reader {
    /// Reads from a position on. One after the end is that of a record that is not appended yet.
    pub fn new(disk: Arc<dyn Disk>, view: View, position: u64) -> Self {
        Self {
            disk,
            view,
            position,
            scanner: None,
        }
    }

    /// The position of the next record.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Continues at another position.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
        self.scanner = None;
    }

    /// Continues at the first record that was appended at `time` or later, in milliseconds since 1970.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn seek_to_time(&mut self, time: u64, limit: u64) -> io::Result<()> {
        self.seek(self.view.segment_before(time));
        loop {
            let before = self.position;
            match self.next(limit)? {
                Step::Records { time: at, .. } if at >= time => {
                    self.seek(before);
                    return Ok(());
                }
                Step::Records { .. } | Step::Gap(_) => {}
                Step::End => return Ok(()),
            }
        }
    }

    /// Returns the next batch of records before `limit`, a position that is at most the end of the log.
    ///
    /// # Errors
    /// The log cannot be read. The same records are returned by the next read if it succeeds.
    pub fn next(&mut self, limit: u64) -> io::Result<Step> {
        while self.position < limit {
            let Some(segment) = self.view.find(self.position) else {
                return Ok(self.skip_to(self.view.start().min(limit), GapReason::Expired));
            };
            if segment.end <= self.position {
                // The next segment begins there, and was removed meanwhile.
                let start = self.view.start();
                if start > self.position {
                    return Ok(self.skip_to(start.min(limit), GapReason::Expired));
                }
                return Ok(Step::End);
            }
            if self
                .scanner
                .as_ref()
                .is_none_or(|scanner| scanner.base() != segment.base)
            {
                let file = match self.disk.open(&segment_name(segment.base), false) {
                    // Removed meanwhile, which the next look at the segments shows.
                    Err(error)
                        if error.kind() == io::ErrorKind::NotFound
                            && self.view.start() > self.position =>
                    {
                        continue;
                    }
                    opened => opened?,
                };
                let header = SegmentHeader {
                    log: self.view.id(),
                    base: segment.base,
                };
                let mut scanner = Scanner::new(file, header);
                scanner.seek(segment.offset_before(self.position));
                self.scanner = Some(scanner);
            }
            let Some(scanner) = &mut self.scanner else {
                return Ok(Step::End);
            };
            let Some(batch) = scanner.next(segment.len)? else {
                self.scanner = None;
                return Ok(self.skip_to(segment.end.min(limit), GapReason::Damaged));
            };
            if batch.header.end() <= self.position {
                continue;
            }
            if batch.header.position > self.position {
                scanner.seek(batch.offset);
                return Ok(self.skip_to(batch.header.position.min(limit), GapReason::Damaged));
            }
            let mut frames = batch.frames();
            let before = self.position - batch.header.position;
            frames.split_front(usize::try_from(before).unwrap_or(usize::MAX), usize::MAX);
            let most = usize::try_from(limit - self.position).unwrap_or(usize::MAX);
            if frames.count() > most {
                frames = frames.split_front(most, usize::MAX);
                scanner.seek(batch.offset);
            }
            let position = self.position;
            self.position += frames.count() as u64;
            let time = batch.header.time;
            return Ok(Step::Records {
                position,
                time,
                frames,
            });
        }
        Ok(Step::End)
    }

    fn skip_to(&mut self, position: u64, reason: GapReason) -> Step {
        let from = std::mem::replace(&mut self.position, position);
        Step::Gap(Gap {
            from,
            to: position,
            reason,
        })
    }
}
