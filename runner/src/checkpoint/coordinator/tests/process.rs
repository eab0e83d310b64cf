//! [`Process`]: a process that runs a [`Graph`] with checkpoints.

use std::path::Path;

use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    graph::{Graph, Stage, Sums, record},
    worker::{Worker, run},
    *,
};
use crate::checkpoint::NextLine;

/// Longer than a process takes, and not so long that a barrier that never comes is waited for: 30 s. The checkpoint is
/// then given up, with the stages that it has not passed.
const EVERY: Duration = Duration::from_secs(30);

/// A running process.
pub(super) struct Process {
    graph: Graph,
    pub(super) checkpoints: Checkpoints,
    /// The state at its start.
    pub(super) restored: BTreeMap<StageId, StageImage>,
    network: Network,
    /// `None` once all writers have ended.
    streams: Arc<Mutex<Vec<Option<FramesProducer>>>>,
    tasks: JoinSet<()>,
    running: Vec<Running>,
    /// Receives the streams that a stage has left.
    left: mpsc::UnboundedSender<Vec<usize>>,
}

/// The handles to a stage.
struct Running {
    next_line: NextLine,
    is_rewired: Arc<Notify>,
    /// Stops a source, which answers with its position.
    stop: Option<oneshot::Sender<oneshot::Sender<u64>>>,
    start: u64,
}

pub(super) fn id(stage: usize) -> StageId {
    StageId::new(format!("stage {stage:02}"))
}

fn name(stream: usize) -> String {
    format!("stream {stream}")
}

/// Returns the sums of a stage in a checkpoint.
pub(super) fn sums_of(image: &StageImage) -> Sums {
    let StageImage::Operator { instances, .. } = image else {
        panic!("{image:?}");
    };
    instances.iter().fold((0, 0), |(sum, count), instance| {
        let own = instance.entries[0].1.as_slice().try_into().unwrap();
        let own = u64::from_be_bytes(own);
        (u64::wrapping_add(sum, own), count + instance.kept)
    })
}

impl Process {
    pub(super) async fn start(folder: &Path, graph: &Graph) -> Self {
        let network = network().await;
        let (ledger, last) = Ledger::open(folder).unwrap();
        let checkpoints = Checkpoints::start(ledger, EVERY);
        let streams = (0..graph.streams).map(|stream| Some(producer(&network, &name(stream))));
        let streams = Arc::new(Mutex::new(streams.collect()));
        let mut tasks = JoinSet::new();
        let (left, leaving) = mpsc::unbounded_channel();
        let writers = (0..graph.streams).map(|stream| {
            let writes = |stage: &&Stage| stage.writes().any(|to| to == stream);
            graph.stages.iter().filter(writes).count()
        });
        tasks.spawn(end_streams(
            Arc::clone(&streams),
            writers.collect(),
            leaving,
        ));
        let mut process = Self {
            graph: graph.clone(),
            checkpoints,
            restored: last.map(|last| last.stages).unwrap_or_default(),
            network,
            streams,
            tasks,
            running: Vec::new(),
            left,
        };
        // All subscribe before anything is sent.
        let inputs = graph.stages.iter().map(|stage| {
            let inputs = stage.inputs.iter();
            let inputs = inputs.map(|stream| consumer(&process.network, &name(*stream)));
            inputs.collect::<Vec<_>>()
        });
        let inputs: Vec<_> = inputs.collect();
        let mut lines: Vec<_> = (0..graph.stages.len())
            .rev()
            .map(|stage| process.join(stage, 1, true).unwrap())
            .collect();
        for (stage, inputs) in inputs.into_iter().enumerate() {
            let line = lines.pop().unwrap();
            process.launch(stage, inputs, line);
        }
        process
    }

    fn stream(&self, stream: usize) -> Option<FramesProducer> {
        self.streams.lock().unwrap()[stream].clone()
    }

    /// Returns a line for a stage; `None` if one of its outputs has ended.
    fn join(&self, stage: usize, start: u64, is_new: bool) -> Option<Line> {
        let of = &self.graph.stages[stage];
        let inputs: Vec<_> = of.inputs.iter().map(|stream| name(*stream)).collect();
        let outputs: Option<Vec<_>> = of
            .writes()
            .map(|stream| Some((name(stream), self.stream(stream)?)))
            .collect();
        let outputs = outputs?;
        let outputs = outputs.iter().map(|(name, to)| (name.as_str(), to.clone()));
        let inputs = inputs.iter().map(|name| (name.as_str(), is_new));
        Some(self.checkpoints.join((id(stage), start), inputs, outputs))
    }

