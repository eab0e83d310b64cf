//! A node that runs a graph.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use mosaik_streams::{
    EndpointAddr, FramesProducer, Network,
    network::{BindError, Error as NetworkError},
    status::When,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    IdentityError, Library,
    build::{BuildError, Parts, partitioning_of, parts_of},
    edges,
    join::join,
    observer::{Observer, View},
    readers,
    running::{EndNotice, Ready, Running},
    settings::Settings,
    streams::Ending,
    summary::RunTotals,
};
use crate::{
    graph::{
        self, Edge, Graph, OnError as OnErrorConfig, Part, Role, Scope, Stage, StageKey, StageKind,
        StreamName,
    },
    machine::{self, Shortage},
    stage::{End, Ended, Input, OnError, OperatorStage, OutputPort, SinkStage, SourceStage},
};

/// Time limit for a node to drain when it is asked to stop: 30 s.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// Time that a reload waits for stages that are about to end: 2 s.
const SETTLE: Duration = Duration::from_secs(2);
/// Failure reason of a stage that did not stop in time.
pub(super) const LEFT_BEHIND: &str = "it did not stop in time and was abandoned";
/// Capacity of the queue of end notices: 64. A stage that ends while the queue is full waits.
const NOTICES_MAX: usize = 64;

/// The reason why a node did not start, or did not apply a new generation.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node has no key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The node could not join the network.
    #[error("cannot join the network: {0}")]
    Network(NetworkError),
    /// A stage could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A stream could not be opened.
    #[error("stream `{stream}`: {reason}")]
    Stream {
        /// The stream.
        stream: StreamName,
        /// The reason, as one sentence.
        reason: String,
    },
    /// The operating system provides too few threads or too little memory.
    #[error("{0}")]
    Machine(String),
}

impl StartError {
    /// Returns the part of the manifest that the error concerns, if there is one.
    pub fn part(&self) -> Option<Part> {
        match self {
            Self::Network(NetworkError::Bind(BindError::Socket { addr, .. })) => {
                Some(Part::Listen(*addr))
            }
            Self::Build(error) => Some(Part::Stage(error.stage.clone())),
            _ => None,
        }
    }
}

/// The state that a restarted node inherits from its predecessor.
pub(super) struct Past {
    pub(super) generation: u64,
    pub(super) run_totals: RunTotals,
    pub(super) observer: Option<Observer>,
}

/// A node that runs a graph.
#[derive(Debug)]
pub struct Node {
    pub(super) graph: Arc<Graph>,
    pub(super) observer: Observer,
    pub(super) generation: u64,
    pub(super) settings: Settings,
    pub(super) library: Arc<Library>,
    pub(super) network: Network,
    /// This node's own handle to each stream that is written here.
    pub(super) producers: BTreeMap<StreamName, FramesProducer>,
    pub(super) stages: BTreeMap<StageKey, Running>,
    pub(super) run_totals: RunTotals,
    /// Streams that have ended but still have active readers.
    pub(super) ending: JoinSet<StreamName>,
    pub(super) endings: BTreeMap<StreamName, Ending>,
    /// The shared streams that each source waits for.
    pub(super) demands: BTreeMap<StageKey, watch::Sender<Vec<When>>>,
    /// The task that logs the readers of shared streams.
    readers: JoinSet<()>,
    /// Stages that should run but could not be started.
    pub(super) owed: BTreeSet<StageKey>,
    /// Stages that were stopped because their output had no readers.
    pub(super) unread: BTreeSet<StageKey>,
    notices: mpsc::Receiver<EndNotice>,
    notify: mpsc::Sender<EndNotice>,
    starts: u64,
}

impl Node {
    /// Builds all stages and starts them, readers before writers.
    ///
    /// # Errors
    /// If any stage cannot be built, none is started.
    pub async fn start(
        graph: Graph,
        library: Arc<Library>,
        settings: &Settings,
    ) -> Result<Self, StartError> {
        let past = Past {
            generation: 1,
            run_totals: RunTotals::default(),
            observer: None,
        };
        Self::start_after(past, graph, library, settings).await
    }

