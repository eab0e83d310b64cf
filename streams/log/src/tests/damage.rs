//! Changed bytes, missing bytes, and foreign files.

use std::sync::Arc;

use super::{
    ID, RETAIN, numbered, open, read,
    sim::{Random, SimDisk},
};
use crate::{Log, LogId, OpenError};

/// A log of 120 records in several segments, all of them synced.
fn filled() -> Arc<SimDisk> {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    for from in (0..120).step_by(4) {
        log.append(&numbered(from..from + 4, 0), from).unwrap();
        log.sync().unwrap();
    }
    disk
}

/// Reads a damaged log. No record may differ, and each is read or in a gap. Returns the end, and the number of missing
/// records.
fn readable(disk: &Arc<SimDisk>) -> (u64, u64) {
    let (log, _) = Log::open(disk.clone(), RETAIN, ID).unwrap();
    let end = log.view().end();
    let (records, gaps) = read(&mut log.reader(0), end);
    assert!(
        records
            .iter()
            .all(|(position, found)| *found == (*position, 0))
    );
    let missing: u64 = gaps.iter().map(|gap| gap.to - gap.from).sum();
    assert_eq!(records.len() as u64 + missing, end);
    (end, missing)
}

#[test]
fn a_changed_byte_anywhere_costs_its_batch_and_never_changes_a_record() {
    let mut random = Random(1);
    for _ in 0..3000 {
        let disk = filled();
        let names = disk.names();
        let name = &names[random.next(names.len())];
        disk.edit(name, |bytes| {
            let at = random.next(bytes.len());
            bytes[at] ^= 1 << random.next(8);
        });
        let (end, missing) = readable(&disk);
        // The last batch of the log cannot be told from one that was not finished.
        assert!(missing <= 4 && end >= 116, "{missing} {end}");
    }
}

#[test]
fn a_file_that_is_cut_costs_what_it_contained() {
    let mut random = Random(2);
    for _ in 0..300 {
        let disk = filled();
        let names = disk.names();
        let (name, newest) = (&names[random.next(names.len())], names.last().unwrap());
        disk.edit(name, |bytes| bytes.truncate(random.next(bytes.len())));
        let (end, _) = readable(&disk);
        assert!(name == newest || end == 120);
    }
}

#[test]
fn what_is_not_a_segment_of_this_log_is_left_alone_or_refused() {
    let disk = filled();
    disk.add("notes.txt", b"hello");
    let (_, opened) = open(&disk);
    assert_eq!(opened.unknown, ["notes.txt"]);

    let other = SimDisk::new();
    let (mut log, _) = Log::open(other.clone(), RETAIN, LogId([8; 16])).unwrap();
    log.append(&numbered(0..4, 0), 0).unwrap();
    let mut foreign = Vec::new();
    other.edit("00000000000000000000.log", |bytes| {
        foreign.clone_from(bytes);
    });
    disk.add("00000000000000009999.log", &foreign);
    assert!(matches!(
        Log::open(disk.clone(), RETAIN, ID),
        Err(OpenError::OtherLog { .. })
    ));

    // A version that only a later program reads.
    let disk = filled();
    disk.edit("00000000000000000000.log", |bytes| {
        bytes[9] = 2;
        let crc = crc32fast::hash(&bytes[..36]);
        bytes[36..40].copy_from_slice(&crc.to_be_bytes());
    });
    let error = Log::open(disk.clone(), RETAIN, ID).unwrap_err();
    assert_eq!(
        error.to_string(),
        "00000000000000000000.log: format 2, this version reads format 1"
    );
}

#[test]
fn a_record_that_contains_a_batch_is_not_taken_for_one() {
    let disk = filled();
    let mut stolen = Vec::new();
    disk.edit("00000000000000000000.log", |bytes| stolen.clone_from(bytes));
    let (mut log, _) = open(&disk);
    let end = log.view().end();
    log.append(&[&stolen[..]].into_iter().collect(), 0).unwrap();
    log.append(&numbered(end + 1..end + 3, 0), 0).unwrap();
    log.sync().unwrap();
    log.append(&numbered(end + 3..end + 4, 0), 0).unwrap();
    // Damage the header of the batch with the record, so that the search goes through the record.
    let mut damaged = 0;
    for name in disk.names() {
        disk.edit(&name, |bytes| {
            let at = bytes[1..]
                .windows(stolen.len())
                .position(|window| window == stolen);
            if let Some(at) = at {
                bytes[at - 10] ^= 1;
                damaged += 1;
            }
        });
    }
    assert_eq!(damaged, 1);
    let (log, _) = open(&disk);
    let (records, gaps) = read(&mut log.reader(end), log.view().end());
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].from, gaps[0].to), (end, end + 1));
    assert_eq!(records.len(), 3);
}
