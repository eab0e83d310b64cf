//! Followed files, through rotations while no process follows them.

use std::{path::PathBuf, thread::sleep};

use super::*;

/// Longer than the times of files are apart.
const TICK: Duration = Duration::from_millis(12);

/// Reads this number of records of a followed file, and what follows at once.
async fn follow(source: &mut dyn Source, records: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < records {
        match timeout(PATIENCE / 4, source.next()).await {
            Ok(batch) => found.extend(texts(&batch.unwrap().unwrap())),
            Err(_) => break,
        }
    }
    while let Ok(batch) = timeout(Duration::from_millis(30), source.next()).await {
        found.extend(texts(&batch.unwrap().unwrap()));
    }
    found
}

/// A log that is written and rotated. Its records are numbered.
struct Log {
    folder: TempDir,
    next: usize,
}

impl Log {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { folder, next: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> FileSource {
        FileSource {
            follow: true,
            ..FileSource::of(self.path("log"))
        }
    }

    fn append(&mut self, records: usize) {
        self.append_to("log", records);
    }

    fn append_to(&mut self, name: &str, records: usize) {
        sleep(TICK);
        let mut options = OpenOptions::new();
        let mut file = options
            .append(true)
            .create(true)
            .open(self.path(name))
            .unwrap();
        for _ in 0..records {
            let pad = "p".repeat(self.next % 400);
            writeln!(file, "record {} {pad}", self.next).unwrap();
            self.next += 1;
        }
    }

    /// Moves `log.1` to `log.2`, and so on.
    fn shift(&self) {
        sleep(TICK);
        for number in (1..20).rev() {
            let _ = fs::rename(
                self.path(&format!("log.{number}")),
                self.path(&format!("log.{}", number + 1)),
            );
        }
    }

    fn rotate(&self) {
        self.shift();
        let _ = fs::rename(self.path("log"), self.path("log.1"));
    }

    fn copy_and_truncate(&self) {
        self.shift();
        if self.path("log").exists() {
            // Not `fs::copy`, which may share the time.
            let content = fs::read(self.path("log")).unwrap();
            fs::write(self.path("log.1"), content).unwrap();
            sleep(TICK);
            fs::write(self.path("log"), "").unwrap();
        }
    }