    pub(super) async fn start_after(
        past: Past,
        graph: Graph,
        library: Arc<Library>,
        settings: &Settings,
    ) -> Result<Self, StartError> {
        let network = join(&graph, settings).await?;
        let instances = graph.stages().map(Stage::instances).sum();
        let threads = graph.stages().map(Stage::threads).sum();
        machine::check_instances(instances)
            .and_then(|()| machine::check_threads(threads))
            .map_err(|shortage| StartError::Machine(shortage.to_string()))?;
        let parts = parts_of(&graph, graph.stages(), &library).await?;
        let (notify, notices) = mpsc::channel(NOTICES_MAX);
        let Past {
            generation,
            run_totals,
            observer,
        } = past;
        let graph = Arc::new(graph);
        let view = View {
            graph: Arc::clone(&graph),
            generation,
            discovery: network.discovery().clone(),
            run_totals: run_totals.clone(),
            edges: BTreeMap::new(),
            producers: BTreeMap::new(),
            running: BTreeSet::new(),
            reloads: VecDeque::new(),
        };
        let observer = match observer {
            Some(observer) => observer.of_next_life(view),
            None => Observer::new(view),
        };
        let mut node = Self {
            graph,
            observer,
            generation,
            settings: settings.clone(),
            library,
            network,
            producers: BTreeMap::new(),
            stages: BTreeMap::new(),
            run_totals,
            ending: JoinSet::new(),
            endings: BTreeMap::new(),
            demands: BTreeMap::new(),
            readers: JoinSet::new(),
            owed: BTreeSet::new(),
            unread: BTreeSet::new(),
            notices,
            notify,
            starts: 0,
        };
        node.open_streams_for(&parts)?;
        node.launch(parts, BTreeMap::new())?;
        node.show();
        if node.graph.network.is_some() {
            node.readers.spawn(readers::watch(node.observer()));
        }
        Ok(node)
    }

    /// Returns the number of the running generation. The node starts with 1.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the running graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the node's network identity and listen addresses, or `None` while nothing is shared.
    pub fn address(&self) -> Option<EndpointAddr> {
        self.graph
            .is_networked()
            .then(|| self.network.local().addr())
    }

    /// Returns true if the node keeps serving other nodes after its inputs have ended: it shares
    /// streams, and no stage has failed.
    pub fn is_a_service(&self) -> bool {
        self.graph.is_networked() && !self.run_totals.summary(self.generation).has_failures()
    }

    /// Waits until all stages have ended. Cancel safe.
    pub async fn done(&mut self) {
        while !(self.stages.is_empty() && self.ending.is_empty()) {
            // Triggered when a stage has ended, or the readers of an ended stream have read all of
            // it.
            tokio::select! {
                Some(notice) = self.notices.recv() => self.stage_ended(&notice),
                Some(ended) = self.ending.join_next() => self.stream_ended(ended),
            }
        }
    }

