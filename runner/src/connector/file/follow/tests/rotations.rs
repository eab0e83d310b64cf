//! Files that take the path faster than they are read, that are resumed or get the path back, and their counters.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    time::Duration,
};

use tokio::time::timeout;

use super::{Followed, PATIENCE, texts};
use crate::connector::Source as _;

/// Two quick rotations, the first of which leaves an empty file that is filled later. The order must be kept.
#[tokio::test]
async fn rotations_close_together_lose_nothing_and_keep_the_order() {
    let mut log = Followed::new("log", true, Some("first\n")).await;
    log.expect(&["first"]).await;
    let path = |name: &str| log.folder.path().join(name);
    let write = |round: u32| {
        // Separate calls, so that a check can occur between any two of them.
        let mut file = OpenOptions::new().append(true).open(path("log")).unwrap();
        for line in 0..3 {
            file.write_all(format!("{round}.{line}\n").as_bytes())
                .unwrap();
        }
        fs::rename(path("log"), path(&format!("log.{round}"))).unwrap();
        fs::write(path("log"), "").unwrap();
    };
    let mut expected = Vec::new();
    let mut found = Vec::new();
    for round in 0..400 {
        expected.extend((0..3).map(|line| format!("{round}.{line}")));
        write(round);
        // Zero or a few steps of the follower and of its poller task.
        for _ in 0..round % 7 {
            let next = timeout(Duration::from_micros(200), log.follower.batch()).await;
            found.extend(next.iter().flatten().flat_map(texts));
        }
    }
    while found.len() < expected.len() {
        let next = timeout(PATIENCE, log.follower.batch()).await;
        let batch = next.unwrap_or_else(|_| panic!("{} lines", found.len()));
        found.extend(texts(&batch.unwrap()));
    }
    assert_eq!(found, expected);
    assert_eq!(log.follower.counts().missed_files, 0);
}

/// A chain of renames, as made by logrotate: each file's number increases. Stays within the system's event limit.
#[tokio::test]
async fn files_that_are_renamed_again_are_read_by_their_latest_names() {
    let mut log = Followed::new("log", true, Some("0\n")).await;
    log.expect(&["0"]).await;
    let path = |number: usize| log.folder.path().join(format!("log.{number}"));
    for round in 1..60 {
        for number in (0..round).rev().filter(|number| path(*number).exists()) {
            fs::rename(path(number), path(number + 1)).unwrap();
        }
        fs::rename(log.path("log"), path(0)).unwrap();
        fs::write(log.path("log"), format!("{round}\n")).unwrap();
        tokio::task::yield_now().await;
    }
    let expected: Vec<_> = (1..60).map(|round| round.to_string()).collect();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    log.expect(&expected).await;
    assert_eq!(log.follower.counts().missed_files, 0);
}

#[tokio::test]
async fn files_beyond_the_open_limit_are_read_by_name_and_missing_ones_are_counted() {
    let mut log = Followed::new("log", true, Some("first\n")).await;
    log.expect(&["first"]).await;
    let mut expected = Vec::new();
    for round in 0..200 {
        log.append("log", &format!("{round}\n"));
        fs::rename(log.path("log"), log.path(&format!("log.{round}"))).unwrap();
        log.append("log", "");
        expected.push(round.to_string());
        log.follower.rotated.looked().await;
    }
    for gone in [150, 151, 199] {
        fs::remove_file(log.path(&format!("log.{gone}"))).unwrap();
        expected.retain(|round| *round != gone.to_string());
    }
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    log.expect(&expected).await;
    // The loss may have been reported between two records.
    let notified = async {
        while log.follower.counts().missed_files < 3 {
            assert!(log.follower.batch().await.unwrap().is_empty());
        }
    };
    timeout(PATIENCE, notified).await.expect("a notification");
    assert_eq!(log.follower.counts().missed_files, 3);
}

#[tokio::test]
async fn a_finished_file_that_grows_is_read_further() {
    for watching in [true, false] {
        let mut log = Followed::new("log.csv", watching, Some("id,v\n1,a\n")).await;
        log.expect(&[r#"{"id":1,"v":"a"}"#]).await;
        fs::rename(log.path("log.csv"), log.path("old")).unwrap();
        log.append("log.csv", "name\nb\nhalf");
        log.expect(&[r#"{"name":"b"}"#]).await;
        log.follower.rotated.look_every(Duration::from_millis(5));
        // Not in the middle of a line of its successor.
        log.append("old", "2,c\n");
        log.settle().await;
        log.append("log.csv", " done\n");
        log.expect(&[r#"{"name":"half done"}"#, r#"{"id":2,"v":"c"}"#])
            .await;
        log.append("log.csv", "d\n");
        log.expect(&[r#"{"name":"d"}"#]).await;
    }
}

#[tokio::test]
async fn a_file_renamed_back_is_resumed_without_repeating_records() {
    for is_new in [true, false] {
        for watching in [true, false] {
            let mut log = Followed::new("log.csv", watching, Some("id,v\n1,10\n")).await;
            log.expect(&[r#"{"id":1,"v":10}"#]).await;
            fs::rename(log.path("log.csv"), log.path("spare")).unwrap();
            log.append("log.csv", "id,v\n2,20\n");
            log.expect(&[r#"{"id":2,"v":20}"#]).await;
            log.settle().await;
            let expected: &[_] = if is_new {
                fs::write(log.path("spare"), "id,v\n31234567,30\n4,40\n").unwrap();
                &[r#"{"id":31234567,"v":30}"#, r#"{"id":4,"v":40}"#]
            } else {
                log.append("spare", "3,30\n");
                &[r#"{"id":3,"v":30}"#]
            };
            fs::rename(log.path("log.csv"), log.path("x")).unwrap();
            fs::rename(log.path("spare"), log.path("log.csv")).unwrap();
            log.expect(expected).await;
            log.append("log.csv", "5,50\n");
            log.expect(&[r#"{"id":5,"v":50}"#]).await;
            log.settle().await;
        }
    }
}

#[tokio::test]
async fn skipped_lines_are_counted_immediately_and_held_ones_at_the_end() {
    let mut log = Followed::new("log.csv", true, Some("a,b\n1,2\n1,2,3\n")).await;
    log.expect(&[r#"{"a":1,"b":2}"#]).await;
    log.append("log.csv", "4,5,6\n");
    let notified = timeout(PATIENCE, log.follower.batch()).await;
    assert!(notified.expect("a notification").unwrap().is_empty());
    assert_eq!(log.follower.counts().invalid, 2);
    log.append("log.csv", "\"7,8\n9,10\n11,");
    log.settle().await;
    log.follower.conclude();
    let counts = log.follower.counts();
    assert_eq!((counts.invalid, counts.unfinished), (4, 0));

    let mut log = Followed::new("log", true, Some("a\nb")).await;
    log.expect(&["a"]).await;
    log.settle().await;
    log.follower.conclude();
    let counts = log.follower.counts();
    assert_eq!((counts.invalid, counts.unfinished), (0, 1));
}

#[tokio::test]
async fn binary_content_is_refused_at_any_position() {
    let mut log = Followed::new("log", true, Some("a\n")).await;
    log.expect(&["a"]).await;
    fs::rename(log.path("log"), log.path("old")).unwrap();
    fs::write(log.path("log"), b"\xff\xfeb\0\n\0").unwrap();
    let refused = timeout(PATIENCE, log.follower.batch()).await.unwrap();
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("UTF-16"), "{refused}");
}