    fn expected(&self) -> Vec<String> {
        let record = |number| format!("\"record {number} {}\"", "p".repeat(number % 400));
        (0..self.next).map(record).collect()
    }
}

/// A change of the log while no process follows it.
#[derive(Debug, Clone)]
enum Change {
    Append(usize),
    Rotate,
    CopyAndTruncate,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0usize..60).prop_map(Change::Append),
        2 => Just(Change::Rotate),
        2 => Just(Change::CopyAndTruncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_followed_file_is_found_again_through_rotations(
        downs in proptest::collection::vec(
            (0usize..60, any::<bool>(), 0usize..8, proptest::collection::vec(change(), 0..6)),
            1..5,
        ),
        batch in 200usize..20_000,
    ) {
        let mut log = Log::new();
        log.append(3);
        let (found, expected, missed) = runtime::Runtime::new().unwrap().block_on(async {
            let (mut found, mut at) = (Vec::new(), None);
            let mut missed = 0;
            for (appended, rotates, batches, changes) in downs {
                let mut source = open(&log.config(), batch, 1024).await;
                if let Some(at) = &at {
                    source.resume(at).await.unwrap();
                }
                if rotates {
                    log.rotate();
                }
                log.append(appended);
                for _ in 0..batches {
                    match timeout(Duration::from_millis(100), source.next()).await {
                        Ok(batch) => found.extend(texts(&batch.unwrap().unwrap())),
                        Err(_) => break,
                    }
                }
                at = Some(position(&*source));
                missed += source.counts().missed_files;
                drop(source);
                for change in changes {
                    match change {
                        Change::Append(records) => log.append(records),
                        Change::Rotate => log.rotate(),
                        Change::CopyAndTruncate => log.copy_and_truncate(),
                    }
                }
            }
            let mut source = open(&log.config(), batch, 1024).await;
            source.resume(&at.unwrap()).await.unwrap();
            let rest = log.next.saturating_sub(found.len());
            found.extend(follow(&mut *source, rest).await);
            (found, log.expected(), missed + source.counts().missed_files)
        });
        prop_assert_eq!(found, expected);
        prop_assert_eq!(missed, 0);
    }
}

#[tokio::test]
async fn a_copy_beside_the_file_is_not_read() {
    let mut log = Log::new();
    log.append(20);
    let mut source = open(&log.config(), 150, 1024).await;
    let mut found = read(&mut *source, 1).await;
    let at = position(&*source);
    drop(source);
    log.append(5);
    fs::copy(log.path("log"), log.path("log.bak")).unwrap();
    log.rotate();
    log.append(5);
    let mut source = open_at(&log.config(), &at).await.unwrap();
    let rest = log.next - found.len();
    found.extend(follow(&mut *source, rest).await);
    assert_eq!(found, log.expected());
}

#[tokio::test]
async fn a_cancelled_wait_and_a_partial_line_do_not_move_the_position() {
    let mut log = Log::new();
    log.append(4);
    fs::write(log.path("log"), "one\ntwo\nthr").unwrap();
    let mut source = open(&log.config(), 64, 1024).await;
    assert_eq!(follow(&mut *source, 2).await, ["\"one\"", "\"two\""]);
    let at = position(&*source);
    assert_eq!(
        (at["offset"].as_u64(), at["line"].as_u64()),
        (Some(8), Some(3))
    );
    drop(source);
    let mut file = OpenOptions::new()
        .append(true)
        .open(log.path("log"))
        .unwrap();
    file.write_all(b"ee\nfour\n").unwrap();
    let mut source = open_at(&log.config(), &at).await.unwrap();
    assert_eq!(follow(&mut *source, 2).await, ["\"three\"", "\"four\""]);
}

#[tokio::test]
async fn a_file_that_is_gone_is_counted_and_reading_goes_on_with_its_successors() {
    for is_compressed in [true, false] {
        let mut log = Log::new();
        log.append(20);
        let mut source = open(&log.config(), 150, 1024).await;
        let before = read(&mut *source, 1).await.len();
        let at = position(&*source);
        drop(source);
        log.append(5);
        let first = log.next;
        log.rotate();
        log.append(5);
        log.rotate();
        log.append(5);
        if is_compressed {
            let gone = fs::metadata(log.path("log.2")).unwrap().modified().unwrap();
            let compressed = fs::File::create(log.path("log.2.gz")).unwrap();
            compressed.set_modified(gone).unwrap();
        }
        fs::remove_file(log.path("log.2")).unwrap();
        let mut source = open_at(&log.config(), &at).await.unwrap();
        let found = follow(&mut *source, 10).await;
        assert_eq!(found, log.expected()[first..]);
        assert_eq!(source.counts().missed_files, 1);
        assert!(before < first);
    }
}

#[tokio::test]
async fn another_content_of_the_same_inode_is_another_file() {
    let mut log = Log::new();
    log.append(20);
    let mut source = open(&log.config(), 150, 1024).await;
    read(&mut *source, 1).await;
    let at = position(&*source);
    drop(source);
    sleep(TICK);
    fs::write(log.path("log"), "").unwrap();
    let first = log.next;
    log.append(40);
    let mut source = open_at(&log.config(), &at).await.unwrap();
    assert_eq!(follow(&mut *source, 40).await, log.expected()[first..]);
    assert_eq!(source.counts().missed_files, 1);
}

#[tokio::test]
async fn a_predecessor_that_grows_while_down_is_read_on_and_not_again() {
    let mut log = Log::new();
    log.append(20);
    let mut source = open(&log.config(), 64 * 1024, 1024).await;
    let mut found = follow(&mut *source, 20).await;
    log.rotate();
    log.append(3);
    found.extend(follow(&mut *source, 3).await);
    let at = position(&*source);
    drop(source);
    // The writer has kept the old file open.
    log.append_to("log.1", 2);
    log.rotate();
    log.append(2);
    let mut source = open_at(&log.config(), &at).await.unwrap();
    found.extend(follow(&mut *source, 4).await);
    let sorted = |mut records: Vec<String>| {
        records.sort();
        records
    };
    assert_eq!(sorted(found), sorted(log.expected()));
    assert_eq!(source.counts().missed_files, 0);
}

#[tokio::test]
async fn a_file_that_appears_after_the_position_is_read_from_its_start() {
    let mut log = Log::new();
    fs::write(log.path("log.9"), "older\n").unwrap();
    sleep(TICK);
    let mut source = open(&log.config(), 150, 1024).await;
    let nothing = timeout(Duration::from_millis(20), source.next()).await;
    assert!(nothing.is_err());
    let at = position(&*source);
    drop(source);
    log.append(5);
    log.rotate();
    log.append(5);
    let mut source = open_at(&log.config(), &at).await.unwrap();
    assert_eq!(follow(&mut *source, 10).await, log.expected());
}

#[tokio::test]
async fn files_that_wait_at_the_position_are_not_lost() {
    let mut log = Log::new();
    log.append(20);
    let source = open(&log.config(), 150, 1024).await;
    let at = position(&*source);
    drop(source);
    // The copy is older than the last change of the file that was truncated.
    log.copy_and_truncate();
    log.rotate();
    log.append(5);
    let source = open_at(&log.config(), &at).await.unwrap();
    let at = position(&*source);
    drop(source);
    log.rotate();
    log.append(5);
    let mut source = open_at(&log.config(), &at).await.unwrap();
    assert_eq!(follow(&mut *source, 30).await, log.expected());
    assert_eq!(source.counts().missed_files, 0);
}
