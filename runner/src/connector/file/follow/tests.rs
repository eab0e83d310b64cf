//! Follows a log file through rotations, truncations and deletions, with notifications only and with polling only.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    time::Duration,
};

use mosaik_streams::{Encoding, Frames};
use tempfile::TempDir;
use tokio::time::timeout;

use super::Follower;
use crate::connector::Source as _;
use crate::{connector::FileSource, connector::SourceContext};

mod rotations;

const PATIENCE: Duration = Duration::from_secs(20);

fn texts(batch: &Frames) -> Vec<String> {
    batch
        .iter()
        .map(|datum| String::from_utf8(datum.to_vec()).unwrap())
        .collect()
}

async fn follower(path: PathBuf) -> Follower {
    let config = FileSource {
        follow: true,
        ..FileSource::of(path)
    };
    Follower::open(&config, &SourceContext::new(Encoding::Text))
        .await
        .unwrap()
}

/// A log file, its follower, and the records read so far.
struct Followed {
    folder: TempDir,
    follower: Follower,
}

impl Followed {
    /// Follows a file of this name, either with notifications only or with polling only.
    async fn new(name: &str, watching: bool, content: Option<&str>) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let follower = follower(path).await;
        if watching {
            follower.rotated.look_every(Duration::from_hours(1));
        } else {
            follower.rotated.stop_watching();
            follower.rotated.look_every(Duration::from_millis(5));
        }
        Self { folder, follower }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) -> impl Future<Output = ()> {
        let here = std::panic::Location::caller();
        async move {
            let mut found = Vec::new();
            while found.len() < expected.len() {
                let next = timeout(PATIENCE, self.follower.batch()).await;
                let Ok(batch) = next else {
                    panic!("{here}: {found:?} in time, not {expected:?}")
                };
                found.extend(texts(&batch.unwrap()));
            }
            assert_eq!(found, expected, "{here}");
        }
    }

    /// Waits until the follower has read all available data.
    async fn settle(&mut self) {
        let looks = self.follower.rotated.looks();
        while self.follower.rotated.looks() == looks {
            let nothing = timeout(Duration::from_millis(20), self.follower.batch()).await;
            assert!(nothing.is_err(), "{nothing:?}");
            // With notifications, a file is checked again only when it changes.
            if looks > 0 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_follower_waits_for_the_file_and_for_the_end_of_its_lines() {
    for watching in [true, false] {
        let mut log = Followed::new("log", watching, None).await;
        log.settle().await;
        log.append("other", "not ours\n");
        log.append("log", "a\nb");
        log.expect(&["a"]).await;
        log.append("log", "c");
        log.settle().await;
        log.append("log", "d\ne\n");
        log.expect(&["bcd", "e"]).await;
        assert_eq!(log.follower.counts().datums, 3);
    }
}

#[tokio::test]
async fn a_renamed_log_is_finished_before_its_successor_is_begun() {
    for watching in [true, false] {
        let mut log = Followed::new("log", watching, Some("1\n2")).await;
        log.expect(&["1"]).await;
        fs::rename(log.path("log"), log.path("log.1")).unwrap();
        log.settle().await;
        log.append("log", "");
        log.settle().await;
        // The writer has not switched to the new file yet.
        log.append("log.1", "3\n4");
        log.append("log", "5\n");
        log.expect(&["23", "4", "5"]).await;
        log.append("log.1", "too late\n");
        log.append("log", "6\n");
        log.expect(&["6"]).await;
    }
}

#[tokio::test]
async fn a_replaced_empty_successor_does_not_block() {
    for watching in [true, false] {
        let mut log = Followed::new("log", watching, Some("1\n")).await;
        log.expect(&["1"]).await;
        for old in ["log.1", "log.2"] {
            fs::rename(log.path("log"), log.path(old)).unwrap();
            log.append("log", "");
            log.settle().await;
        }
        log.append("log", "2\n");
        log.expect(&["2"]).await;
    }
}

#[tokio::test]
async fn a_log_cut_short_in_place_is_read_from_its_start() {
    for watching in [true, false] {
        let mut log = Followed::new("log", watching, Some("first\nsecond\nthi")).await;
        log.expect(&["first", "second"]).await;
        fs::copy(log.path("log"), log.path("log.1")).unwrap();
        OpenOptions::new()
            .write(true)
            .open(log.path("log"))
            .unwrap()
            .set_len(0)
            .unwrap();
        log.expect(&["thi"]).await;
        log.append("log", "new\n");
        log.expect(&["new"]).await;
    }
}

#[tokio::test]
async fn a_log_that_is_deleted_and_recreated_is_read() {
    for watching in [true, false] {
        let mut log = Followed::new("log", watching, Some("a\n")).await;
        for round in ["b\n", "c\n", "d\n"] {
            log.expect(&["a"]).await;
            fs::remove_file(log.path("log")).unwrap();
            log.settle().await;
            log.append("log", round);
            log.expect(&[round.trim_end()]).await;
            log.append("log", "a\n");
        }
    }
}

#[tokio::test]
async fn every_followed_table_has_its_own_header() {
    let mut log = Followed::new("log.csv", true, Some("a,b\n1,2\n3")).await;
    log.expect(&[r#"{"a":1,"b":2}"#]).await;
    log.append("log.csv", ",4\n");
    log.expect(&[r#"{"a":3,"b":4}"#]).await;
    fs::rename(log.path("log.csv"), log.path("old.csv")).unwrap();
    log.append("log.csv", "c\n5\n");
    log.expect(&[r#"{"c":5}"#]).await;
}

#[tokio::test]
async fn a_recreated_folder_is_watched_again() {
    let mut log = Followed::new("folder", true, None).await;
    let path = log.path("folder/log");
    log.follower = follower(path.clone()).await;
    log.follower.rotated.look_every(Duration::from_millis(5));
    for round in ["a\n", "b\n"] {
        fs::create_dir(log.path("folder")).unwrap();
        log.append("folder/log", round);
        log.expect(&[round.trim_end()]).await;
        fs::remove_dir_all(log.path("folder")).unwrap();
    }
    fs::create_dir(log.path("folder")).unwrap();
    log.append("folder/log", "c\n");
    log.expect(&["c"]).await;
    log.follower.rotated.look_every(Duration::from_hours(1));
    log.settle().await;
    let next = log.follower.batch();
    tokio::pin!(next);
    assert!(timeout(Duration::from_millis(20), &mut next).await.is_err());
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"d\n").unwrap();
    assert_eq!(
        texts(
            &timeout(PATIENCE, next)
                .await
                .expect("a notification")
                .unwrap()
        ),
        ["d"]
    );
}

#[tokio::test]
async fn changes_to_other_files_cause_no_check() {
    let mut log = Followed::new("log", true, Some("a\n")).await;
    log.expect(&["a"]).await;
    let before = log.follower.rotated.looks();
    let (path, other) = (log.path("log"), log.path("other"));
    let busy = async {
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        for _ in 0..100 {
            tick.tick().await;
            fs::write(&other, "x").unwrap();
            fs::read(&path).unwrap();
        }
    };
    tokio::select! {
        batch = log.follower.batch() => panic!("{batch:?}"),
        () = busy => {}
    }
    let looks = log.follower.rotated.looks() - before;
    assert!(looks <= 3, "{looks} looks");
}

#[tokio::test]
async fn a_file_without_notifications_is_polled() {
    let mut log = Followed::new("log", false, Some("a\n")).await;
    log.expect(&["a"]).await;
    log.follower.rotated.look_every(Duration::from_millis(100));
    let before = log.follower.rotated.looks();
    assert!(
        timeout(Duration::from_millis(350), log.follower.batch())
            .await
            .is_err()
    );
    let looks = log.follower.rotated.looks() - before;
    assert!((2..=5).contains(&looks), "{looks} looks");
}

/// The pattern of most loggers: the file is renamed and re-created empty, filled later, then renamed and re-created
/// again.
#[tokio::test]
async fn every_file_that_takes_the_name_is_read_however_late() {
    for watching in [true, false] {
        let mut log = Followed::new("log", watching, Some("first\n")).await;
        log.expect(&["first"]).await;
        // Nothing reads records in the meantime, as when a sink is blocked.
        let mut expected = Vec::new();
        for round in 0..10 {
            log.append("log", &format!("{round}\n{round}\n"));
            expected.extend([round.to_string(), round.to_string()]);
            fs::rename(log.path("log"), log.path(&format!("log.{round}"))).unwrap();
            log.append("log", "");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        log.append("log", "last\n");
        expected.push("last".to_owned());
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        log.expect(&expected).await;
    }
}

#[tokio::test]
async fn a_file_rewritten_with_the_same_length_is_read_again() {
    for watching in [true, false] {
        let mut log = Followed::new("temperature", watching, Some("21.5\n")).await;
        log.expect(&["21.5"]).await;
        for value in ["22.5", "23.5"] {
            log.settle().await;
            fs::write(log.path("temperature"), format!("{value}\n")).unwrap();
            log.expect(&[value]).await;
        }
        // Touched but not changed.
        log.settle().await;
        let file = OpenOptions::new()
            .append(true)
            .open(log.path("temperature"));
        file.unwrap()
            .set_modified(std::time::SystemTime::now())
            .unwrap();
        log.append("temperature", "24.5\n");
        log.expect(&["24.5"]).await;
        // Rewritten with more content than was read, before the next check.
        fs::write(log.path("temperature"), "1.5\n2.5\n3.5\n4.5\n5.5\n").unwrap();
        log.expect(&["1.5", "2.5", "3.5", "4.5", "5.5"]).await;
    }
}

/// A writer that continues at its old offset leaves a hole of zero bytes where the file was truncated.
#[tokio::test]
async fn leading_zeros_of_rewritten_content_are_skipped() {
    use std::os::unix::fs::FileExt as _;
    for zeros in [10, 1 << 20] {
        let mut log = Followed::new("log", true, Some("a\nb\n")).await;
        log.expect(&["a", "b"]).await;
        let file = OpenOptions::new()
            .write(true)
            .open(log.path("log"))
            .unwrap();
        file.set_len(0).unwrap();
        log.settle().await;
        file.write_all_at(b"c\nd\n", zeros).unwrap();
        log.expect(&["c", "d"]).await;
        let counts = log.follower.counts();
        assert_eq!((counts.datums, counts.too_large, counts.invalid), (4, 0, 0));
    }
}
