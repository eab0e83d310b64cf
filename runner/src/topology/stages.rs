//! [`Stages`]: the running stages of a node.

mod demand;
mod launch;
mod policies;
mod running;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mosaik_streams::Network;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    demand::Demands,
    launch::{Assembly, line},
    policies::Policies,
    running::Running,
};
pub(super) use self::{
    launch::{outputs, settings, stage_id},
    running::{Agreement, EndNotice},
};
use super::{
    build::{Parts, PartsOf},
    error::StartError,
    inspect::{LEFT_BEHIND, RunTotals},
    streams::{Active, Inlets, Outlets},
};
use crate::{
    checkpoint::{Checkpoints, Line},
    graph::{Graph, Stage, StageKey, StageKind},
    machine::Shortage,
    stage::{Drain, End, Ended, Input, Reading, Update, UpdateError},
};

/// Capacity of the queue of end notices: 64. A stage that ends while the queue is full waits.
const NOTICES_MAX: usize = 64;

/// The running stages of a node, with their subscriptions.
#[derive(Debug)]
pub(super) struct Stages {
    network: Network,
    totals: RunTotals,
    running: BTreeMap<StageKey, Running>,
    inlets: Inlets,
    demands: Demands,
    policies: Policies,
    /// Stages that should run but could not be started.
    owed: BTreeSet<StageKey>,
    /// Stages that were stopped because their output had no readers.
    unread: BTreeSet<StageKey>,
    notices: mpsc::Receiver<EndNotice>,
    notify: mpsc::Sender<EndNotice>,
    starts: u64,
    /// The checkpoints of the node, if it takes any.
    checkpoints: Option<Checkpoints>,
}

impl Stages {
    pub(super) fn new(
        network: Network,
        totals: RunTotals,
        checkpoints: Option<Checkpoints>,
    ) -> Self {
        let (notify, notices) = mpsc::channel(NOTICES_MAX);
        Self {
            inlets: Inlets::new(network.clone()),
            network,
            totals,
            running: BTreeMap::new(),
            demands: Demands::default(),
            policies: Policies::default(),
            owed: BTreeSet::new(),
            unread: BTreeSet::new(),
            notices,
            notify,
            starts: 0,
            checkpoints,
        }
    }

    /// Returns the checkpoints of the node, if it takes any.
    pub(super) fn checkpoints(&self) -> Option<Checkpoints> {
        self.checkpoints.clone()
    }

