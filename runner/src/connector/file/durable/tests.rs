//! Outputs that go on behind a sync.

use std::{fs, os::unix::fs::MetadataExt as _, time::Duration};

use mosaik_streams::{Encoding, Frames};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::runtime;

use super::*;
use crate::connector::{
    FileSink, ResumeError, Sink, SinkConfig, SinkContext, file::reopen_all, open_sink,
};

async fn open(path: &Path) -> Box<dyn Sink> {
    let config = SinkConfig::new("file", FileSink::of(path.to_owned()));
    let context = SinkContext::new(Encoding::Json);
    open_sink(&config, context).await.unwrap()
}

async fn resume(path: &Path, token: &Position) -> Result<Box<dyn Sink>, ResumeError> {
    let mut sink = open(path).await;
    let text = serde_json::to_string(token).unwrap();
    let token = serde_json::from_str(&text).unwrap();
    sink.resume(&token).await.map(|()| sink)
}

async fn write(sink: &mut dyn Sink, text: &str) {
    sink.write(&Frames::single(text.as_bytes())).await.unwrap();
}

async fn sync(sink: &mut dyn Sink) -> Position {
    sink.sync().await.unwrap().unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

async fn reason(path: &Path, token: &Position) -> String {
    resume(path, token).await.unwrap_err().reason
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn an_output_that_goes_on_after_crashes_is_that_of_one_run(
        before in prop_oneof![Just(""), Just("old\n"), Just("old, without its end")],
        runs in proptest::collection::vec((0usize..30, 0usize..20, 0usize..20), 1..5),
        torn in any::<bool>(),
    ) {
        let folder = TempDir::new().unwrap();
        let (path, whole) = (folder.path().join("out"), folder.path().join("whole"));
        for path in [&path, &whole] {
            if !before.is_empty() {
                fs::write(path, before).unwrap();
            }
        }
        runtime::Runtime::new().unwrap().block_on(async {
            let record = |number: usize| format!("record {number} {}", "x".repeat(number * 7 % 90));
            let (mut token, mut done) = (None, 0);
            for (durable, lost, _) in runs {
                let mut sink = match &token {
                    None => open(&path).await,
                    Some(token) => resume(&path, token).await.unwrap(),
                };
                for number in done..done + durable {
                    write(&mut *sink, &record(number)).await;
                }
                done += durable;
                token = Some(sync(&mut *sink).await);
                for number in done..done + lost {
                    write(&mut *sink, &record(number)).await;
                }
                drop(sink);
                if torn {
                    let mut options = fs::OpenOptions::new();
                    let mut file = options.append(true).open(&path).unwrap();
                    io::Write::write_all(&mut file, b"torn").unwrap();
                }
            }
            let mut sink = resume(&path, &token.unwrap()).await.unwrap();
            write(&mut *sink, "last").await;
            let mut one_run = open(&whole).await;
            for number in 0..done {
                write(&mut *one_run, &record(number)).await;
            }
            write(&mut *one_run, "last").await;
        });
        prop_assert_eq!(text(&path), text(&whole));
    }
}

/// Writes a record, syncs it, and writes another one. Returns the token of the sync.
async fn written(path: &Path) -> (Box<dyn Sink>, Position) {
    let mut sink = open(path).await;
    write(&mut *sink, "a").await;
    let token = sync(&mut *sink).await;
    write(&mut *sink, "b").await;
    (sink, token)
}

#[tokio::test]
async fn a_file_that_was_renamed_while_down_is_cut_and_the_path_begins_again() {
    let folder = TempDir::new().unwrap();
    let (path, renamed) = (folder.path().join("out"), folder.path().join("out.1"));
    let (sink, token) = written(&path).await;
    drop(sink);
    fs::rename(&path, &renamed).unwrap();
    let mut sink = resume(&path, &token).await.unwrap();
    write(&mut *sink, "b").await;
    assert_eq!((text(&renamed), text(&path)), ("a\n".into(), "b\n".into()));
}

#[tokio::test]
async fn a_file_that_was_renamed_between_sync_and_crash_is_cut_with_its_successor() {
    let folder = TempDir::new().unwrap();
    let (path, renamed) = (folder.path().join("out"), folder.path().join("out.1"));
    let (mut sink, token) = written(&path).await;
    std::thread::sleep(Duration::from_millis(12));
    fs::rename(&path, &renamed).unwrap();
    reopen_all();
    write(&mut *sink, "c").await;
    drop(sink);
    assert_eq!(
        (text(&renamed), text(&path)),
        ("a\nb\n".into(), "c\n".into())
    );
    let mut sink = resume(&path, &token).await.unwrap();
    write(&mut *sink, "b").await;
    assert_eq!((text(&renamed), text(&path)), ("a\n".into(), "b\n".into()));
}

/// The moment at which a process that goes on is killed.
#[derive(Debug, Clone, Copy)]
enum Killed {
    /// It has opened the output, and created it if it was renamed.
    Opened,
    /// It has cut the first of the files.
    Cut,
    /// It has cut all files, and written nothing.
    Resumed,
    /// It has written, and synced nothing.
    Written,
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_goes_on_leaves_nothing_twice() {
    let moments = [
        Killed::Opened,
        Killed::Cut,
        Killed::Resumed,
        Killed::Written,
    ];
    for (is_renamed, first) in [false, true]
        .into_iter()
        .flat_map(|renamed| moments.map(|first| (renamed, first)))
    {
        for second in moments {
            let folder = TempDir::new().unwrap();
            let (path, renamed) = (folder.path().join("out"), folder.path().join("out.1"));
            // The ledger has the token when the process is killed, or gets it just before.
            let (mut sink, token) = written(&path).await;
            std::thread::sleep(Duration::from_millis(12));
            let mut held = &path;
            if is_renamed {
                fs::rename(&path, &renamed).unwrap();
                reopen_all();
                write(&mut *sink, "c").await;
                held = &renamed;
            }
            drop(sink);
            for killed in [first, second] {
                match killed {
                    Killed::Opened => drop(open(&path).await),
                    Killed::Cut => {
                        let file = fs::OpenOptions::new().write(true).open(held).unwrap();
                        file.set_len(2).unwrap();
                    }
                    Killed::Resumed => drop(resume(&path, &token).await.unwrap()),
                    Killed::Written => {
                        let mut sink = resume(&path, &token).await.unwrap();
                        write(&mut *sink, "b").await;
                        write(&mut *sink, "c, in part").await;
                    }
                }
            }
            let mut sink = resume(&path, &token).await.unwrap();
            write(&mut *sink, "b").await;
            let all = if is_renamed {
                text(&renamed) + &text(&path)
            } else {
                text(&path)
            };
            assert_eq!(
                all, "a\nb\n",
                "renamed: {is_renamed}, {first:?}, {second:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_token_is_of_the_file_with_the_last_byte() {
    let folder = TempDir::new().unwrap();
    let (path, renamed) = (folder.path().join("out"), folder.path().join("out.1"));
    let mut sink = open(&path).await;
    write(&mut *sink, "a").await;
    fs::rename(&path, &renamed).unwrap();
    let token = sync(&mut *sink).await;
    assert_eq!(token["inode"], fs::metadata(&renamed).unwrap().ino());
    assert_eq!(token["length"], 2);
    reopen_all();
    write(&mut *sink, "b").await;
    let token = sync(&mut *sink).await;
    assert_eq!(token["inode"], fs::metadata(&path).unwrap().ino());
}

#[tokio::test]
async fn another_output_is_refused_and_stays_as_it_is() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out");
    let mut sink = open(&path).await;
    write(&mut *sink, "a").await;
    write(&mut *sink, "b").await;
    let token = sync(&mut *sink).await;
    drop(sink);
    fs::write(&path, "a\n").unwrap();
    let why = reason(&path, &token).await;
    assert!(why.contains("it has 2 bytes, and 4 were written"), "{why}");
    fs::write(&path, "a\nB\nc\n").unwrap();
    let why = reason(&path, &token).await;
    assert!(why.contains("its bytes before offset 4"), "{why}");
    assert_eq!(text(&path), "a\nB\nc\n");
    fs::write(&path, "a\nb\nc\n").unwrap();
    let saved = folder.path().join("saved");
    fs::rename(&path, &saved).unwrap();
    fs::write(folder.path().join("older"), "x\n").unwrap();
    fs::remove_file(&saved).unwrap();
    let why = reason(&path, &token).await;
    assert!(why.contains("it is missing"), "{why}");
    assert!(!path.exists());
    fs::rename(folder.path().join("older"), &path).unwrap();
    let why = reason(&path, &token).await;
    assert!(why.contains("another file has its path"), "{why}");
    assert!(why.contains("up --fresh"), "{why}");
    assert_eq!(text(&path), "x\n");
}

#[tokio::test]
async fn a_file_of_before_the_sync_at_the_path_is_not_cut() {
    let folder = TempDir::new().unwrap();
    let (path, other) = (folder.path().join("out"), folder.path().join("other"));
    fs::write(&other, "x\n").unwrap();
    std::thread::sleep(Duration::from_millis(12));
    let (sink, token) = written(&path).await;
    drop(sink);
    fs::rename(&path, folder.path().join("out.1")).unwrap();
    fs::rename(&other, &path).unwrap();
    let why = reason(&path, &token).await;
    assert!(
        why.contains("not created after the last checkpoint"),
        "{why}"
    );
    assert_eq!(text(&path), "x\n");
    assert_eq!(text(&folder.path().join("out.1")), "a\nb\n");
}

#[tokio::test]
async fn a_device_cannot_take_back() {
    let mut sink = open(Path::new("/dev/null")).await;
    write(&mut *sink, "a").await;
    assert_eq!(sink.sync().await.unwrap(), None);
}

#[test]
fn a_failed_sync_is_not_repeated() {
    let folder = TempDir::new().unwrap();
    let file = File::create(folder.path().join("out")).unwrap();
    let mut durable = Durable::default();
    // A pipe cannot be synced.
    let (_reader, pipe) = io::pipe().unwrap();
    durable.leaves(Some(File::from(std::os::fd::OwnedFd::from(pipe))));
    let first = durable.sync(Some(&file), "out").unwrap_err();
    durable.earlier.clear();
    let second = durable.sync(Some(&file), "out").unwrap_err();
    assert_eq!(first.kind(), second.kind());
}

#[test]
fn new_folders_are_synced_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a/b/out");
    let mut durable = Durable::default();
    durable.opens(&path);
    let mut expected = [
        folder.path().to_owned(),
        folder.path().join("a"),
        folder.path().join("a/b"),
    ];
    expected.sort();
    assert_eq!(durable.folders, expected);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(&path).unwrap();
    durable.sync(Some(&file), "out").unwrap();
    assert!(durable.folders.is_empty());
}
