//! [`Log`]: the writer.

use std::{fmt, io, ops::Range, sync::Arc, time::Duration};

use mosaik_datum::Frames;

use crate::{
    disk::{Disk, DiskFile},
    error::{InvalidLogId, LogError, OpenError},
    layout::{
        BATCH_HEADER_LEN, BatchHeader, Place, SEGMENT_HEADER_LEN, SegmentHeader, segment_name,
    },
    reader::{Gap, Reader},
    recover,
    scan::Scanner,
    segment::{Known, Segment, View},
};

/// The maximum number of bytes that are copied to write a batch with one call: 64 KiB.
const COPY_MAX: usize = 64 * 1024;

/// Identifies a log. A log that was removed and created again has another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::str::FromStr for LogId {
    type Err = InvalidLogId;

    /// Reads 32 hex digits.
    fn from_str(text: &str) -> Result<Self, InvalidLogId> {
        let number = u128::from_str_radix(text, 16).ok();
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = number.filter(|_| is_hex).ok_or(InvalidLogId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// How many records a log keeps. The bound that is reached first applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retain {
    /// The maximum length of the log in bytes, headers included. The newest segment is kept in any case.
    pub bytes: u64,
    /// The maximum age of a record.
    pub age: Duration,
}

impl Retain {
    /// A segment is a tenth of what is kept, and at most 64 MiB.
    const fn segment_bytes(&self) -> u64 {
        const SEGMENT_MAX: u64 = 64 * 1024 * 1024;
        let part = self.bytes / 10;
        if part < SEGMENT_MAX {
            part
        } else {
            SEGMENT_MAX
        }
    }

    const fn segment_age(&self) -> u64 {
        (self.age.as_millis() / 10) as u64
    }
}

/// What [`Log::open`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// The number of bytes of unfinished batches that were cut off.
    pub cut_bytes: u64,
    /// The damage in the newest segment. Other segments are checked when they are read.
    pub damaged: Vec<Gap>,
    /// The names of files that are not part of a log. They are left alone.
    pub unknown: Vec<String>,
}

/// The writer of a log. There must be only one at a time.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    view: View,
    retain: Retain,
    active: Box<dyn DiskFile>,
    segment: SegmentHeader,
    synced: u64,
    /// The position before which the log itself says that every record was durable.
    proven: u64,
    broken: Option<String>,
}

impl Log {
    /// Opens the log in a folder, and cuts off what a crash has left unfinished. If there is none, creates one with
    /// `new_id`, which should be random.
    ///
    /// # Errors
    /// The folder cannot be read or written, or contains segments of another version or of two logs. Nothing is changed
    /// then.
    pub fn open(
        disk: Arc<dyn Disk>,
        retain: Retain,
        new_id: LogId,
    ) -> Result<(Self, Opened), OpenError> {
        let (mut segments, id, opened) = recover::segments(&*disk)?;
        let id = id.unwrap_or(new_id);
        let base = segments.last().map(|segment| segment.base);
        let segment = SegmentHeader {
            log: id,
            base: base.unwrap_or(0),
        };
        let active = if base.is_some() {
            disk.open(&segment_name(segment.base), false)?
        } else {
            segments.push(Segment::new(0, 0, SEGMENT_HEADER_LEN));
            create(&*disk, segment)?
        };
        let view = View::new(id, segments);
        let mut log = Self {
            synced: 0,
            proven: 0,
            disk,
            view,
            retain,
            active,
            segment,
            broken: None,
        };
        // What the last process has written is made durable before anyone reads it.
        log.active.sync()?;
        log.synced = log.view.end();
        log.prove()
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok((log, opened))
    }

    /// Returns the segments, for readers.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Returns a reader that starts at a position.
    pub fn reader(&self, position: u64) -> Reader {
        Reader::new(Arc::clone(&self.disk), self.view.clone(), position)
    }

    /// The position before which every record is durable.
    pub const fn synced(&self) -> u64 {
        self.synced
    }

    /// Sets what is kept, from the next append on.
    pub const fn set_retain(&mut self, retain: Retain) {
        self.retain = retain;
    }

    fn check(&self) -> Result<(), LogError> {
        match &self.broken {
            None => Ok(()),
            Some(reason) => Err(LogError::Broken(reason.clone())),
        }
    }