    fn launch(&mut self, stage: usize, inputs: Vec<FramesConsumer>, line: Line) {
        let of = self.graph.stages[stage].clone();
        let (next_line, is_rewired) = (NextLine::default(), Arc::new(Notify::new()));
        let restored = self.restored.get(&id(stage));
        let mut stop = None;
        if of.is_source() {
            let from = restored.map_or(0, number);
            stop = Some(self.launch_source(stage, from, line));
        } else {
            let sums = restored.map_or((0, 0), sums_of);
            let worker = Worker {
                output: of.output.and_then(|stream| self.stream(stream)),
                letters: of.letters.and_then(|stream| self.stream(stream)),
                stage: of.clone(),
            };
            let (left, checkpoints) = (self.left.clone(), self.checkpoints.clone());
            let writes = of.writes().collect();
            let next = (next_line.clone(), Arc::clone(&is_rewired));
            self.tasks.spawn(async move {
                run(inputs, worker, sums, line, next).await;
                checkpoints.leave(id(stage), 1);
                let _ = left.send(writes);
            });
        }
        self.running.push(Running {
            next_line,
            is_rewired,
            stop,
            start: 1,
        });
    }

    fn launch_source(
        &mut self,
        stage: usize,
        from: u64,
        mut line: Line,
    ) -> oneshot::Sender<oneshot::Sender<u64>> {
        let of = self.graph.stages[stage].clone();
        let output = of.output.and_then(|stream| self.stream(stream)).unwrap();
        let (left, writes) = (self.left.clone(), of.writes().collect());
        let (stop, mut stopped) = oneshot::channel::<oneshot::Sender<u64>>();
        self.tasks.spawn(async move {
            let mut next = from;
            while next < of.count {
                tokio::select! {
                    biased;
                    Ok(answer) = &mut stopped => {
                        drop((line, output));
                        let _ = answer.send(next);
                        return;
                    }
                    signal = line.source_signal() => {
                        if let SourceSignal::Begun(begun) = signal {
                            line.pass(begun.number, position(next));
                            if begun.is_last {
                                return std::future::pending().await;
                            }
                        }
                        continue;
                    }
                    () = tokio::task::yield_now(), if line.is_open() => {}
                }
                let frames = Frames::single(&record(stage, next).to_be_bytes());
                output.send_frames(frames).await.unwrap();
                next += 1;
            }
            line.ends(position(next));
            drop((line, output));
            let _ = left.send(writes);
        });
        stop
    }

    /// Replaces the line of a running stage, as a reload does whose stages have other outputs.
    pub(super) fn rewire(&self, stage: usize) {
        let running = &self.running[stage];
        if let Some(line) = self.join(stage, running.start, false) {
            running.next_line.set(|| line);
            running.is_rewired.notify_one();
        }
    }

    /// Stops a source and lets another one go on at its position, as a reload does.
    pub(super) async fn hand_over(&mut self, stage: usize) {
        let (answer, position) = oneshot::channel();
        let Some(stop) = self.running[stage].stop.take() else {
            return;
        };
        if stop.send(answer).is_err() {
            return;
        }
        // It may have ended instead.
        let Ok(next) = within("the position of a source", position).await else {
            return;
        };
        let start = self.running[stage].start;
        self.checkpoints.leave(id(stage), start);
        tokio::task::yield_now().await;
        self.running[stage].start += 1;
        let line = self.join(stage, start + 1, true).unwrap();
        self.running[stage].stop = Some(self.launch_source(stage, next, line));
    }

    /// Returns true if the stage has ended, or ends.
    pub(super) fn is_finite(&self, stage: usize) -> bool {
        let of = &self.graph.stages[stage];
        let writers = |stream: usize| {
            let writes = move |(_, stage): &(usize, &Stage)| stage.writes().any(|to| to == stream);
            self.graph.stages.iter().enumerate().filter(writes)
        };
        if of.is_source() {
            return of.count < u64::MAX;
        }
        let mut writers = of.inputs.iter().flat_map(|stream| writers(*stream));
        writers.all(|(writer, _)| self.is_finite(writer))
    }

    /// Ends all tasks at once, and closes the ledger.
    pub(super) async fn kill(mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            ended.unwrap();
        }
        self.tasks.shutdown().await;
        self.checkpoints.close().await;
    }
}

/// Ends each stream after its last writer.
async fn end_streams(
    streams: Arc<Mutex<Vec<Option<FramesProducer>>>>,
    mut writers: Vec<usize>,
    mut leaving: mpsc::UnboundedReceiver<Vec<usize>>,
) {
    while let Some(left) = leaving.recv().await {
        for stream in left {
            writers[stream] -= 1;
            let taken = (writers[stream] == 0).then(|| streams.lock().unwrap()[stream].take());
            if let Some(producer) = taken.flatten() {
                tokio::spawn(producer.finish());
            }
        }
    }
}
