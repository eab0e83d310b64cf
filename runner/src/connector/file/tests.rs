//! Tests that read and write real files.

use std::{fs, io::Write, path::Path, time::Duration};

use mosaik_streams::{Datum as _, Encoding, Frames, Schema};
use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;
use tokio::time::timeout;

use super::FileReader;
use crate::connector::Source as _;
use crate::{
    connector::{
        DEFAULT_MAX_DATUM_BYTES, OpenError, SinkErrorKind, SourceContext, SourceCounts,
        SourceError, Unwritten, format::intake::CHUNK_BYTES, open_sink, open_source,
    },
    connector::{FileSink, FileSource, Format, SinkConfig, SinkContext, SourceConfig},
};

mod resume;

const PATIENCE: Duration = Duration::from_secs(20);

fn config(path: &Path, format: Option<Format>) -> FileSource {
    FileSource {
        format,
        ..FileSource::of(path.to_owned())
    }
}

fn texts(batch: &Frames) -> Vec<String> {
    batch
        .iter()
        .map(|datum| String::from_utf8(datum.to_vec()).unwrap())
        .collect()
}

async fn read_all(config: FileSource, encoding: Encoding) -> (Vec<String>, SourceCounts) {
    let mut source = open_source(
        &SourceConfig::new("file", config),
        SourceContext::new(encoding),
    )
    .await
    .unwrap();
    assert!(source.is_finite());
    let mut found = Vec::new();
    while let Some(batch) = source.next().await.unwrap() {
        found.extend(texts(&batch));
    }
    assert_eq!(source.next().await.unwrap(), None);
    (found, source.counts())
}

