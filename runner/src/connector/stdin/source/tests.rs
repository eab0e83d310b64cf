//! Standard input, simulated by a pipe.

use std::{io::Write, time::Duration};

use mosaik_streams::Encoding;
use tokio::time::timeout;

use super::*;
use crate::connector::{CsvInput, CsvSyntax};

const PATIENCE: Duration = Duration::from_secs(20);

fn reader(pump: &Arc<Mutex<Pump>>) -> StdinReader {
    StdinReader::of(
        Arc::clone(pump),
        &StdinSource::default(),
        &SourceContext::new(Encoding::Text),
    )
    .unwrap()
}

fn pump() -> (Arc<Mutex<Pump>>, io::PipeWriter) {
    let (input, output) = io::pipe().unwrap();
    (Arc::new(Mutex::new(Pump::new(input))), output)
}

async fn next(reader: &mut StdinReader) -> Option<Vec<Vec<u8>>> {
    let batch = timeout(PATIENCE, reader.next())
        .await
        .expect("a batch in time")
        .unwrap();
    batch.map(|batch| batch.iter().map(<[u8]>::to_vec).collect())
}

#[tokio::test]
async fn lines_arrive_as_they_are_written_until_the_end() {
    let (pump, mut output) = pump();
    let mut stdin = reader(&pump);
    output.write_all(b"one\ntwo\nth").unwrap();
    assert_eq!(next(&mut stdin).await.unwrap(), [b"one", b"two"]);
    assert!(
        timeout(Duration::from_millis(20), stdin.next())
            .await
            .is_err()
    );
    output.write_all(b"ree\nfour").unwrap();
    assert_eq!(next(&mut stdin).await.unwrap(), [b"three"]);
    drop(output);
    assert_eq!(next(&mut stdin).await.unwrap(), [b"four"]);
    assert_eq!(next(&mut stdin).await, None);
    assert_eq!(next(&mut stdin).await, None);
    assert_eq!(
        stdin.counts(),
        SourceCounts {
            datums: 4,
            bytes: 15,
            too_large: 0,
            invalid: 0,
            ..SourceCounts::default()
        }
    );
}

#[tokio::test]
async fn a_second_reader_continues_after_the_first() {
    let (pump, mut output) = pump();
    let mut first = StdinReader::of(
        Arc::clone(&pump),
        &StdinSource::default(),
        &SourceContext {
            batch_bytes: 1,
            ..SourceContext::new(Encoding::Text)
        },
    )
    .unwrap();
    output.write_all(b"a\nb\nc\n").unwrap();
    assert_eq!(next(&mut first).await.unwrap(), [b"a"]);
    let mut second = reader(&pump);
    assert!(
        timeout(Duration::from_millis(20), second.next())
            .await
            .is_err(),
        "both read"
    );
    drop(first);
    assert_eq!(next(&mut second).await.unwrap(), [b"b", b"c"]);
    output.write_all(b"d\n").unwrap();
    assert_eq!(next(&mut second).await.unwrap(), [b"d"]);
    drop(output);
    assert_eq!(next(&mut second).await, None);
    assert_eq!(next(&mut reader(&pump)).await, None);
}

#[test]
fn a_blocked_read_does_not_delay_the_end_of_the_runtime() {
    let (pump, output) = pump();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let waited =
        runtime.block_on(async { timeout(Duration::from_millis(20), reader(&pump).next()).await });
    assert!(waited.is_err());
    let (ended, end) = std::sync::mpsc::channel();
    thread::spawn(move || {
        drop(runtime);
        ended.send(()).unwrap();
    });
    end.recv_timeout(PATIENCE)
        .expect("the runtime ends while the read still waits");
    drop(output);
}

/// Waits until the thread has read all that was written.
fn until_read(input: &io::PipeReader) {
    let now = Timespec::default();
    while poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&now)).unwrap() > 0 {
        thread::yield_now();
    }
}

async fn rest_of(stdin: &mut StdinReader) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(batch) = next(stdin).await {
        lines.extend(
            batch
                .into_iter()
                .map(|line| String::from_utf8(line).unwrap()),
        );
    }
    lines
}

#[tokio::test]
async fn a_stop_delivers_all_complete_lines() {
    let (input, mut output) = io::pipe().unwrap();
    let mut others = input.try_clone().unwrap();
    let pump = Arc::new(Mutex::new(Pump::new(input)));
    let mut stdin = reader(&pump);
    output.write_all(b"one\ntwo\nth").unwrap();
    assert_eq!(next(&mut stdin).await.unwrap(), [b"one", b"two"]);
    output.write_all(b"ree\nfour\nfi").unwrap();
    until_read(&others);
    stdin.stop();
    output.write_all(b"ve\nsix\n").unwrap();
    drop(output);
    assert_eq!(rest_of(&mut stdin).await, ["three", "four", "five"]);
    assert_eq!(stdin.counts().cut_off, 0);
    let mut left = String::new();
    others.read_to_string(&mut left).unwrap();
    assert_eq!(left, "six\n");
}

#[tokio::test]
async fn an_unfinished_line_is_cut_off_and_whole_for_the_next_reader() {
    let (input, mut output) = io::pipe().unwrap();
    let seen = input.try_clone().unwrap();
    let pump = Arc::new(Mutex::new(Pump::new(input)));
    let mut stdin = reader(&pump);
    output.write_all(b"one\ntw").unwrap();
    assert_eq!(next(&mut stdin).await.unwrap(), [b"one"]);
    until_read(&seen);
    stdin.stop();
    assert_eq!(rest_of(&mut stdin).await, [""; 0]);
    assert_eq!(stdin.counts().cut_off, 1);
    output.write_all(b"o\nthr").unwrap();
    let mut second = reader(&pump);
    assert_eq!(next(&mut second).await.unwrap(), [b"two"]);
    until_read(&seen);
    // Without a stop, too.
    drop(second);
    output.write_all(b"ee\n").unwrap();
    drop(output);
    assert_eq!(rest_of(&mut reader(&pump)).await, ["three"]);
}

#[tokio::test]
async fn columns_are_kept_for_the_next_reader() {
    let (pump, mut output) = pump();
    let table = |delimiter: &str| {
        let config = StdinSource {
            format: None,
            csv: Some(CsvInput {
                syntax: CsvSyntax {
                    delimiter: Some(delimiter.try_into().unwrap()),
                    ..CsvSyntax::default()
                },
                ..CsvInput::default()
            }),
        };
        let context = SourceContext::new(Encoding::Json);
        StdinReader::of(Arc::clone(&pump), &config, &context).unwrap()
    };
    let mut first = table(",");
    output.write_all(b"id,name\n1,a\n").unwrap();
    assert_eq!(next(&mut first).await.unwrap(), [br#"{"id":1,"name":"a"}"#]);
    drop(first);
    output.write_all(b"2;b\n").unwrap();
    let mut second = table(";");
    assert_eq!(
        next(&mut second).await.unwrap(),
        [br#"{"id":2,"name":"b"}"#]
    );
    second.stop();
    assert_eq!(rest_of(&mut second).await, [""; 0]);
    output.write_all(b"3,c\n").unwrap();
    drop(output);
    assert_eq!(rest_of(&mut table(",")).await, [r#"{"id":3,"name":"c"}"#]);
}
