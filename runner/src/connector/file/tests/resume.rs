//! Sources that resume at a position. Here: files that are read once.

mod followed;

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
};

use proptest::prelude::*;
use tokio::runtime;

use super::*;
use crate::connector::{Position, ResumeError, Source};

async fn open(config: &FileSource, batch_bytes: usize, max: usize) -> Box<dyn Source> {
    let context = SourceContext {
        batch_bytes,
        max_datum_bytes: max,
        ..SourceContext::new(Encoding::Json)
    };
    let config = SourceConfig::new("file", config.clone());
    open_source(&config, context).await.unwrap()
}

async fn open_at(config: &FileSource, position: &Position) -> Result<Box<dyn Source>, ResumeError> {
    let mut source = open(config, 64 * 1024, 1024).await;
    source.resume(position).await.map(|()| source)
}

/// Takes a position through its text, as a checkpoint does.
fn position(source: &dyn Source) -> Position {
    let text = serde_json::to_string(&source.position().unwrap()).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Reads this number of batches, or to the end.
async fn read(source: &mut dyn Source, batches: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..batches {
        match source.next().await.unwrap() {
            Some(batch) => found.extend(texts(&batch)),
            None => break,
        }
    }
    found
}

/// A content of about 300 KB, so that it has several chunks.
fn large(kind: usize, seed: u64) -> String {
    let mut text = String::new();
    if kind == 2 {
        text.push_str("n,text,\"mixed, late\"\r\n");
    }
    for row in 0u64.. {
        if text.len() > 300_000 {
            break;
        }
        let long = if (row * 7 + seed).is_multiple_of(97) {
            1500
        } else {
            row % 60
        };
        let pad = "x".repeat(usize::try_from(long).unwrap());
        match (kind, row % 13) {
            (0 | 1, 5) => text.push_str("\r\n"),
            (0, _) => writeln!(text, "line {row} {pad}").unwrap(),
            (1, _) => writeln!(text, "{{\"n\": {row}, \"pad\": \"{pad}\"}}").unwrap(),
            (_, 7) => writeln!(text, "{row},\"a \"\"quoted\"\"\n{pad}\",{row}").unwrap(),
            (_, 9) => text.push_str("1,2\n"),
            _ if row > 150 && row % 11 == 3 => writeln!(text, "{row},{pad},late").unwrap(),
            _ => writeln!(text, "{row},{pad},{row}").unwrap(),
        }
    }
    if seed.is_multiple_of(2) {
        text.push_str("7,8,9");
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_file_that_is_read_once_is_read_on_after_crashes(
        kind in 0usize..3,
        seed in any::<u64>(),
        batch in 1usize..100_000,
        crashes in proptest::collection::vec(0usize..6, 1..6),
    ) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(["a.txt", "a.jsonl", "a.csv"][kind]);
        fs::write(&path, large(kind, seed)).unwrap();
        let config = config(&path, None);
        let (found, expected) = runtime::Runtime::new().unwrap().block_on(async {
            let expected = read(&mut *open(&config, batch, 1024).await, usize::MAX).await;
            let (mut found, mut at) = (Vec::new(), None);
            for batches in crashes.into_iter().chain([usize::MAX]) {
                let mut source = open(&config, batch, 1024).await;
                if let Some(at) = &at {
                    source.resume(at).await.unwrap();
                }
                found.extend(read(&mut *source, batches).await);
                at = Some(position(&*source));
            }
            // The end is the last position, whatever is appended later.
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(b"\n1,2,3\n").unwrap();
            let mut ended = open_at(&config, &at.unwrap()).await.unwrap();
            assert_eq!(ended.next().await.unwrap(), None);
            (found, expected)
        });
        prop_assert!(!expected.is_empty());
        prop_assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_file_that_is_read_once_must_be_the_same() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.txt");
    let read_in_part = async || {
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let config = config(&path, None);
        let mut source = open(&config, 1, 1024).await;
        assert_eq!(read(&mut *source, 1).await, ["\"one\""]);
        (config, position(&*source))
    };
    let (config, at) = read_in_part().await;
    fs::write(&path, "one\n").unwrap();
    let refused = |resumed: Result<Box<dyn Source>, ResumeError>| resumed.unwrap_err().reason;
    let reason = refused(open_at(&config, &at).await);
    assert!(
        reason.contains("it has 4 bytes, and 14 were read"),
        "{reason}"
    );
    fs::write(&path, "ONE\ntwo\nthree\n").unwrap();
    let reason = refused(open_at(&config, &at).await);
    assert!(
        reason.contains("the bytes that were read have changed"),
        "{reason}"
    );
    fs::rename(&path, folder.path().join("old")).unwrap();
    fs::write(&path, "one\ntwo\nthree\n").unwrap();
    let reason = refused(open_at(&config, &at).await);
    assert!(reason.contains("another file has its path"), "{reason}");
    assert!(reason.contains("up --fresh"), "{reason}");
    let foreign = serde_json::json!({"seq": 3});
    assert!(refused(open_at(&config, &foreign).await).contains("up --fresh"));
}

#[test]
fn a_position_needs_no_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, large(2, 1)).unwrap();
    runtime::Runtime::new().unwrap().block_on(async {
        let mut source = open(&config(&path, None), 500, 1024).await;
        read(&mut *source, 5).await;
        // Without the file, a position is still taken.
        fs::remove_file(&path).unwrap();
        let at = position(&*source);
        read(&mut *source, 1).await;
        assert_ne!(position(&*source)["offset"], at["offset"]);
    });
}
