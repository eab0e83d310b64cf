//! Appending to files that are deleted, renamed or replaced.

use std::{fs, time::Duration};

use mosaik_streams::{Encoding, Frames};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::connector::{Sink as _, SinkError};

const PATIENCE: Duration = Duration::from_secs(20);

async fn sink(path: &Path) -> LineWriter {
    let config = FileSink::of(path.to_owned());
    let context = SinkContext::new(Encoding::Json);
    open_for_append(&config, &context).await.unwrap()
}

async fn write(sink: &mut LineWriter, text: &str) {
    let batch = Frames::single(text.as_bytes());
    let written = timeout(PATIENCE, sink.write(&batch));
    written.await.unwrap().unwrap();
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_unterminated_last_line_is_terminated_before_appending() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out");
    fs::write(&path, "whole\npart").unwrap();
    let mut first = sink(&path).await;
    write(&mut first, "a").await;
    drop(first);
    let mut second = sink(&path).await;
    write(&mut second, "b").await;
    assert_eq!(lines(&path), ["whole", "part", "a", "b"]);
}

#[tokio::test]
async fn a_line_that_a_predecessor_still_writes_is_not_broken() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out");
    let mut first = Appender::open(&path, "out".to_owned(), None).unwrap();
    let mut halves = |half: &[u8]| first.file.as_mut().unwrap().write_all(half).unwrap();
    halves(b"first ");
    let mut second = sink(&path).await;
    halves(b"half\n");
    write(&mut second, "second").await;
    assert_eq!(lines(&path), ["first half", "second"]);
}

#[tokio::test]
async fn a_deleted_file_is_recreated_with_the_later_records() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sub/out");
    let mut sink = sink(&path).await;
    write(&mut sink, "before").await;
    for round in ["a", "b"] {
        fs::remove_file(&path).unwrap();
        write(&mut sink, round).await;
        assert_eq!(lines(&path), [round]);
    }
    // Including its folder.
    fs::remove_dir_all(folder.path().join("sub")).unwrap();
    write(&mut sink, "c").await;
    assert_eq!(lines(&path), ["c"]);
}

#[tokio::test]
async fn a_renamed_file_is_reopened_within_a_second_or_on_notification() {
    let folder = TempDir::new().unwrap();
    let (path, old) = (folder.path().join("out"), folder.path().join("out.1"));
    for notified in [false, true] {
        let mut sink = sink(&path).await;
        write(&mut sink, "before").await;
        fs::rename(&path, &old).unwrap();
        if notified {
            reopen_all();
        } else {
            write(&mut sink, "before").await;
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        write(&mut sink, "after").await;
        assert_eq!(lines(&path), ["after"]);
        assert!(lines(&old).iter().all(|line| line == "before"));
        fs::remove_file(&path).unwrap();
    }
}

/// Writes, and returns the error.
async fn refusal(sink: &mut LineWriter, text: &str) -> SinkError {
    let batch = Frames::single(text.as_bytes());
    let written = timeout(PATIENCE, sink.write(&batch)).await.unwrap();
    let unwritten = written.unwrap_err();
    assert_eq!(unwritten.written, 0);
    unwritten.error
}

#[tokio::test]
async fn a_failed_write_can_be_repeated_until_it_succeeds() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sub/out");
    let mut sink = sink(&path).await;
    write(&mut sink, "before").await;
    // A file in place of its folder.
    fs::remove_dir_all(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("sub"), "").unwrap();
    for _ in 0..2 {
        let error = refusal(&mut sink, "after").await;
        assert_eq!(error.kind(), SinkErrorKind::Passing);
        let reason = error.reason_first();
        assert!(
            reason.contains("cannot write to") && reason.contains("out"),
            "{reason}"
        );
    }
    fs::remove_file(folder.path().join("sub")).unwrap();
    write(&mut sink, "after").await;
    assert_eq!(lines(&path), ["after"]);
}

#[tokio::test]
async fn a_pipe_that_takes_the_path_is_reported_without_waiting_for_its_reader() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    for has_reader in [false, true] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("out");
        let mut sink = sink(&path).await;
        write(&mut sink, "before").await;
        fs::remove_file(&path).unwrap();
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let both = || OpenOptions::new().read(true).write(true).open(&path);
        let _reader = has_reader.then(|| both().unwrap());
        let reason = refusal(&mut sink, "after").await.reason_first();
        assert!(reason.starts_with("it is not a regular file: "), "{reason}");
        fs::remove_file(&path).unwrap();
        write(&mut sink, "after").await;
        assert_eq!(lines(&path), ["after"]);
    }
}

#[test]
fn a_line_that_is_not_continued_is_removed_if_nothing_follows_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out");
    let mut appender = Appender::open(&path, "out".to_owned(), None).unwrap();
    let progress = Progress::default();
    appender.write_lines(b"whole\npart", 0, &progress).unwrap();
    appender.end_line(b"part").unwrap();
    appender.write_lines(b"next\npart", 0, &progress).unwrap();
    assert_eq!(lines(&path), ["whole", "next", "part"]);
    let mut other = OpenOptions::new().append(true).open(&path).unwrap();
    other.write_all(b" of another\nline").unwrap();
    appender.end_line(b"part").unwrap();
    appender.write_lines(b"last\n", 0, &progress).unwrap();
    let all = ["whole", "next", "part of another", "line", "last"];
    assert_eq!(lines(&path), all);
}