    /// Takes no more checkpoints, and closes their file.
    pub(super) async fn close_checkpoints(&mut self) {
        if let Some(checkpoints) = self.checkpoints.take() {
            checkpoints.close().await;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Returns the number of stages that run.
    pub(super) fn count(&self) -> usize {
        self.running.len()
    }

    /// Returns true if a stage runs.
    pub(super) fn runs(&self, key: &StageKey) -> bool {
        self.running.contains_key(key)
    }

    /// Returns the stages that run.
    pub(super) fn keys(&self) -> impl Iterator<Item = &StageKey> {
        self.running.keys()
    }

    /// Returns the stages that run, as part of a graph.
    pub(super) fn active<'a>(&'a self, graph: &'a Graph) -> Active<'a> {
        Active::new(graph, self.keys())
    }

    /// Returns true if a stage does not run but should: it could not be started, or has failed.
    pub(super) fn is_owed(&self, key: &StageKey) -> bool {
        self.owed.contains(key) || self.totals.has_failed(key)
    }

    /// Returns true if a stage has run and ended.
    pub(super) fn has_ended(&self, key: &StageKey) -> bool {
        self.totals.has_ended(key)
    }

    /// Returns true if a stage was stopped because its output had no readers.
    pub(super) fn was_unread(&self, key: &StageKey) -> bool {
        self.unread.contains(key)
    }

    /// Sets the stages that are about to be started. A started stage is no longer owed.
    pub(super) fn owe(&mut self, stages: BTreeSet<StageKey>) {
        self.owed = stages;
    }

    /// Returns the subscriptions.
    pub(super) const fn inlets(&self) -> &Inlets {
        &self.inlets
    }

    /// Forgets the subscriptions that are not in the graph, and updates the demand of all sources.
    pub(super) fn follow(&mut self, graph: &Graph, outlets: &Outlets) {
        self.demands.update(graph, outlets);
        self.inlets.keep_those_of(graph);
        if let Some(checkpoints) = &self.checkpoints {
            let stages = graph.stages().map(|stage| stage_id(&stage.key));
            let members: Vec<_> = stages.chain(outlets.logs().ids()).collect();
            checkpoints.keep(&members);
        }
    }

    /// Waits for the notice that a stage has ended. Cancel safe.
    pub(super) async fn next_notice(&mut self) -> Option<EndNotice> {
        self.notices.recv().await
    }

    /// Returns the next pending notice that a stage has ended.
    pub(super) fn pending_notice(&mut self) -> Option<EndNotice> {
        self.notices.try_recv().ok()
    }

    /// Records the end of a stage. Returns false if the notice is about a start of the stage that
    /// has since been replaced.
    pub(super) fn end(&mut self, graph: &Graph, notice: &EndNotice) -> bool {
        let running = self.running.get_mut(&notice.stage);
        let Some(running) = running.filter(|running| running.is_meant_by(notice)) else {
            return false;
        };
        let ended = running.take_ended();
        self.running.remove(&notice.stage);
        self.leave(&notice.stage, notice.start());
        self.settle(graph, &notice.stage, ended);
        true
    }

    /// Returns true if a running stage has no more work: it was stopped because its output had no
    /// readers, or all its input streams have ended and were read.
    pub(super) fn any_is_ending(&self, graph: &Graph, outlets: &Outlets) -> bool {
        let reads_nothing_more = |stage: &Stage| {
            stage.edges().next().is_some()
                && stage
                    .edges()
                    .all(|edge| outlets.is_over(graph, &edge.stream))
        };
        self.keys().any(|key| {
            self.unread.contains(key) || graph.stage(key).is_some_and(reads_nothing_more)
        })
    }

    /// Stops the stages whose output streams are all private and whose readers have all ended.
    /// Otherwise these stages would wait forever.
    pub(super) fn stop_unread(&mut self, graph: &Graph) {
        let active = self.active(graph);
        let mut unread = Vec::new();
        for (key, running) in &self.running {
            let Some(stage) = graph.stage(key) else {
                continue;
            };
            if stage.results().next().is_some()
                && !stage.results().any(|stream| active.is_read(stream))
                && running.give_up()
            {
                tracing::info!("{key} stops: its output has no reader any more");
                unread.push(key.clone());
            }
        }
        self.unread.extend(unread);
    }

    /// Starts to stop a stage; see [`Running::stop`]. The result has to be settled. Returns `None`
    /// if it does not run.
    pub(super) fn stop<'s>(
        &mut self,
        key: &StageKey,
        drain: Drain,
        over: impl Future<Output = ()> + 's,
        hurry: &'s CancellationToken,
    ) -> Option<impl Future<Output = Option<Ended>> + 's> {
        let running = self.running.remove(key)?;
        let checkpoints = self.checkpoints.clone();
        let (id, start) = (stage_id(key), running.number());
        Some(async move {
            let ended = running.stop(drain, over, hurry).await;
            if let Some(checkpoints) = checkpoints {
                checkpoints.leave(id, start);
            }
            ended
        })
    }

    /// Returns the line to the coordinator of checkpoints for a running stage whose outputs change.
    pub(super) fn line_again(&self, stage: &Stage, outlets: &Outlets) -> Line {
        let running = self.running.get(&stage.key);
        match (running, &self.checkpoints) {
            (Some(running), Some(checkpoints)) => {
                line(checkpoints, stage, running.number(), outlets, |_| false)
            }
            _ => Line::none(),
        }
    }

    /// Changes the policy of a running sink to that of the new graph; `old` is the sink in the running
    /// one. Does nothing for other stages.
    pub(super) fn retune_sink(&self, old: Option<&Stage>, new: &Stage, outlets: &Outlets) {
        let StageKind::Sink { settings, .. } = &new.kind else {
            return;
        };
        let writes_the_same = old.is_some_and(|old| old.writes().eq(new.writes()));
        let line = (!writes_the_same).then_some(|| self.line_again(new, outlets));
        self.policies.retune(&new.key, settings, outlets, line);
    }

