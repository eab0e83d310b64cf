//! [`Logs`]: the logs of the durable streams that this node writes.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use mosaik_streams::durable::{DurableConfig, DurableLog, LogPosition, Recovered};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    checkpoint::{Checkpoints, Line, Signal, StageId, StageImage, Stages},
    graph::{Durable, Graph, StreamName},
    topology::error::{StartError, StreamError},
};

/// The logs of the durable streams that this node writes, by stream.
#[derive(Debug)]
pub(in crate::topology) struct Logs {
    folder: PathBuf,
    checkpoints: Option<Checkpoints>,
    open: BTreeMap<StreamName, OpenLog>,
    /// The number of logs that were opened.
    starts: u64,
}

#[derive(Debug)]
struct OpenLog {
    log: DurableLog,
    config: DurableConfig,
    /// Takes part in the checkpoints.
    part: Option<Part>,
}

/// The part of a log in the checkpoints. It leaves them when it is dropped.
#[derive(Debug)]
struct Part {
    checkpoints: Checkpoints,
    id: StageId,
    start: u64,
    _task: AbortOnDropHandle<()>,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.checkpoints.leave(self.id.clone(), self.start);
    }
}

/// Returns the name of a stream's log in checkpoints.
pub(in crate::topology) fn log_id(stream: &StreamName) -> StageId {
    StageId::new(format!("stream {stream}"))
}

/// Returns the streams of a graph that are durable and written by its stages.
fn durable(graph: &Graph) -> impl Iterator<Item = (&StreamName, Durable)> {
    graph.streams.iter().filter_map(|(name, stream)| {
        let durable = stream.settings.durable?;
        graph.writers(name).next()?;
        Some((name, durable))
    })
}

impl Logs {
    /// `folder` holds a folder for each log.
    pub(in crate::topology) const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            checkpoints: None,
            open: BTreeMap::new(),
            starts: 0,
        }
    }

    /// Returns true if no log is open.
    pub(in crate::topology) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the ids in checkpoints of the open logs.
    pub(in crate::topology) fn ids(&self) -> impl Iterator<Item = StageId> {
        self.open.keys().map(log_id)
    }

    /// Returns the log of a stream, if it is durable.
    pub(super) fn get(&self, stream: &StreamName) -> Option<DurableLog> {
        self.open.get(stream).map(|open| open.log.clone())
    }

    /// Opens the logs of a graph's durable streams that are not open, and changes the settings of the others. `from` has
    /// the positions at which streams go on. Returns the positions of the logs that were opened and are not in `from`.
    ///
    /// # Errors
    /// A log cannot be opened. Those that were opened before stay open.
    pub(in crate::topology) async fn prepare(
        &mut self,
        graph: &Graph,
        from: &BTreeMap<StreamName, LogPosition>,
    ) -> Result<Stages, StartError> {
        let mut new = BTreeMap::new();
        for (name, durable) in durable(graph) {
            let config = durable.config(graph.checkpoint.is_some());
            if let Some(open) = self.open.get_mut(name)
                && open.config.visible == config.visible
            {
                if open.config != config {
                    open.config = config;
                    open.log.set_config(config).await;
                }
                continue;
            }
            // The old one first: a log has one user.
            self.open.remove(name);
            let from = from.get(name).copied();
            let folder = self.folder.join(name.as_str());
            let log = open(name, folder, config, from).await?;
            if from.is_none() {
                new.insert(log_id(name), image(log.position(), false));
            }
            self.open.insert(
                name.clone(),
                OpenLog {
                    log,
                    config,
                    part: None,
                },
            );
        }
        Ok(new)
    }

    /// Sets the checkpoints in which the logs take part.
    pub(in crate::topology) fn set_checkpoints(&mut self, checkpoints: Option<Checkpoints>) {
        self.checkpoints = checkpoints;
    }

    /// Makes the log of a stream whose producer is about to be opened take part in checkpoints.
    pub(super) fn join(&mut self, stream: &StreamName) {
        let (Some(checkpoints), Some(open)) = (&self.checkpoints, self.open.get_mut(stream)) else {
            return;
        };
        self.starts += 1;
        let (id, start) = (log_id(stream), self.starts);
        let line = checkpoints.join((id.clone(), start), [(stream.as_str(), true)], []);
        let task = follow(open.log.clone(), line, checkpoints.watch_committed());
        open.part = Some(Part {
            checkpoints: checkpoints.clone(),
            id,
            start,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        });
    }

    /// Closes the logs of streams that are not durable streams of the graph.
    pub(super) fn keep_those_of(&mut self, graph: &Graph) {
        let names: Vec<_> = durable(graph).map(|(name, _)| name).collect();
        self.open.retain(|name, _| names.contains(&name));
    }

    /// Waits until everything that was appended is on the disk, and takes part in no more checkpoints.
    pub(in crate::topology) async fn close(&mut self) {
        self.checkpoints = None;
        for (_, open) in std::mem::take(&mut self.open) {
            open.log.flush().await;
        }
    }
}

