//! The ledger after a loss of power at every write of a run, and with a damaged file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    simulated_disk::{Disk, Loss},
    *,
};
use crate::checkpoint::random::Random;

/// The number of commits in a run of one process.
const COMMITS: u64 = 5;

fn images(number: u64) -> BTreeMap<StageId, StageImage> {
    // Some states change with each checkpoint, some do not, and their sizes vary.
    let instance = |index: u64| InstanceImage {
        version: 1,
        kept: index,
        entries: (0..3 + number * index % 40)
            .map(|entry| {
                let value = format!("{index} {entry} {}", number * index);
                (Some(entry.to_be_bytes().to_vec()), value.repeat(40).into())
            })
            .collect(),
    };
    let source = StageImage::Source {
        position: Some(serde_json::json!({ "offset": number })),
        sent: number,
        ended: false,
    };
    let operator = StageImage::Operator {
        read: Vec::new(),
        ended_ports: Vec::new(),
        key: None,
        component: "ab".to_owned(),
        // Their number changes.
        instances: (0..=number % 3).map(instance).collect(),
        ended: false,
    };
    BTreeMap::from([
        (StageId::new("producer in"), source),
        (StageId::new("operator count"), operator),
    ])
}

fn folder() -> PathBuf {
    PathBuf::from("simulated")
}

fn open(disk: &Disk) -> Result<(Ledger, Option<Image>), LedgerError> {
    let database = file::builder().create_with_backend(disk.clone());
    Ledger::of(
        &folder(),
        database.map_err(|error| file::unopened(&folder(), error))?,
    )
}

/// Returns a file as a first process finds it.
fn new_file() -> Vec<u8> {
    let disk = Disk::default();
    drop(file::builder().create_with_backend(disk.clone()).unwrap());
    disk.content()
}

/// A step of a run: the changes of the disk before and after it, and the last checkpoint and generation after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Step {
    begins: usize,
    ends: usize,
    number: u64,
    generation: u64,
}

/// Runs two processes that commit, and records their steps. The first is not closed.
fn run(disk: &Disk) -> Vec<Step> {
    let mut steps = vec![Step::default()];
    for process in 0..2 {
        let begins = disk.ops();
        let (mut ledger, last) = open(disk).unwrap();
        let number = last.map_or(0, |last| last.number);
        let generation = ledger.generation();
        let mut step = |begins, number| {
            steps.push(Step {
                begins,
                ends: disk.ops(),
                number,
                generation,
            });
        };
        step(begins, number);
        for number in number + 1..=number + COMMITS {
            let begins = disk.ops();
            ledger.commit(number, &images(number)).unwrap();
            step(begins, number);
        }
        if process == 0 {
            // It is killed.
            std::mem::forget(ledger);
        }
    }
    steps
}

/// Returns the steps of which one is the last in a file after a crash at this change.
fn possible(steps: &[Step], at: usize) -> Vec<Step> {
    let begun = steps.iter().filter(|step| step.begins <= at);
    let durable = steps.iter().rposition(|step| step.ends <= at).unwrap();
    begun.skip(durable).copied().collect()
}

/// Checks that a file holds one of these steps, and that the next process can use it.
#[track_caller]
fn holds(file: Vec<u8>, possible: &[Step], context: &str) {
    let disk = Disk::with(file);
    let (mut ledger, last) = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let number = last.as_ref().map_or(0, |last| last.number);
    let found = (number, ledger.generation() - 1);
    let is_it = |step: &Step| (step.number, step.generation) == found;
    assert!(
        possible.iter().any(is_it),
        "{context}: {found:?} is none of {possible:?}"
    );
    if let Some(last) = last {
        assert_eq!(last.stages, images(number), "{context}");
    }
    let generation = ledger.generation();
    ledger.commit(number + 1, &images(number + 1)).unwrap();
    drop(ledger);
    let (ledger, last) = open(&disk).unwrap();
    assert_eq!(last.unwrap().stages, images(number + 1), "{context}");
    assert_eq!(ledger.generation(), generation + 1, "{context}");
}

#[test]
fn a_crash_at_any_write_leaves_the_last_checkpoint_or_the_one_under_way() {
    let disk = Disk::with(new_file());
    let steps = run(&disk);
    for at in 0..=disk.ops() {
        let possible = possible(&steps, at);
        let mut losses = vec![Loss::All, Loss::Nothing];
        losses.extend((0..4).map(Loss::Some));
        losses.extend((0..3).map(Loss::Torn));
        for loss in losses {
            let context = format!("crash before change {at}, {loss:?}");
            holds(disk.after_crash(at, loss), &possible, &context);
        }
    }
}

/// Returns the content of a file after a run: closed, and as it is after a kill.
fn used_files() -> [Vec<u8>; 2] {
    [false, true].map(|is_killed| {
        let disk = Disk::with(new_file());
        let (mut ledger, _) = open(&disk).unwrap();
        for number in 1..=COMMITS {
            ledger.commit(number, &images(number)).unwrap();
        }
        if is_killed {
            std::mem::forget(ledger);
        } else {
            drop(ledger);
        }
        disk.content()
    })
}

