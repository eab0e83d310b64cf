//! A crash at every write.

use super::{
    ID, RETAIN, numbered, open, read,
    sim::{Random, SimDisk},
};
use crate::{Log, LogError};

/// What has to hold for a crash behind an operation of the disk.
#[derive(Debug, Clone)]
struct Moment {
    ops: usize,
    /// Records before this position are durable.
    synced: u64,
    /// Records before this position may be gone.
    start: u64,
    /// For each position the lives whose record may be there.
    allowed: Vec<Vec<u8>>,
}

/// Appends, syncs, expires and cuts at random. Returns the moments at which something was acknowledged.
fn run(seed: u64, disk: &std::sync::Arc<SimDisk>) -> Vec<Moment> {
    let mut random = Random(seed);
    let (mut log, _) = open(disk);
    let mut moments = Vec::new();
    let (mut life, mut synced, mut start) = (0, 0, 0);
    let mut allowed: Vec<Vec<u8>> = Vec::new();
    for time in 0..60 {
        match random.next(10) {
            0..5 => {
                let end = log.view().end();
                let to = end + 1 + random.next(8) as u64;
                for position in end..to {
                    match allowed.get_mut(position as usize) {
                        Some(lives) => lives.push(life),
                        None => allowed.push(vec![life]),
                    }
                }
                // From here on an interrupted append may have left these records.
                moments.push((disk.ops(), synced, start, allowed.clone()));
                log.append(&numbered(end..to, life), time).unwrap();
            }
            5..8 => synced = log.sync().unwrap(),
            8 => {
                let ops = disk.ops();
                log.expire(time).unwrap();
                start = log.view().start();
                // From here on an interrupted removal may have happened.
                moments.push((ops, synced, start, allowed.clone()));
            }
            _ => {
                let (from, end) = (log.view().start(), log.view().end());
                let to = from + random.next((end - from + 1) as usize) as u64;
                moments.push((disk.ops(), synced.min(to), start, allowed.clone()));
                match log.cut(to) {
                    Err(LogError::InsideBatch) => assert_eq!(log.view().end(), end),
                    cut => {
                        cut.unwrap();
                        synced = synced.min(to);
                        assert_eq!(log.view().end(), to);
                        allowed.truncate(to as usize);
                        life += 1;
                    }
                }
            }
        }
        moments.push((disk.ops(), synced, start, allowed.clone()));
    }
    let moment = |(ops, synced, start, allowed)| Moment {
        ops,
        synced,
        start,
        allowed,
    };
    moments.into_iter().map(moment).collect()
}

#[test]
fn after_a_crash_at_any_write_every_synced_record_is_there_and_none_is_wrong() {
    let mut count = 0;
    for seed in 1..=12 {
        let disk = SimDisk::new();
        let moments = run(seed, &disk);
        for ops in 0..=disk.ops() {
            // The last moment before the crash, and what was under way then.
            let at = moments.partition_point(|moment| moment.ops <= ops);
            let Some(moment) = at.checked_sub(1).map(|at| &moments[at]) else {
                continue;
            };
            // A cut or removal that comes next may have begun.
            let next = moments.get(at).unwrap_or(moment);
            let synced = moment.synced.min(next.synced);
            let start = moment.start.max(next.start);
            for variant in 0..4 {
                let mut random = Random(seed * 1000 + ops as u64 * 7 + variant + 1);
                let crashed = disk.crash(ops, &mut random);
                let (log, opened) = Log::open(crashed, RETAIN, ID).unwrap();
                let view = log.view();
                let context = format!("seed {seed}, crash at {ops}, variant {variant}");
                assert!(view.end() >= synced, "{context}: {} < {synced}", view.end());
                assert!(view.start() <= start.max(synced), "{context}");
                assert_eq!(opened.damaged, [], "{context}");
                let (records, gaps) = read(&mut log.reader(view.start()), view.end());
                assert_eq!(gaps, [], "{context}");
                assert_eq!(records.len() as u64, view.end() - view.start(), "{context}");
                for (position, (number, life)) in records {
                    assert_eq!(position, number, "{context}");
                    let lives = &moment.allowed[position as usize];
                    assert!(
                        lives.contains(&life),
                        "{context}: {position} of life {life}"
                    );
                }
                count += 1;
            }
        }
    }
    assert!(count > 4000, "{count}");
}

#[test]
fn a_full_disk_takes_nothing_back_and_goes_on_when_there_is_room() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&numbered(0..5, 0), 0).unwrap();
    disk.set_room(Some(220));
    assert!(matches!(
        log.append(&numbered(5..20, 0), 0),
        Err(LogError::Full)
    ));
    assert_eq!((log.view().end(), log.sync().unwrap()), (5, 5));
    disk.set_room(None);
    log.append(&numbered(5..20, 0), 0).unwrap();
    let (records, gaps) = read(&mut log.reader(0), 20);
    assert_eq!((records.len(), gaps), (20, vec![]));
}

#[test]
fn a_sync_that_fails_is_never_tried_again() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&numbered(0..5, 0), 0).unwrap();
    disk.fail_to_sync();
    for _ in 0..2 {
        assert!(matches!(log.sync(), Err(LogError::Broken(_))));
        assert!(log.append(&numbered(5..6, 0), 0).is_err());
    }
    assert_eq!(log.synced(), 0);
}