    /// Appends records. They are durable after the next [`sync`](Self::sync). `time` is now, in milliseconds since
    /// 1970.
    ///
    /// # Errors
    /// Nothing was appended.
    pub fn append(&mut self, frames: &Frames, time: u64) -> Result<(), LogError> {
        self.check()?;
        let Ok(count) = u32::try_from(frames.count()) else {
            return Err(LogError::Io(io::ErrorKind::FileTooLarge.into()));
        };
        if count == 0 {
            return Ok(());
        }
        self.roll_if_due(frames.wire_len() as u64, time)?;
        let offset = self.write_batch(frames.as_wire(), count, time)?;
        let mut segments = self.view.segments();
        if let Some(last) = segments.last_mut() {
            let position = last.end;
            last.end += u64::from(count);
            last.note(Known {
                position,
                time,
                offset,
            });
        }
        Ok(())
    }

    /// Writes a batch behind the last one. Returns its offset.
    fn write_batch(&mut self, records: &[u8], count: u32, time: u64) -> Result<u64, LogError> {
        let (position, offset) = self.tail();
        let place = Place {
            segment: self.segment,
            offset,
        };
        let header = BatchHeader::of(records, &place, (count, position), (time, self.synced));
        if let Err(error) = self.write(&header.encode(), records, offset) {
            // The bytes that were written would only be cut off by the next start.
            if let Err(error) = self.active.cut(offset) {
                self.broken = Some(error.to_string());
            }
            return Err(error.into());
        }
        self.proven = self.synced;
        if let Some(last) = self.view.segments().last_mut() {
            last.len = offset + (BATCH_HEADER_LEN + records.len()) as u64;
        }
        Ok(offset)
    }

    /// Notes in the log that every record before [`synced`](Self::synced) is durable, unless it says so already. Damage
    /// there can then be told from a batch that was not finished.
    ///
    /// # Errors
    /// The note cannot be written. Nothing is lost.
    pub fn prove(&mut self) -> Result<(), LogError> {
        self.check()?;
        if self.synced > self.proven && self.synced == self.view.end() {
            self.write_batch(&[], 0, 0)?;
        }
        Ok(())
    }

    fn write(&self, header: &[u8], records: &[u8], offset: u64) -> io::Result<()> {
        if records.len() <= COPY_MAX {
            return self.active.write_at(&[header, records].concat(), offset);
        }
        self.active.write_at(header, offset)?;
        self.active.write_at(records, offset + header.len() as u64)
    }

    /// The end position and the length of the newest segment.
    fn tail(&self) -> (u64, u64) {
        let segments = self.view.segments();
        let last = segments.last();
        last.map_or((0, SEGMENT_HEADER_LEN), |last| (last.end, last.len))
    }

    /// Starts a new segment if this one is too long or too old for `more` bytes.
    fn roll_if_due(&mut self, more: u64, time: u64) -> Result<(), LogError> {
        let (end, len) = self.tail();
        let first_time = self.view.segments().last().and_then(Segment::first_time);
        let is_old =
            first_time.is_some_and(|first| time.saturating_sub(first) > self.retain.segment_age());
        let is_long = len + more > self.retain.segment_bytes();
        if end == self.segment.base || !(is_old || is_long) {
            return Ok(());
        }
        // Only the newest segment may contain records that are not durable.
        self.sync()?;
        let segment = SegmentHeader {
            base: end,
            ..self.segment
        };
        self.active = create(&*self.disk, segment)?;
        self.segment = segment;
        let mut segments = self.view.segments();
        segments.push(Segment::new(end, end, SEGMENT_HEADER_LEN));
        Ok(())
    }

    /// Makes all records durable. Returns the position after the last one.
    ///
    /// # Errors
    /// Some records may not be durable. The log accepts nothing more, because a second sync can succeed although they
    /// are lost.
    pub fn sync(&mut self) -> Result<u64, LogError> {
        self.check()?;
        let (end, _) = self.tail();
        if end > self.synced {
            if let Err(error) = self.active.sync() {
                self.broken = Some(error.to_string());
                return Err(LogError::Broken(error.to_string()));
            }
            self.synced = end;
        }
        Ok(end)
    }

