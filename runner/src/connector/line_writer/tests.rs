//! Writing to destinations that count, close or block.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps each write separately.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);

impl Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_batch_is_one_write_and_an_empty_one_none() {
    let writes = Writes::default();
    let mut sink = LineWriter::start("test", writes.clone()).unwrap();
    sink.write(&[&b"a"[..], b"", b"bc"].into_iter().collect())
        .await
        .unwrap();
    sink.write(&Frames::new()).await.unwrap();
    let large = vec![b'x'; 2 * KEPT_BUFFER_BYTES];
    sink.write(&Frames::single(&large)).await.unwrap();
    sink.write(&Frames::single(b"d")).await.unwrap();
    sink.close().await.unwrap();
    let writes = writes.0.lock().unwrap();
    assert_eq!(writes.len(), 3);
    assert_eq!(writes[0], b"a\n\nbc\n");
    assert_eq!(writes[1].len(), large.len() + 1);
    assert_eq!(writes[2], b"d\n");
    assert_eq!(
        sink.counts(),
        SinkCounts {
            datums: 5,
            bytes: 4 + large.len() as u64
        }
    );
}

#[tokio::test]
async fn a_closed_reader_is_distinguished_from_other_errors() {
    let (input, output) = io::pipe().unwrap();
    let mut writer = LineWriter::start("stdout", output).unwrap();
    writer.write(&Frames::single(b"a")).await.unwrap();
    drop(input);
    let refused = writer.write(&Frames::single(b"b")).await.unwrap_err().error;
    assert_eq!(refused.kind(), SinkErrorKind::Closed, "{refused:?}");
    assert_eq!(refused.to_string(), "stdout is closed");
    assert_eq!(writer.counts().datums, 1);
    writer.close().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_write_is_completed_in_order() {
    let (input, output) = io::pipe().unwrap();
    let mut writer = LineWriter::start("stdout", output).unwrap();
    let large = Frames::single(&vec![b'x'; 1024 * 1024]);
    let given_up = timeout(Duration::from_millis(20), writer.write(&large)).await;
    assert!(given_up.is_err(), "a pipe holds less than that");
    let read = thread::spawn(move || io::read_to_string(input).unwrap());
    timeout(PATIENCE, writer.write(&Frames::single(b"after")))
        .await
        .unwrap()
        .unwrap();
    timeout(PATIENCE, writer.close()).await.unwrap().unwrap();
    let text = read.join().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        (lines.len(), lines[0].len(), lines[1]),
        (2, 1024 * 1024, "after")
    );
}

#[test]
fn a_blocked_write_does_not_delay_the_end_of_the_runtime() {
    let (input, output) = io::pipe().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut writer = LineWriter::start("stdout", output).unwrap();
    let large = Frames::single(&vec![b'x'; 1024 * 1024]);
    let blocked =
        runtime.block_on(async { timeout(Duration::from_millis(20), writer.write(&large)).await });
    assert!(blocked.is_err());
    let (ended, end) = std::sync::mpsc::channel();
    thread::spawn(move || {
        drop(runtime);
        ended.send(()).unwrap();
    });
    end.recv_timeout(PATIENCE)
        .expect("the runtime ends while the write still blocks");
    drop(input);
}

/// Accepts this number of bytes and then no more, which it takes a while to report.
struct Full(usize);

impl Outlet for Full {
    fn write_lines(&mut self, _: &[u8], _: usize, progress: &Progress) -> io::Result<()> {
        progress.stands(self.0);
        thread::sleep(Duration::from_millis(200));
        Err(io::ErrorKind::StorageFull.into())
    }

    fn end_line(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn complete_lines_of_a_cancelled_batch_are_counted() {
    let batch: Frames = [&b"ab"[..], b"", b"cde"].into_iter().collect();
    for (bytes, whole) in [(0, 0), (2, 0), (3, 1), (4, 2), (7, 2), (8, 3)] {
        let mut writer = LineWriter::start("test", Full(bytes)).unwrap();
        let waits = timeout(Duration::from_millis(20), writer.write(&batch)).await;
        assert!(waits.is_err(), "{waits:?}");
        assert_eq!(writer.give_up(&batch).await, whole, "{bytes}");
    }
}

/// Cannot be synced.
struct Unsynced;

impl Outlet for Unsynced {
    fn write_lines(&mut self, lines: &[u8], _: usize, progress: &Progress) -> io::Result<()> {
        progress.stands(lines.len());
        Ok(())
    }

    fn end_line(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<Option<Position>> {
        Err(io::Error::other("broken"))
    }
}

#[tokio::test]
async fn nothing_is_written_after_a_failed_sync() {
    let mut writer = LineWriter::start("out", Unsynced).unwrap();
    writer.write(&Frames::single(b"a")).await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert_eq!(error.to_string(), "cannot sync out: broken");
    let error = writer.write(&Frames::single(b"b")).await.unwrap_err();
    assert!(matches!(error.error, SinkError::Sync { .. }), "{error:?}");
    let error = writer.sync().await.unwrap_err();
    assert!(matches!(error, SinkError::Sync { .. }), "{error}");
}

/// Has room for some bytes until there is more.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Disk {
    fn has_room(&self, bytes: usize) {
        self.0.lock().unwrap().1 += bytes;
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let written = bytes.len().min(disk.1);
        if written == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.0.extend_from_slice(&bytes[..written]);
        disk.1 -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_attempt_continues_a_line_that_was_written_in_part() {
    let batch = |texts: &[&str]| texts.iter().map(|text| text.as_bytes()).collect::<Frames>();
    let disk = Disk::default();
    let mut writer = LineWriter::start("test", disk.clone()).unwrap();
    disk.has_room(6);
    let refused = writer.write(&batch(&["one", "two", "six"])).await;
    let Unwritten { written, error } = refused.unwrap_err();
    assert_eq!((written, &*error.code()), (1, "storage_full"));
    assert_eq!(error.kind(), SinkErrorKind::Permanent);
    let refused = writer.write(&batch(&["two", "six"])).await;
    assert_eq!(refused.unwrap_err().written, 0);
    disk.has_room(3);
    let refused = writer.write(&batch(&["two", "six"])).await;
    assert_eq!(refused.unwrap_err().written, 1);
    assert_eq!(disk.text(), "one\ntwo\ns");
    // Another record ends the line that is not continued, as soon as there is room.
    let refused = writer.write(&batch(&["ten"])).await;
    assert_eq!(refused.unwrap_err().written, 0);
    disk.has_room(100);
    writer.write(&batch(&["ten"])).await.unwrap();
    assert_eq!(disk.text(), "one\ntwo\ns\nten\n");
    assert_eq!((writer.counts().datums, writer.counts().bytes), (3, 9));
}
