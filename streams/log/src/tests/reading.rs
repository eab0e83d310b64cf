//! Reading, retention and cuts.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{ID, RETAIN, numbered, open, read, sim::SimDisk};
use crate::{Folder, Gap, GapReason, Log, LogError, Retain, Step};

#[test]
fn a_log_on_a_real_disk_is_read_from_any_position_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Folder::create(&folder.path().join("log")).unwrap());
    let retain = Retain {
        bytes: 20_000,
        age: Duration::from_hours(1),
    };
    let (mut log, opened) = Log::open(disk.clone(), retain, ID).unwrap();
    assert_eq!(opened, crate::Opened::default());
    for from in (0..500).step_by(5) {
        log.append(&numbered(from..from + 5, 0), 1000 + from)
            .unwrap();
    }
    log.sync().unwrap();
    drop(log);
    let (log, _) = Log::open(disk, retain, ID).unwrap();
    assert_eq!((log.view().start(), log.view().end()), (0, 500));
    for from in [0, 1, 4, 5, 250, 499, 500] {
        let (records, gaps) = read(&mut log.reader(from), 500);
        let numbers: Vec<_> = records.iter().map(|(position, _)| *position).collect();
        assert_eq!((numbers, gaps), ((from..500).collect(), vec![]), "{from}");
    }
    for (time, position) in [
        (0, 0),
        (1000, 0),
        (1001, 5),
        (1250, 250),
        (1252, 255),
        (9999, 500),
    ] {
        let mut reader = log.reader(0);
        reader.seek_to_time(time, 500).unwrap();
        assert_eq!(reader.position(), position, "{time}");
    }
}

#[test]
fn what_is_removed_under_a_reader_is_a_gap() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    for from in (0..400).step_by(4) {
        log.append(&numbered(from..from + 4, 0), from).unwrap();
    }
    let mut reader = log.reader(0);
    let (records, _) = read(&mut reader, 6);
    assert_eq!(records.len(), 6);
    let removed = log.expire(400).unwrap();
    assert!(
        removed.end > 100 && log.view().len() <= RETAIN.bytes,
        "{removed:?}"
    );
    let (records, gaps) = read(&mut reader, 400);
    // What the reader has open is still read.
    let from = gaps[0].from;
    assert!(from < removed.end);
    let gap = Gap {
        from,
        to: removed.end,
        reason: GapReason::Expired,
    };
    assert_eq!(gaps, [gap]);
    let expected = (6..from).chain(removed.end..400);
    assert!(records.iter().map(|(position, _)| *position).eq(expected));
    // By age, all but the newest segment.
    log.append(&numbered(400..404, 0), 100_000_000).unwrap();
    log.expire(100_000_000).unwrap();
    assert!(log.view().start() > 300);
}

#[test]
fn a_reader_sees_nothing_behind_its_limit() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&numbered(0..10, 0), 0).unwrap();
    let mut reader = log.reader(0);
    let (first, _) = read(&mut reader, 3);
    let (rest, _) = read(&mut reader, 10);
    assert_eq!((first.len(), rest.len()), (3, 7));
    assert!(matches!(reader.next(10).unwrap(), Step::End));
    log.append(&numbered(10..12, 0), 0).unwrap();
    assert_eq!(read(&mut reader, 12).0.len(), 2);
}

proptest! {
    /// Whatever is appended, cut and reopened, a reader gets what was appended last at each position.
    #[test]
    fn a_log_is_a_list(steps in prop::collection::vec((0u8..5, 0u64..40), 1..60)) {
        let disk = SimDisk::new();
        let (mut log, _) = open(&disk);
        let mut expected: Vec<(u64, u8)> = Vec::new();
        let mut life = 0;
        for (what, amount) in steps {
            let end = expected.len() as u64;
            match what {
                0..3 => {
                    log.append(&numbered(end..end + amount, life), 0).unwrap();
                    expected.extend((end..end + amount).map(|position| (position, life)));
                }
                3 => {
                    let to = end.saturating_sub(amount);
                    match log.cut(to) {
                        Err(LogError::InsideBatch) => {}
                        cut => {
                            cut.unwrap();
                            expected.truncate(to as usize);
                            life += 1;
                        }
                    }
                }
                _ => {
                    log.sync().unwrap();
                    drop(log);
                    log = open(&disk).0;
                }
            }
            prop_assert_eq!(log.view().end(), expected.len() as u64);
            let from = amount.min(expected.len() as u64);
            let (records, gaps) = read(&mut log.reader(from), expected.len() as u64);
            prop_assert_eq!(gaps, vec![]);
            let records: Vec<_> = records.into_iter().map(|(_, record)| record).collect();
            prop_assert_eq!(&records[..], &expected[from as usize..]);
        }
    }
}