/// Checks that a damaged file is refused with what to do, or was not damaged where it is used.
#[track_caller]
fn is_told(file: Vec<u8>, context: &str) -> bool {
    let opening = catch_unwind(AssertUnwindSafe(|| open(&Disk::with(file))));
    match opening.unwrap_or_else(|_| panic!("{context}: it panics")) {
        Ok((ledger, last)) => {
            assert_eq!(ledger.generation(), 2, "{context}");
            let last = last.unwrap_or_else(|| panic!("{context}: the checkpoint is gone"));
            assert_eq!(
                (last.number, last.stages),
                (COMMITS, images(COMMITS)),
                "{context}"
            );
            false
        }
        Err(error) => {
            assert!(
                error.to_string().contains("`up --fresh`"),
                "{context}: {error}"
            );
            true
        }
    }
}

#[test]
fn damage_is_told_and_never_hidden() {
    for (file, is_killed) in used_files().into_iter().zip([false, true]) {
        let (mut random, mut told) = (Random::seeded(1), 0);
        // The header, and the pages in use.
        let len = file.len() as u64;
        let used = file.iter().rposition(|byte| *byte != 0).unwrap() as u64;
        for number in 0..1500 {
            let at = match number % 3 {
                0 => random.below(640),
                _ => random.below(used),
            } as usize;
            let bit = random.below(8);
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let context = format!("bit {bit} of byte {at}, killed: {is_killed}");
            told += u32::from(is_told(damaged, &context));
        }
        for _ in 0..100 {
            let at = random.below(used) as usize / 512 * 512;
            let mut damaged = file.clone();
            damaged[at..at + 512].fill(0);
            told += u32::from(is_told(
                damaged,
                &format!("sector at {at} is empty, killed: {is_killed}"),
            ));
            let end = random.below(len) as usize;
            let cut = file[..end].to_vec();
            if end > 0 {
                assert!(
                    is_told(cut, &format!("cut at {end}, killed: {is_killed}")),
                    "{end}"
                );
            }
        }
        assert!(told > 200, "{told}");
    }
}

#[test]
fn a_full_disk_or_a_failing_sync_keeps_the_last_checkpoint() {
    for room in [0, 4096, 100_000] {
        let disk = Disk::with(new_file());
        let (mut ledger, _) = open(&disk).unwrap();
        ledger.commit(1, &images(1)).unwrap();
        disk.fill(room);
        let large = |number| {
            let mut images = images(number);
            let value = vec![7; 4 << 20];
            let instances = vec![InstanceImage {
                version: 1,
                kept: 1,
                entries: vec![(None, value)],
            }];
            let StageImage::Operator { instances: old, .. } =
                images.get_mut(&StageId::new("operator count")).unwrap()
            else {
                panic!("it is an operator");
            };
            *old = instances;
            images
        };
        let failed = ledger.commit(2, &large(2));
        assert!(matches!(failed, Err(LedgerError::Io { .. })), "{failed:?}");
        drop(ledger);
        disk.clean_up();
        let (mut ledger, last) = open(&disk).unwrap();
        assert_eq!(last.unwrap().stages, images(1));
        ledger.commit(2, &large(2)).unwrap();
    }
    for after in 0..2 {
        let disk = Disk::with(new_file());
        let (mut ledger, _) = open(&disk).unwrap();
        ledger.commit(1, &images(1)).unwrap();
        disk.fail_sync(after);
        let failed = ledger.commit(2, &images(2));
        assert!(matches!(failed, Err(LedgerError::Io { .. })), "{failed:?}");
        drop(ledger);
        let (_, last) = open(&disk).unwrap();
        let last = last.unwrap();
        assert!([1, 2].contains(&last.number));
        assert_eq!(last.stages, images(last.number));
    }
}

#[test]
fn an_empty_or_short_file_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let (mut ledger, _) = Ledger::open(folder.path()).unwrap();
    ledger.commit(1, &images(1)).unwrap();
    drop(ledger);
    for len in [0, 1, 100, 4096, 10_000] {
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(len)
            .unwrap();
        for opened in [
            Ledger::open(folder.path()).map(drop),
            Ledger::read(folder.path()).map(drop),
        ] {
            assert!(
                matches!(opened, Err(LedgerError::Damaged { .. })),
                "{len}: {opened:?}"
            );
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), len);
    }
    // A file that a crash has left unfinished is not in the way.
    let renamed = Ledger::set_aside(folder.path()).unwrap();
    std::fs::rename(renamed, path.with_extension("redb.new")).unwrap();
    let (ledger, last) = Ledger::open(folder.path()).unwrap();
    assert_eq!((ledger.generation(), last), (1, None));
    let names = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(names.count(), 1);
}