#[tokio::test]
async fn the_extension_selects_the_format() {
    let folder = TempDir::new().unwrap();
    let cases = [
        ("a.csv", r#"{"n":1}"#, r#"{"n":2}"#),
        ("a.CSV", r#"{"n":1}"#, r#"{"n":2}"#),
        ("a.tsv", r#"{"n":1}"#, r#"{"n":2}"#),
        ("a.jsonl", "n", "1"),
        ("a.ndjson", "n", "1"),
        ("a.log", r#""n""#, r#""1""#),
        ("a", r#""n""#, r#""1""#),
    ];
    for (name, first, second) in cases {
        let path = folder.path().join(name);
        fs::write(&path, "n\n1\n2").unwrap();
        let (found, counts) = read_all(config(&path, None), Encoding::Json).await;
        assert_eq!(found[..2], [first, second], "{name}");
        assert_eq!(counts.datums, found.len() as u64);
        assert_eq!(
            counts.bytes,
            found.iter().map(String::len).sum::<usize>() as u64
        );
    }
    let (found, _) = read_all(
        config(&folder.path().join("a.csv"), Some(Format::Lines)),
        Encoding::Text,
    )
    .await;
    assert_eq!(found, ["n", "1", "2"]);
}

#[tokio::test]
async fn an_unreadable_file_is_refused_on_opening() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for follow in [false, true] {
        for path in [folder.path(), &pipe, Path::new("/dev/zero")] {
            let config = SourceConfig::new(
                "file",
                FileSource {
                    follow,
                    ..FileSource::of(path.to_owned())
                },
            );
            let refused = timeout(
                PATIENCE,
                open_source(&config, SourceContext::new(Encoding::Json)),
            )
            .await
            .unwrap();
            assert!(
                matches!(refused, Err(OpenError::NotAFile { .. })),
                "{refused:?}"
            );
        }
    }
    let missing = SourceConfig::new("file", config(&folder.path().join("missing"), None));
    let refused = open_source(&missing, SourceContext::new(Encoding::Json))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with("cannot open /") && refused.contains("missing: No such file"),
        "{refused}"
    );
    for path in [folder.path(), &pipe] {
        let refused = open_sink(
            &SinkConfig::new("file", FileSink::of(path.to_owned())),
            SinkContext::new(Encoding::Json),
        )
        .await;
        assert!(
            matches!(refused, Err(OpenError::NotAFile { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_header_with_a_duplicate_column_ends_the_source() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "a,a\n1,2\n").unwrap();
    let mut source = FileReader::open(&config(&path, None), &SourceContext::new(Encoding::Json))
        .await
        .unwrap();
    let refused = source.next().await;
    assert!(
        matches!(refused, Err(SourceError::Header { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_large_file_takes_little_memory() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("large.txt");
    let block = "a line of forty bytes, its end included\n".repeat(16 * 1024);
    let mut file = fs::File::create(&path).unwrap();
    let blocks = 64 * 1024 * 1024 / block.len();
    for _ in 0..blocks {
        file.write_all(block.as_bytes()).unwrap();
    }
    file.write_all(&vec![b'x'; 3 * DEFAULT_MAX_DATUM_BYTES])
        .unwrap();
    file.write_all(b"\nend").unwrap();

    let context = SourceContext::new(Encoding::Text);
    let mut source = FileReader::open(&config(&path, None), &context)
        .await
        .unwrap();
    let mut held_bytes = 0;
    let mut last = Frames::new();
    while let Some(batch) = source.next().await.unwrap() {
        assert!(batch.wire_len() < context.batch_bytes + 64, "{batch:?}");
        held_bytes = held_bytes.max(source.held_bytes());
        last = batch;
    }
    assert_eq!(texts(&last), ["end"]);
    let lines = (blocks * 16 * 1024) as u64;
    assert_eq!(
        source.counts(),
        SourceCounts {
            datums: lines + 1,
            bytes: lines * 39 + 3,
            too_large: 1,
            invalid: 0,
            ..SourceCounts::default()
        }
    );
    assert!(
        held_bytes <= 2 * CHUNK_BYTES + 2 * (DEFAULT_MAX_DATUM_BYTES + 1),
        "{held_bytes} bytes held"
    );
}

#[tokio::test]
async fn cancelling_a_read_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.txt");
    let lines = (0..100_000).map(|n| n.to_string()).collect::<Vec<_>>();
    fs::write(&path, lines.join("\n")).unwrap();
    let mut given_up = 0;
    // On a busy machine every read may already have completed when it is polled.
    for _ in 0..100 {
        let mut source =
            FileReader::open(&config(&path, None), &SourceContext::new(Encoding::Text))
                .await
                .unwrap();
        let mut found = Vec::new();
        loop {
            tokio::select! {
                biased;
                batch = source.next() => match batch.unwrap() {
                    Some(batch) => found.extend(texts(&batch)),
                    None => break,
                },
                // Triggered when no batch is ready immediately.
                () = std::future::ready(()) => given_up += 1,
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(found, lines);
        if given_up > 0 {
            return;
        }
    }
    panic!("no read was given up");
}

#[tokio::test]
async fn a_file_grows_by_whole_batches() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("made/for/it/out.jsonl");
    let config = SinkConfig::new("file", FileSink::of(path.clone()));
    let batch: Frames = [&b"{\"a\":1}"[..], b"2"].into_iter().collect();
    let mut sink = open_sink(&config, SinkContext::new(Encoding::Json))
        .await
        .unwrap();
    for times in 1..=3 {
        sink.write(&batch).await.unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"a\":1}\n2\n".repeat(times)
        );
    }
    assert_eq!((sink.counts().datums, sink.counts().bytes), (6, 24));
    sink.close().await.unwrap();
    sink.close().await.unwrap();
    let refused = sink.write(&batch).await;
    assert!(
        matches!(&refused, Err(unwritten) if unwritten.error.kind() == SinkErrorKind::Closed),
        "{refused:?}"
    );

    let mut sink = open_sink(&config, SinkContext::new(Encoding::Json))
        .await
        .unwrap();
    sink.write(&batch).await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\"a\":1}\n2\n".repeat(4),
        "a file is appended to"
    );
}

#[tokio::test]
async fn a_full_disk_is_reported() {
    let mut sink = open_sink(
        &SinkConfig::new("file", FileSink::of("/dev/full".into())),
        SinkContext::new(Encoding::Json),
    )
    .await
    .unwrap();
    let batch = Frames::single(b"a");
    let Unwritten { written, error } = sink.write(&batch).await.unwrap_err();
    assert_eq!(
        (written, error.kind(), &*error.code()),
        (0, SinkErrorKind::Passing, "storage_full")
    );
    let reason = error.reason_first();
    assert!(reason.contains("No space left on device"), "{reason}");
    assert_eq!(sink.give_up(&batch).await, 0);
    assert_eq!(sink.counts().datums, 0);
}

/// Reads a file with a schema of `id`, `ratio`, `live` and `note`. Returns the records and the counters.
async fn read_typed(
    name: &str,
    text: &str,
) -> (Vec<(String, f64, bool, Option<String>)>, SourceCounts) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let fields = [
        ("id", Schema::String),
        ("ratio", Schema::F64),
        ("live", Schema::Bool),
        ("note", Schema::Option(Box::new(Schema::String))),
    ];
    let schema = Schema::Struct(fields.map(|(name, field)| (name.to_owned(), field)).into());
    let context = SourceContext::new(Encoding::Postcard(schema));
    let mut source = open_source(&SourceConfig::new("file", config(&path, None)), context)
        .await
        .unwrap();
    let mut found = Vec::new();
    while let Some(batch) = source.next().await.unwrap() {
        found.extend(
            batch
                .iter()
                .map(|datum| <(String, f64, bool, Option<String>)>::decode(datum).unwrap()),
        );
    }
    (found, source.counts())
}

#[tokio::test]
async fn rows_are_encoded_as_postcard_by_column_name() {
    let rows = "ratio,live,id,extra,note\n0.5,true,007,x,\n7,false,12,,\n,true,a,,n\n1,yes,b,,n\n2,true,,,3\n";
    let (found, counts) = read_typed("a.csv", rows).await;
    let expected = [
        ("007".to_owned(), 0.5, true, None),
        ("12".to_owned(), 7.0, false, None),
        (String::new(), 2.0, true, Some("3".to_owned())),
    ];
    assert_eq!(found, expected);
    assert_eq!((counts.datums, counts.invalid, counts.too_large), (3, 2, 0));
}

#[tokio::test]
async fn json_lines_are_encoded_as_postcard_and_mismatches_are_counted() {
    let lines = "{\"live\":true,\"id\":\"a\",\"ratio\":1}\n\n{\"id\":\"b\"}\nnot json\n{\"id\":\"c\",\"ratio\":2,\"live\":false,\"note\":\"n\"}\n";
    let (found, counts) = read_typed("a.jsonl", lines).await;
    let expected = [
        ("a".to_owned(), 1.0, true, None),
        ("c".to_owned(), 2.0, false, Some("n".to_owned())),
    ];
    assert_eq!(found, expected);
    assert_eq!((counts.datums, counts.invalid), (2, 2));
}
