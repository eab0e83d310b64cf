//! Files of rows: their first line, and settings that do not fit them.

use std::{fs, path::Path};

use mosaik_streams::{Encoding, Frames};
use tempfile::TempDir;

use crate::connector::{
    ColumnType, CsvInput, CsvOutput, FileSink, FileSource, OpenError, OutputHeader, Sink,
    SinkConfig, SinkContext, SinkSettings as _, SourceSettings as _, open_sink, reopen_all,
};

async fn open(sink: FileSink) -> Result<Box<dyn Sink>, OpenError> {
    let context = SinkContext::new(Encoding::Json);
    open_sink(&SinkConfig::new("file", sink), context).await
}

/// Opens a sink, writes records to it as its stage does, and closes it.
async fn write(sink: FileSink, records: &[&str]) {
    let mut sink = open(sink).await.unwrap();
    let mut encoder = sink.take_encoder().unwrap();
    for record in records {
        let (rows, refused) = encoder.encode(&Frames::single(record.as_bytes()));
        assert!(refused.is_empty(), "{refused:?}");
        sink.write(&rows).await.unwrap();
    }
    sink.close().await.unwrap();
}

fn with_header(path: &Path, header: OutputHeader) -> FileSink {
    let csv = CsvOutput {
        header,
        ..CsvOutput::default()
    };
    FileSink {
        csv: Some(csv),
        ..FileSink::of(path.to_owned())
    }
}

#[tokio::test]
async fn a_file_begins_with_the_names_and_keeps_its_columns() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.tsv");
    write(FileSink::of(path.clone()), &[r#"{"b":1,"a":"x"}"#]).await;
    // The columns are those of the file, in its order.
    write(FileSink::of(path.clone()), &[r#"{"a":"y","b":2}"#]).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "b\ta\n1\tx\n2\ty\n");
}

#[tokio::test]
async fn each_file_that_takes_the_path_begins_with_the_names() {
    let folder = TempDir::new().unwrap();
    let (path, old) = (folder.path().join("out.csv"), folder.path().join("out.1"));
    let mut sink = open(FileSink::of(path.clone())).await.unwrap();
    let mut encoder = sink.take_encoder().unwrap();
    for record in [r#"{"a":1}"#, r#"{"a":2}"#] {
        let (rows, _) = encoder.encode(&Frames::single(record.as_bytes()));
        sink.write(&rows).await.unwrap();
        if !old.exists() {
            fs::rename(&path, &old).unwrap();
            reopen_all();
        }
    }
    assert_eq!(fs::read_to_string(&old).unwrap(), "a\n1\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\n2\n");
}

#[tokio::test]
async fn a_header_that_is_set_must_be_that_of_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out");
    let names = |names: [&str; 2]| OutputHeader::Names(names.map(str::to_owned).to_vec());
    let record = r#"{"b":1,"a":2}"#;
    write(with_header(&path, names(["a", "b"])), &[record]).await;
    write(with_header(&path, names(["a", "b"])), &[record]).await;
    write(with_header(&path, OutputHeader::None), &[record]).await;
    let written = "a,b\n2,1\n2,1\n1,2\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    let other = with_header(&path, names(["b", "a"]));
    let problem = other.probe().unwrap_err();
    assert_eq!(
        (problem.key, &*problem.message),
        ("csv.header", "the file has other columns")
    );
    let refused = open(other).await.map(|_| ());
    assert!(
        matches!(refused, Err(OpenError::Columns { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
}

#[tokio::test]
async fn text_is_not_made_rows_by_its_extension() {
    let folder = TempDir::new().unwrap();
    let sink = FileSink::of(folder.path().join("out.csv"));
    let context = SinkContext::new(Encoding::Text);
    let opened = open_sink(&SinkConfig::new("file", sink), context).await;
    assert!(opened.unwrap().take_encoder().is_none());
}

#[test]
fn a_type_of_no_column_is_found_before_the_file_is_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("in.tsv");
    fs::write(&path, "zip\tcity\n01\tOslo\n").unwrap();
    let typed = |name: &str| FileSource {
        csv: Some(CsvInput {
            types: vec![(name.to_owned(), ColumnType::String)],
            ..CsvInput::default()
        }),
        ..FileSource::of(path.clone())
    };
    assert!(typed("zip").probe(None).is_ok());
    let problem = typed("zipp").probe(None).unwrap_err();
    assert_eq!(problem.message, "the file has no column `zipp`");
    assert_eq!(problem.help.as_deref(), Some("did you mean `zip`?"));
}