    /// Removes every record from a position on. Does nothing if the log ends before it. If the log begins after the
    /// position, all records are removed and the log continues at the position.
    ///
    /// # Errors
    /// [`LogError::InsideBatch`] if records before and after the position were appended together; nothing is removed
    /// then. After another error, the log may have been cut in part. Readers must not read meanwhile.
    pub fn cut(&mut self, position: u64) -> Result<(), LogError> {
        self.check()?;
        if position >= self.view.end() {
            return Ok(());
        }
        let len = self.len_before(position)?;
        let cut = self.try_cut(position, len);
        if let Err(error) = &cut {
            self.broken = Some(error.to_string());
        }
        cut
    }

    /// Returns the offset of the first batch from a position on, in the segment that contains the position.
    fn len_before(&self, position: u64) -> Result<u64, LogError> {
        let Some(segment) = self.view.find(position) else {
            return Ok(SEGMENT_HEADER_LEN);
        };
        let header = SegmentHeader {
            base: segment.base,
            ..self.segment
        };
        let file = self.disk.open(&segment_name(segment.base), false)?;
        let mut scanner = Scanner::new(file, header);
        scanner.seek(segment.offset_before(position));
        while let Some(batch) = scanner.next(segment.len)? {
            if batch.header.position >= position {
                return Ok(batch.offset);
            }
            if batch.header.end() > position {
                return Err(LogError::InsideBatch);
            }
        }
        Ok(segment.len)
    }

    fn try_cut(&mut self, position: u64, len: u64) -> Result<(), LogError> {
        if self.view.start() > position {
            let segment = SegmentHeader {
                base: position,
                ..self.segment
            };
            create(&*self.disk, segment)?;
            let first = Segment::new(position, position, SEGMENT_HEADER_LEN);
            self.view.segments().insert(0, first);
        }
        // Newest first, so that no gap is left if this is interrupted.
        while let Some(base) = self.newest().filter(|base| *base > position) {
            self.disk.remove(&segment_name(base))?;
            self.disk.sync()?;
            self.view.segments().pop();
        }
        self.segment.base = self.newest().unwrap_or(position);
        self.active = self.disk.open(&segment_name(self.segment.base), false)?;
        self.active.cut(len)?;
        self.active.sync()?;
        if let Some(last) = self.view.segments().last_mut() {
            last.cut(position, len);
        }
        self.synced = position;
        self.proven = self.proven.min(position);
        Ok(())
    }

    /// The base of the newest segment.
    fn newest(&self) -> Option<u64> {
        self.view.segments().last().map(|segment| segment.base)
    }

    /// Removes the segments that exceed what is kept. Returns the removed positions.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn expire(&mut self, time: u64) -> Result<Range<u64>, LogError> {
        let start = self.view.start();
        let oldest =
            time.saturating_sub(u64::try_from(self.retain.age.as_millis()).unwrap_or(u64::MAX));
        loop {
            // A segment is as old as the first record of the next one.
            let second = self.view.segments().get(1).and_then(Segment::first_time);
            let is_old = second.is_some_and(|newest| newest < oldest);
            if !(is_old || self.view.len() > self.retain.bytes) || !self.remove_oldest()? {
                return Ok(start..self.view.start());
            }
        }
    }

    /// Removes the oldest segment. Returns false if it is the only one.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove_oldest(&mut self) -> Result<bool, LogError> {
        let base = {
            let segments = self.view.segments();
            match segments.as_slice() {
                [first, _, ..] => first.base,
                _ => return Ok(false),
            }
        };
        // Readers look at the segments first, so the file must exist for as long as the segment is listed.
        self.view.segments().remove(0);
        self.disk.remove(&segment_name(base))?;
        Ok(true)
    }
}

fn create(disk: &dyn Disk, segment: SegmentHeader) -> io::Result<Box<dyn DiskFile>> {
    let name = segment_name(segment.base);
    // A file without records that an earlier attempt has left.
    let file = match disk.open(&name, true) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&name, false)?,
        opened => opened?,
    };
    file.cut(0)?;
    file.write_at(&segment.encode(), 0)?;
    file.sync()?;
    disk.sync()?;
    Ok(file)
}
