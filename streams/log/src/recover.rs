//! Finds the segments of a log and repairs the end of the newest one after a crash.

use std::io;

use crate::{
    disk::{Disk, DiskFile, read_full},
    error::OpenError,
    layout::{
        Decoded, FORMAT_VERSION, SEGMENT_HEADER_LEN, SegmentHeader, segment_base, segment_name,
    },
    log::{LogId, Opened},
    reader::{Gap, GapReason},
    scan::{Batch, Scanner},
    segment::{Known, Segment},
};

/// The header of a segment's file.
enum Header {
    Valid(SegmentHeader),
    /// The file ends before any record.
    Missing,
    Damaged,
}

/// Returns the segments in order, and the id of the log if there is one. A newest segment whose header is missing was
/// just being created: its file is removed.
pub(crate) fn segments(
    disk: &dyn Disk,
) -> Result<(Vec<Segment>, Option<LogId>, Opened), OpenError> {
    let (bases, unknown) = bases(disk)?;
    let mut opened = Opened {
        unknown,
        ..Opened::default()
    };
    let mut id = None;
    let mut files = Vec::new();
    for base in bases {
        let name = segment_name(base);
        let file = disk.open(&name, false)?;
        let header = header(&*file, &name)?;
        if let Header::Valid(header) = header {
            if header.base != base || id.is_some_and(|id| id != header.log) {
                return Err(OpenError::OtherLog { file: name });
            }
            id = Some(header.log);
        }
        files.push((base, file, header));
    }
    while let Some((base, ..)) = files.pop_if(|(_, _, header)| matches!(header, Header::Missing)) {
        disk.remove(&segment_name(base))?;
        disk.sync()?;
    }
    let Some(log) = id else {
        return match files.first() {
            None => Ok((Vec::new(), None, opened)),
            Some((base, ..)) => Err(OpenError::NoHeader {
                file: segment_name(*base),
            }),
        };
    };
    let mut segments: Vec<Segment> = Vec::new();
    let newest = files.len().saturating_sub(1);
    for (index, (base, file, _)) in files.into_iter().enumerate() {
        let segment = if index == newest {
            newest_segment(SegmentHeader { log, base }, file, &mut opened)?
        } else {
            older_segment(SegmentHeader { log, base }, file)?
        };
        if let Some(before) = segments.last_mut() {
            before.end = base;
        }
        segments.push(segment);
    }
    Ok((segments, Some(log), opened))
}

/// Returns the bases of the segments of a folder, in order, and the names of other files.
fn bases(disk: &dyn Disk) -> io::Result<(Vec<u64>, Vec<String>)> {
    let (mut bases, mut unknown) = (Vec::new(), Vec::new());
    for name in disk.names()? {
        match segment_base(&name) {
            Some(base) => bases.push(base),
            None => unknown.push(name),
        }
    }
    bases.sort_unstable();
    Ok((bases, unknown))
}

fn header(file: &dyn DiskFile, name: &str) -> Result<Header, OpenError> {
    let mut bytes = vec![0; usize::try_from(SEGMENT_HEADER_LEN).unwrap_or(0)];
    read_full(file, &mut bytes, 0)?;
    match SegmentHeader::decode(&bytes) {
        Decoded::Header(header) => Ok(Header::Valid(header)),
        Decoded::OtherVersion(found) => Err(OpenError::OtherVersion {
            file: name.to_owned(),
            found,
            expected: FORMAT_VERSION,
        }),
        Decoded::Invalid if file.len()? <= SEGMENT_HEADER_LEN => Ok(Header::Missing),
        Decoded::Invalid => Ok(Header::Damaged),
    }
}

const fn known(batch: &Batch) -> Known {
    Known {
        position: batch.header.position,
        time: batch.header.time,
        offset: batch.offset,
    }
}

/// An older segment is read only up to its first batch, for its time. It ends where the next one begins.
fn older_segment(header: SegmentHeader, file: Box<dyn DiskFile>) -> Result<Segment, OpenError> {
    let len = file.len()?;
    let mut segment = Segment::new(header.base, header.base, len);
    let mut scanner = Scanner::new(file, header);
    while let Some(first) = scanner.next(len)? {
        if first.header.count > 0 {
            segment.note(known(&first));
            break;
        }
    }
    Ok(segment)
}

/// Reads the newest segment to its last valid batch, and cuts off the rest.
fn newest_segment(
    header: SegmentHeader,
    file: Box<dyn DiskFile>,
    opened: &mut Opened,
) -> Result<Segment, OpenError> {
    let len = file.len()?;
    let mut segment = Segment::new(header.base, header.base, SEGMENT_HEADER_LEN);
    let mut scanner = Scanner::new(file, header);
    let mut unsynced = Vec::new();
    while let Some(batch) = scanner.next(len)? {
        let found = batch.header;
        if found.position > segment.end {
            // Batches that were not durable can be missing in any order. They were not acknowledged, and nor was what
            // follows them.
            if found.synced <= segment.end {
                unsynced.push((segment.end, segment.len));
            }
            opened.damaged.push(Gap {
                from: segment.end,
                to: found.position,
                reason: GapReason::Damaged,
            });
        }
        // A later batch proves that earlier ones were durable: what is missing there is damage.
        unsynced.retain(|(end, _)| *end >= found.synced);
        segment.end = found.end();
        segment.len = batch.end_offset();
        if found.count > 0 {
            segment.note(known(&batch));
        }
    }
    if let Some((end, len)) = unsynced.first().copied() {
        segment.cut(end, len);
        opened.damaged.retain(|gap| gap.from < end);
    }
    let file = scanner.into_file();
    opened.cut_bytes = len - segment.len;
    if opened.cut_bytes > 0 {
        file.cut(segment.len)?;
        file.sync()?;
    }
    Ok(segment)
}
