//! Standard input, simulated by a pipe.

use std::{io::Write, time::Duration};

use mosaik_streams::Encoding;
use tokio::time::timeout;

use super::*;

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
async fn lines_come_as_they_are_written_until_the_end() {
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
async fn a_second_reader_goes_on_where_the_first_was_dropped() {
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
fn a_read_that_waits_does_not_hold_up_the_end_of_the_runtime() {
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

#[tokio::test]
async fn what_was_read_ahead_is_handed_out_when_it_stops_and_the_rest_is_left() {
    let (input, mut output) = io::pipe().unwrap();
    let mut rest = input.try_clone().unwrap();
    let pump = Arc::new(Mutex::new(Pump::new(input)));
    let mut stdin = reader(&pump);
    output.write_all(b"one\ntwo\nth").unwrap();
    assert_eq!(next(&mut stdin).await.unwrap(), [b"one", b"two"]);
    output.write_all(b"ree\nfour\nfi").unwrap();
    // The thread has read them or is reading them; nothing else reads.
    while PendingBytes(&rest).any() {
        thread::yield_now();
    }
    stdin.stop();
    let mut lines = Vec::new();
    while let Some(batch) = next(&mut stdin).await {
        lines.extend(batch);
    }
    assert_eq!(lines, [&b"three"[..], b"four"]);
    assert_eq!(stdin.counts().unfinished, 1);
    // Input written from now on is for other readers.
    output.write_all(b"ve\n").unwrap();
    drop(output);
    let mut others = String::new();
    Read::read_to_string(&mut rest, &mut others).unwrap();
    assert_eq!(others, "ve\n");
}

struct PendingBytes<'a>(&'a io::PipeReader);

impl PendingBytes<'_> {
    fn any(&self) -> bool {
        let mut fds = [PollFd::new(self.0, PollFlags::IN)];
        let now = rustix::time::Timespec::default();
        poll(&mut fds, Some(&now)).unwrap() > 0
    }
}