    /// Processes the pending end notices of stages and streams.
    pub(super) fn catch_up(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            self.stage_ended(&notice);
        }
        while let Some(ended) = self.ending.try_join_next() {
            self.stream_ended(ended);
        }
    }

    /// Like [`catch_up`](Self::catch_up), and also waits at most [`SETTLE`] for stages that are
    /// about to end, so that callers do not treat these as running.
    pub(super) async fn settle_down(&mut self) {
        let until = Instant::now() + SETTLE;
        self.catch_up();
        while self.stages.keys().any(|key| self.is_ending(key))
            && let Ok(Some(notice)) = timeout_at(until, self.notices.recv()).await
        {
            self.stage_ended(&notice);
            self.catch_up();
        }
    }

    /// Returns true if a stage has no more work: it was stopped because its output had no readers,
    /// or all its input streams have ended and were read.
    fn is_ending(&self, key: &StageKey) -> bool {
        let reads_nothing_more = |stage: &Stage| {
            stage.edges().next().is_some() && stage.edges().all(|edge| self.is_over(&edge.stream))
        };
        self.unread.contains(key) || self.graph.stage(key).is_some_and(reads_nothing_more)
    }

    fn stage_ended(&mut self, notice: &EndNotice) {
        // Ignore a notice from a start of the stage that has since been replaced.
        let running = self.stages.get_mut(&notice.stage);
        let Some(running) = running.filter(|running| running.start == notice.start) else {
            return;
        };
        let ended = running.take_ended();
        self.stages.remove(&notice.stage);
        self.settle(&notice.stage, ended);
        self.end_streams_without_writers();
        self.stop_writers_without_readers();
        self.show();
    }

    /// Records the end of a stage and closes its subscriptions.
    pub(super) fn settle(&mut self, stage: &StageKey, ended: Option<Ended>) {
        let ended = ended.unwrap_or_else(|| {
            // The records queued on its edges are lost with it.
            let view = self.observer.view();
            let edges = view.edges.iter().filter(|((key, _), _)| key == stage);
            let queued = edges.filter_map(|(_, edge)| Some(edge.read()?.queued.0));
            self.run_totals
                .counters(stage)
                .queue_undelivered(queued.sum());
            Ended {
                end: End::Failed(LEFT_BEHIND.into()),
                inputs: Vec::new(),
                source: None,
            }
        });
        let mut ended = ended;
        if let (End::Failed(reason), Some(stage)) = (&mut ended.end, self.graph.stage(stage)) {
            *reason = stage.mask(std::mem::take(reason));
        }
        match &ended.end {
            End::Failed(reason) => tracing::error!("{stage} failed: {reason}"),
            end => tracing::debug!("{stage} has ended: {end:?}"),
        }
        self.let_go(stage, ended.inputs);
        let held = ended.source.as_ref().map_or(0, |(_, held)| held.count());
        self.run_totals.counters(stage).undelivered(held);
        self.run_totals.note_end(stage, ended.end);
    }

    /// Closes subscriptions of a stage. The records that they hold count as undelivered.
    fn let_go(&self, stage: &StageKey, inputs: Vec<Input>) {
        for input in inputs {
            let stats = input.consumer.close();
            self.run_totals.note_consumer(stage, &stats);
            let closed = usize::try_from(stats.dropped.closed).unwrap_or(usize::MAX);
            self.run_totals.counters(stage).queue_undelivered(closed);
        }
    }

    /// Assembles stages from their parts and edges and starts them, readers before writers.
    /// `inherited` holds the subscriptions that continue from their predecessors.
    pub(super) fn launch(
        &mut self,
        mut parts: BTreeMap<StageKey, Parts>,
        mut inherited: BTreeMap<StageKey, Vec<Input>>,
    ) -> Result<(), StartError> {
        let launched = self.launch_all(&mut parts, &mut inherited);
        // Close subscriptions that remain after a failure, or whose stage no longer exists.
        for (key, inputs) in inherited {
            self.let_go(&key, inputs);
        }
        for (key, parts) in parts {
            if let Parts::Source(_, held) = parts {
                self.run_totals.counters(&key).undelivered(held.count());
            }
        }
        launched
    }

    fn launch_all(
        &mut self,
        parts: &mut BTreeMap<StageKey, Parts>,
        inherited: &mut BTreeMap<StageKey, Vec<Input>>,
    ) -> Result<(), StartError> {
        let graph = Arc::clone(&self.graph);
        // Stages that start together and read the same stream all receive its first record.
        let _together = self.network.streams().hold_subscriptions();
        let mut stages: Vec<&Stage> = graph.stages().collect();
        stages.sort_by_key(|stage| std::cmp::Reverse(stage.key.role));
        for stage in stages {
            let id = stage.key.clone();
            let Some(parts) = parts.remove(&id) else {
                continue;
            };
            let inherited = inherited.remove(&id).unwrap_or_default();
            if id.role == Role::Producer {
                self.show_demand_to(&id);
            }
            let ready = self.assemble(stage, parts, inherited)?;
            self.starts += 1;
            let running = Running::start(ready, id.clone(), self.starts, self.notify.clone())
                .map_err(|_| StartError::Machine(Shortage::of_threads().to_string()))?;
            self.run_totals.note_start(&id);
            self.owed.remove(&id);
            self.unread.remove(&id);
            self.stages.insert(id, running);
        }
        Ok(())
    }

    fn assemble(
        &self,
        stage: &Stage,
        parts: Parts,
        inherited: Vec<Input>,
    ) -> Result<Ready, StartError> {
        let counters = self.run_totals.counters(&stage.key);
        let mut inherited: BTreeMap<u32, Input> = inherited
            .into_iter()
            .map(|input| (input.port, input))
            .collect();
        let mut input = |port: u32, edge: &Edge| match inherited.remove(&port) {
            Some(input) => Ok(input),
            None => self.subscribe(&stage.key, port, edge),
        };
        Ok(match (&stage.kind, parts) {
            (StageKind::Source { to, .. }, Parts::Source(source, held)) => {
                Ready::Source(Box::new(SourceStage {
                    source,
                    held,
                    output: self.producers[to].clone(),
                    demand: self.demand_on(&stage.key),
                    counters,
                }))
            }
            (StageKind::Sink { from, .. }, Parts::Sink(sink, transcoder)) => {
                Ready::Sink(SinkStage {
                    input: input(0, from)?,
                    sink,
                    transcoder,
                    counters,
                })
            }
            (
                StageKind::Operator(operator),
                Parts::Operator {
                    instances,
                    blueprint,
                    converters,
                },
            ) => {
                let known = &operator.info.inputs;
                let inputs = operator.inputs.iter().map(|wired| {
                    let port = known
                        .iter()
                        .position(|name| name == wired.port.as_str())
                        .unwrap_or_default();
                    input(port as u32, &wired.edge)
                });
                Ready::Operator(Box::new(OperatorStage {
                    name: stage.key.name.to_string(),
                    instances,
                    partitioning: partitioning_of(operator),
                    blueprint: *blueprint,
                    inputs: inputs.collect::<Result<_, _>>()?,
                    outputs: self.outputs(operator),
                    converters,
                    settings: self.settings(operator),
                    counters,
                }))
            }
            (_, _) => unreachable!("the parts of a stage are built by its kind"),
        })
    }

    /// Returns the destinations of an operator's output, in the order of its component's ports.
    pub(super) fn outputs(&self, operator: &graph::OperatorStage) -> Vec<OutputPort> {
        let outputs = operator.info.outputs.iter().map(|port| {
            let mut wired = operator.outputs.iter();
            let wired = wired.find(|wired| wired.port.as_str() == port);
            OutputPort {
                producer: wired.map(|wired| self.producers[&wired.stream].clone()),
            }
        });
        outputs.collect()
    }

    pub(super) fn on_error(&self, policy: &OnErrorConfig) -> OnError {
        match policy {
            OnErrorConfig::Unset => OnError::Skip { explicit: false },
            OnErrorConfig::Skip => OnError::Skip { explicit: true },
            OnErrorConfig::Stop => OnError::Stop,
            OnErrorConfig::Restart => OnError::Restart,
            OnErrorConfig::To(stream) => OnError::To(self.producers[stream].clone()),
        }
    }

    fn subscribe(&self, key: &StageKey, port: u32, edge: &Edge) -> Result<Input, StartError> {
        let stream = &self.graph.streams[&edge.stream];
        let consumer = edges::open_consumer(&self.network, stream, edge).map_err(|reason| {
            StartError::Stream {
                stream: edge.stream.clone(),
                reason,
            }
        })?;
        let mut view = self.observer.view();
        view.edges.insert((key.clone(), port), consumer.control());
        drop(view);
        Ok(Input {
            port,
            shared: stream.settings.scope == Scope::Network,
            consumer,
        })
    }
}