    /// Tells the coordinator of checkpoints that a stage has ended.
    fn leave(&self, key: &StageKey, start: u64) {
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.leave(stage_id(key), start);
        }
    }

    /// Makes a running operator prepare an update; see [`Running::make_ready`]. Returns `None` if
    /// it does not run.
    pub(super) async fn make_ready(
        &self,
        key: &StageKey,
        update: Update,
        limit: Duration,
        until: Instant,
    ) -> Option<Result<Agreement, UpdateError>> {
        let running = self.running.get(key)?;
        Some(running.make_ready(update, limit, until).await)
    }

    /// Records the end of a stage and closes its subscriptions.
    pub(super) fn settle(&mut self, graph: &Graph, stage: &StageKey, ended: Option<Ended>) {
        self.policies.end(stage);
        let mut ended = ended.unwrap_or_else(|| {
            // The records queued on its edges are lost with it.
            let queued = self.inlets.queued(stage);
            self.totals.counters(stage).queue_undelivered(queued);
            Ended {
                end: End::Failed(LEFT_BEHIND.into()),
                inputs: Vec::new(),
                source: None,
            }
        });
        if let (End::Failed(reason), Some(stage)) = (&mut ended.end, graph.stage(stage)) {
            *reason = stage.mask(std::mem::take(reason));
        }
        match &ended.end {
            End::Failed(reason) => tracing::error!("{stage} failed: {reason}"),
            end => tracing::debug!("{stage} has ended: {end:?}"),
        }
        self.let_go(stage, ended.inputs);
        let held = ended.source.as_ref().map_or(0, Reading::held);
        self.totals.counters(stage).undelivered(held);
        self.totals.note_end(stage, ended.end);
    }

    /// Closes subscriptions of a stage. The records that they hold count as undelivered.
    fn let_go(&self, stage: &StageKey, inputs: Vec<Input>) {
        for input in inputs {
            let stats = input.consumer.close();
            self.totals.note_consumer(stage, &stats);
            let closed = usize::try_from(stats.dropped.closed).unwrap_or(usize::MAX);
            self.totals.counters(stage).queue_undelivered(closed);
        }
    }

    /// Assembles stages from their parts and edges and starts them, readers before writers.
    /// `inherited` holds the subscriptions that continue from their predecessors.
    pub(super) fn launch(
        &mut self,
        graph: &Graph,
        outlets: &Outlets,
        mut parts: PartsOf<'_>,
        mut inherited: BTreeMap<StageKey, Vec<Input>>,
    ) -> Result<(), StartError> {
        let launched = self.launch_all(graph, outlets, &mut parts, &mut inherited);
        // Close subscriptions that remain after a failure, or whose stage no longer exists.
        for (key, inputs) in inherited {
            self.let_go(&key, inputs);
        }
        for (key, parts) in parts {
            if let Parts::Source { reading, .. } = parts {
                self.totals.counters(&key).undelivered(reading.held());
            }
        }
        launched
    }

    fn launch_all(
        &mut self,
        graph: &Graph,
        outlets: &Outlets,
        parts: &mut PartsOf<'_>,
        inherited: &mut BTreeMap<StageKey, Vec<Input>>,
    ) -> Result<(), StartError> {
        // Stages that start together and read the same stream all receive its first record.
        let network = self.network.clone();
        let _together = network.streams().hold_subscriptions();
        let mut keys: Vec<_> = parts.keys().cloned().collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.role));
        for key in keys {
            let Some(parts) = parts.remove(&key) else {
                continue;
            };
            let assembly = Assembly {
                graph,
                outlets,
                inlets: &mut self.inlets,
                demands: &mut self.demands,
                policies: &mut self.policies,
                counters: self.totals.counters(&key),
            };
            let inherited = inherited.remove(&key).unwrap_or_default();
            self.starts += 1;
            let line = match (&self.checkpoints, graph.stage(&key)) {
                (Some(checkpoints), Some(stage)) => {
                    let continues = |port| inherited.iter().any(|input| input.port == port);
                    line(checkpoints, stage, self.starts, outlets, |port| {
                        !continues(port)
                    })
                }
                _ => Line::none(),
            };
            let ready = assembly.of(&key, parts, (inherited, line))?;
            let running = Running::start(ready, key.clone(), self.starts, self.notify.clone())
                .map_err(|_| StartError::Machine(Shortage::of_threads().to_string()))?;
            self.totals.note_start(&key);
            self.owed.remove(&key);
            self.unread.remove(&key);
            self.running.insert(key, running);
        }
        Ok(())
    }
}
