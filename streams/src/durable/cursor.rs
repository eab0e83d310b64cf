//! [`Cursor`]: reads a log without blocking, and waits for the records that follow.

use std::{io, sync::Arc};

use mosaik_log::{Gap, Reader, Step};
use tokio::{sync::watch, task::spawn_blocking};

use super::state::{Look, Shared};
use crate::Frames;

/// The number of bytes that are read from the disk at once, unless a batch is longer: 1 MiB.
const READ_MAX: usize = 1024 * 1024;

/// Reads a log from a position on.
#[derive(Debug)]
pub(crate) struct Cursor {
    shared: Arc<Shared>,
    position: u64,
    changed: watch::Receiver<()>,
    /// Reads the files. Dropped once the reader has caught up.
    reader: Option<Reader>,
}

/// What follows in a log.
#[derive(Debug)]
pub(crate) enum Next {
    /// These batches.
    Records(Vec<Frames>),
    /// Records are missing. The cursor stays in front of them.
    Gap(Gap),
    /// The stream has ended.
    End,
    /// The disk reported an error.
    Failed(io::Error),
}

impl Cursor {
    pub(super) fn new(shared: Arc<Shared>, position: u64) -> Self {
        let changed = shared.watch();
        Self {
            shared,
            position,
            changed,
            reader: None,
        }
    }

    /// The position of the next record.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Waits for visible records. Cancel safe.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            self.changed.mark_unchanged();
            match self.shared.look(self.position) {
                Look::Recent(batches) => {
                    self.reader = None;
                    self.position += count(&batches);
                    return Next::Records(batches);
                }
                Look::Files(limit) => return self.read(limit).await,
                Look::End => return Next::End,
                Look::Nothing => {
                    if self.changed.changed().await.is_err() {
                        return Next::End;
                    }
                }
            }
        }
    }

    async fn read(&mut self, limit: u64) -> Next {
        let position = self.position;
        let reader = self
            .reader
            .take()
            .filter(|reader| reader.position() == position);
        let mut reader = reader.unwrap_or_else(|| {
            let disk = Arc::clone(&self.shared.disk);
            Reader::new(disk, self.shared.view.clone(), position)
        });
        let reading = spawn_blocking(move || {
            let read = read_some(&mut reader, limit);
            (reader, read)
        });
        let (reader, read) = match reading.await {
            Ok(read) => read,
            Err(error) => return Next::Failed(io::Error::other(error)),
        };
        match read {
            Ok(next) => {
                if let Next::Records(batches) = &next {
                    self.position += count(batches);
                }
                self.reader = Some(reader);
                next
            }
            Err(error) => Next::Failed(error),
        }
    }
}

fn count(batches: &[Frames]) -> u64 {
    batches.iter().map(|batch| batch.count() as u64).sum()
}

fn read_some(reader: &mut Reader, limit: u64) -> io::Result<Next> {
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while bytes < READ_MAX {
        let before = reader.position();
        match reader.next(limit)? {
            Step::Records { frames, .. } => {
                bytes += frames.wire_len();
                batches.push(frames);
            }
            Step::Gap(gap) if batches.is_empty() => {
                reader.seek(before);
                return Ok(Next::Gap(gap));
            }
            Step::Gap(_) => {
                reader.seek(before);
                break;
            }
            Step::End => break,
        }
    }
    if batches.is_empty() {
        return Err(io::Error::other(
            "the log has no record at a visible position",
        ));
    }
    Ok(Next::Records(batches))
}
