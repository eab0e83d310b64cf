//! [`Scanner`]: finds the valid batches of a segment.

use std::io;

use bytes::{Bytes, BytesMut};
use mosaik_datum::Frames;

use crate::{
    disk::{DiskFile, read_full},
    layout::{BATCH_HEADER_LEN, BatchHeader, Place, SEGMENT_HEADER_LEN, SegmentHeader},
};

/// The number of bytes that are read at once, unless a batch is longer: 256 KiB.
const CHUNK: u64 = 256 * 1024;

/// A valid batch of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) header: BatchHeader,
    pub(crate) offset: u64,
    /// The records, in wire format.
    pub(crate) records: Bytes,
}

impl Batch {
    pub(crate) fn frames(&self) -> Frames {
        // The checksum covers both.
        Frames::from_scanned(self.records.clone(), self.header.count as usize)
    }

    /// The offset of the next batch.
    pub(crate) fn end_offset(&self) -> u64 {
        self.offset + BATCH_HEADER_LEN as u64 + self.records.len() as u64
    }
}

/// Reads a segment from an offset on. The buffer grows with the longest batch of the segment.
#[derive(Debug)]
pub(crate) struct Scanner {
    file: Box<dyn DiskFile>,
    segment: SegmentHeader,
    offset: u64,
    buffer: Bytes,
    buffer_at: u64,
}

impl Scanner {
    /// Reads the segment from its first batch on.
    pub(crate) const fn new(file: Box<dyn DiskFile>, segment: SegmentHeader) -> Self {
        Self {
            file,
            segment,
            offset: SEGMENT_HEADER_LEN,
            buffer: Bytes::new(),
            buffer_at: 0,
        }
    }

    /// The base of the segment.
    pub(crate) const fn base(&self) -> u64 {
        self.segment.base
    }

    /// Sets the offset of the next batch.
    pub(crate) const fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Returns the file.
    pub(crate) fn into_file(self) -> Box<dyn DiskFile> {
        self.file
    }

    /// Returns the next valid batch that ends at most at the offset `limit`; `None` if there is none. Damaged bytes
    /// before it are skipped.
    pub(crate) fn next(&mut self, limit: u64) -> io::Result<Option<Batch>> {
        let mut at = self.offset;
        while at + BATCH_HEADER_LEN as u64 <= limit {
            if let Some(batch) = self.batch_at(at, limit)? {
                self.offset = batch.end_offset();
                return Ok(Some(batch));
            }
            at += 1;
        }
        Ok(None)
    }

    fn batch_at(&mut self, offset: u64, limit: u64) -> io::Result<Option<Batch>> {
        let Some(header) = self.bytes(offset, BATCH_HEADER_LEN as u64, limit)? else {
            return Ok(None);
        };
        let Ok(header) = header[..].try_into() else {
            return Ok(None);
        };
        let header = BatchHeader::decode(header);
        let room = limit - offset - BATCH_HEADER_LEN as u64;
        if !header.is_plausible(self.segment.base, room) {
            return Ok(None);
        }
        let at = offset + BATCH_HEADER_LEN as u64;
        let Some(records) = self.bytes(at, u64::from(header.len), limit)? else {
            return Ok(None);
        };
        let place = Place {
            segment: self.segment,
            offset,
        };
        Ok(header.matches(&records, &place).then_some(Batch {
            header,
            offset,
            records,
        }))
    }

    /// Returns these bytes of the file; `None` if they do not lie before `limit` or the file is shorter.
    fn bytes(&mut self, at: u64, len: u64, limit: u64) -> io::Result<Option<Bytes>> {
        if at + len > limit {
            return Ok(None);
        }
        let is_buffered =
            at >= self.buffer_at && at + len <= self.buffer_at + self.buffer.len() as u64;
        if !is_buffered {
            self.fill(at, len.max(CHUNK).min(limit - at))?;
            if (self.buffer.len() as u64) < len {
                return Ok(None);
            }
        }
        let from = usize::try_from(at - self.buffer_at).unwrap_or(usize::MAX);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Ok(Some(self.buffer.slice(from..from + len)))
    }

    fn fill(&mut self, at: u64, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut buffer = BytesMut::zeroed(len);
        let filled = read_full(&*self.file, &mut buffer, at)?;
        buffer.truncate(filled);
        (self.buffer, self.buffer_at) = (buffer.freeze(), at);
        Ok(())
    }
}