async fn open(
    name: &StreamName,
    folder: PathBuf,
    config: DurableConfig,
    from: Option<LogPosition>,
) -> Result<DurableLog, StartError> {
    let (label, path) = (name.to_string(), folder.clone());
    let opening = move || DurableLog::open(&path, config, from, &label);
    let opened = tokio::task::spawn_blocking(opening).await;
    let opened = opened.unwrap_or_else(|error| Err(io::Error::other(error).into()));
    let (log, recovered) = opened.map_err(|error| StartError::Stream {
        stream: name.clone(),
        reason: StreamError::Log {
            folder: folder.clone(),
            error,
        },
    })?;
    report(name, &folder, &recovered);
    Ok(log)
}

fn report(name: &StreamName, folder: &Path, recovered: &Recovered) {
    let folder = folder.display();
    if recovered.cut_bytes > 0 {
        let bytes = recovered.cut_bytes;
        tracing::info!(
            "stream `{name}`: {bytes} bytes of an unfinished write were cut off its log"
        );
    }
    if recovered.removed > 0 {
        let removed = recovered.removed;
        tracing::info!(
            "stream `{name}`: {removed} records behind the last checkpoint were removed from its log; they are made again"
        );
    }
    for gap in &recovered.damaged {
        let (from, to) = (gap.from, gap.to);
        tracing::warn!(
            "stream `{name}`: the log in {folder} is damaged: the records at {from} to {to} are lost to readers that have not read them"
        );
    }
    if !recovered.unknown.is_empty() {
        let names = recovered.unknown.join(", ");
        tracing::warn!(
            "stream `{name}`: {folder} contains files that are not part of its log: {names}"
        );
    }
}

fn image(at: LogPosition, ended: bool) -> StageImage {
    StageImage::Log {
        log: at.log.to_string(),
        position: at.position,
        ended,
    }
}

/// Notes the position of each barrier in a log, and makes visible what a checkpoint has committed. The log is a reader
/// of the stream: a barrier is a mark between the records, and a checkpoint begins here while there is no writer.
async fn follow(log: DurableLog, mut line: Line, mut committed: watch::Receiver<u64>) {
    let mut marks = log.marks();
    let mut alignment = line.alignment();
    let mut noted: BTreeMap<u64, u64> = BTreeMap::new();
    let mut end = None;
    loop {
        tokio::select! {
            // Triggered when a mark is in the log, or nothing is appended any more.
            mark = marks.next(), if end.is_none() => match mark {
                Ok((mark, at)) => {
                    alignment.arrive(&line, 0, mark);
                    if let Some(number) = alignment.complete(&line, |_| true) {
                        alignment.release();
                        noted.insert(number, at.position);
                        line.pass(number, image(at, false));
                    }
                }
                Err(reason) => return refuse(line, &reason).await,
            },
            // Triggered when a checkpoint begins here, or is over.
            signal = line.signal(), if end.is_none() => match signal {
                Signal::Begun(begun) => {
                    let at = log.position();
                    noted.insert(begun.number, at.position);
                    line.pass(begun.number, image(at, false));
                }
                Signal::Over => alignment.release_if_over(&line),
            },
            // Triggered when the stream has ended for good.
            () = log.ended(), if end.is_none() => {
                let at = log.position();
                end = Some((line.begun(), at.position));
                line.ends(image(at, true));
            }
            // Triggered when a checkpoint is committed.
            changed = committed.changed() => {
                if changed.is_err() {
                    return;
                }
                let number = *committed.borrow_and_update();
                let ended = end.filter(|(since, _)| number >= *since);
                let position = noted.remove(&number).or(ended.map(|(_, position)| position));
                if let Some(position) = position {
                    log.commit(position);
                }
                noted.retain(|other, _| *other > number);
            }
        }
    }
}

/// Gives up every checkpoint, because the log has failed.
async fn refuse(mut line: Line, reason: &str) {
    loop {
        let number = line.barrier().await;
        line.refuse(number, reason.to_owned());
    }
}
