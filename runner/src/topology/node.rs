//! [`Node`]: a node that runs a graph.

mod reload;
mod shutdown;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mosaik_streams::{EndpointAddr, Network};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    build::parts_of,
    error::StartError,
    inspect::{Observer, RunTotals, View, watch_readers},
    recovery::{Recovery, logs_folder},
    settings::Settings,
    stages::{EndNotice, Stages},
    start,
    streams::{Logs, Outlets},
};
use crate::{components::Library, graph::Graph};

/// Time that a reload waits for stages that are about to end: 2 s.
const SETTLE: Duration = Duration::from_secs(2);

/// A node that runs a graph.
#[derive(Debug)]
pub struct Node {
    graph: Arc<Graph>,
    generation: u64,
    settings: Settings,
    library: Arc<Library>,
    network: Network,
    stages: Stages,
    outlets: Outlets,
    totals: RunTotals,
    observer: Observer,
    /// The task that logs the readers of shared streams.
    readers: JoinSet<()>,
}

/// The state that a restarted node inherits from its predecessor.
struct Past {
    generation: u64,
    totals: RunTotals,
    observer: Option<Observer>,
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
            totals: RunTotals::default(),
            observer: None,
        };
        Self::start_after(past, Arc::new(graph), library, settings).await
    }

    async fn start_after(
        past: Past,
        graph: Arc<Graph>,
        library: Arc<Library>,
        settings: &Settings,
    ) -> Result<Self, StartError> {
        let network = start::join(&graph, settings).await?;
        start::check_machine(&graph, library.waiting())?;
        let mut recovery = Recovery::open(&graph, settings).await?;
        let mut parts = parts_of(&graph, graph.stages(), &library).await?;
        let mut logs = Logs::new(logs_folder(&graph, settings));
        let new_logs = logs
            .prepare(&graph, &recovery.log_positions(&graph)?)
            .await?;
        recovery.restore(&mut parts, new_logs).await?;
        let checkpoints = recovery.start();
        logs.set_checkpoints(checkpoints.clone());
        let Past {
            generation,
            totals,
            observer,
        } = past;
        let discovery = network.discovery().clone();
        let view = View::new(Arc::clone(&graph), generation, discovery, totals.clone());
        let observer = match observer {
            Some(observer) => {
                observer.publish(view);
                observer
            }
            None => Observer::new(view),
        };
        let mut node = Self {
            graph: Arc::clone(&graph),
            generation,
            // What a first start discards is not there for the next one in this process.
            settings: Settings {
                fresh: false,
                ..settings.clone()
            },
            library,
            stages: Stages::new(network.clone(), totals.clone(), checkpoints),
            outlets: Outlets::new(network.clone(), totals.clone(), logs),
            network,
            totals,
            observer,
            readers: JoinSet::new(),
        };
        let active = node.stages.active(&graph);
        let opened = node.outlets.open_for(parts.keys(), &active);
        let launch = |()| {
            node.stages
                .launch(&graph, &node.outlets, parts, BTreeMap::new())
        };
        if let Err(error) = opened.and_then(launch) {
            // A node that is started instead needs them at once.
            node.stages.close_checkpoints().await;
            return Err(error);
        }
        node.show();
        if graph.network.is_some() {
            node.readers.spawn(watch_readers(node.observer()));
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
        self.graph.is_networked() && !self.totals.summary(self.generation).has_failures()
    }

    /// Returns an observer of this node.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Waits until all stages have ended. Cancel safe.
    pub async fn done(&mut self) {
        while !(self.stages.is_empty() && self.outlets.all_are_read()) {
            // Triggered when a stage has ended, or the readers of an ended stream have read all of
            // it.
            tokio::select! {
                Some(notice) = self.stages.next_notice() => {
                    self.stage_ended(&notice);
                }
                true = self.outlets.next_read() => {}
            }
        }
    }

    /// Processes the pending end notices of stages and streams.
    fn catch_up(&mut self) {
        while let Some(notice) = self.stages.pending_notice() {
            self.stage_ended(&notice);
        }
        self.outlets.forget_read();
    }

    /// Like [`catch_up`](Self::catch_up), and also waits at most [`SETTLE`] for stages that are
    /// about to end, so that callers do not treat these as running.
    async fn settle_down(&mut self) {
        let until = Instant::now() + SETTLE;
        self.catch_up();
        while self.stages.any_is_ending(&self.graph, &self.outlets)
            && let Ok(Some(notice)) = timeout_at(until, self.stages.next_notice()).await
        {
            self.stage_ended(&notice);
            self.catch_up();
        }
    }

    fn stage_ended(&mut self, notice: &EndNotice) {
        if self.stages.end(&self.graph, notice) {
            self.end_unneeded();
            self.show();
        }
    }

    /// Ends the streams without writers and stops the writers without readers.
    fn end_unneeded(&mut self) {
        self.outlets.end_unwritten(&self.stages.active(&self.graph));
        self.stages.stop_unread(&self.graph);
    }

    /// Publishes the current state to observers.
    fn show(&mut self) {
        self.outlets.keep_logs_of(&self.graph);
        self.stages.follow(&self.graph, &self.outlets);
        let discovery = self.network.discovery().clone();
        let view = View::new(
            Arc::clone(&self.graph),
            self.generation,
            discovery,
            self.totals.clone(),
        );
        let view = view.with(
            self.stages.keys().cloned().collect(),
            self.stages.inlets().controls().clone(),
            self.outlets.controls(),
        );
        let checkpoints = self.stages.checkpoints();
        let checkpoints = checkpoints.map(|checkpoints| checkpoints.progress());
        self.observer.publish(view.with_checkpoints(checkpoints));
    }
}
