//! Collects a node's [`Status`] and the totals so far.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use mosaik_streams::{
    PeerId,
    discovery::Discovery,
    durable::DurableStatus,
    producer::ProducerControl,
    status::{ChannelInfo, State},
};

use super::{
    Observer,
    observer::View,
    report::{
        ChannelStatus, CheckpointStatus, EdgeStatus, LogReader, LogStatus, PeerStatus, StageStatus,
        Status, StreamStatus,
    },
    summary::{StageSummary, Summary, add},
};
use crate::{checkpoint::Progress, graph::Scope, stage::End};

/// Maximum number of other nodes that a status lists: 1000. A large network has more.
pub const PEERS_SHOWN_MAX: usize = 1000;

impl Observer {
    /// Returns the node's current status, without rates.
    pub fn status(&self) -> Status {
        let view = self.view();
        let summary = view.run_totals.summary(view.generation);
        let counted: BTreeMap<_, _> = summary
            .stages
            .iter()
            .map(|stage| (&stage.stage, stage))
            .collect();
        let stages = view.graph.in_order().map(|stage| {
            let running = view.running.contains(&stage.key);
            let status = stage_status(
                &stage.key.role.to_string(),
                stage.key.name.as_str(),
                running,
                counted.get(&stage.key).copied(),
            );
            let reason = status.reason.map(|reason| stage.mask(reason));
            StageStatus { reason, ..status }
        });
        let is_shared = view.graph.is_networked();
        let catalog = view.discovery.catalog();
        let me = catalog.local();
        let listens = me.address().addrs.iter().map(ToString::to_string);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            manifest: String::new(),
            name: None,
            generation: view.generation,
            uptime_ms: ms(summary.uptime),
            window_ms: 0,
            peer: is_shared.then(|| format!("{:?}", me.id())),
            listens: if is_shared {
                listens.collect()
            } else {
                Vec::new()
            },
            stages: stages.collect(),
            edges: edges(&view),
            streams: streams(&view),
            checkpoint: view
                .checkpoints
                .as_ref()
                .map(|progress| checkpoint(&progress.read())),
            delivery: view.graph.deliveries(),
            peers: if is_shared { peers(&view) } else { Vec::new() },
            problems: problems(&view),
            reloads: view.reloads.iter().cloned().collect(),
        }
    }

    /// Returns the totals so far. The records that stages and streams still hold count as
    /// undelivered.
    pub fn summary(&self) -> Summary {
        let view = self.view();
        let mut summary = view.run_totals.summary(view.generation);
        for stage in &mut summary.stages {
            if stage.end.is_some() {
                continue;
            }
            stage.note_in_flight();
            let edges = view
                .edges
                .iter()
                .filter(|((key, _), _)| *key == stage.stage);
            let queued = edges.filter_map(|(_, edge)| Some(edge.read()?.queued.0 as u64));
            stage.counts.undelivered_queued += queued.sum::<u64>();
        }
        for (name, producer) in &view.producers {
            if let Some(reading) = producer.read() {
                let stream = summary.streams.entry(name.clone()).or_default();
                stream.add(&reading.stats);
                add(
                    &mut stream.dropped,
                    [("undelivered", reading.queued.0 as u64)],
                );
            }
        }
        summary.note_readers_that_left(&view.graph);
        summary.note_closed(&view.graph);
        summary
    }
}

fn checkpoint(progress: &Progress) -> CheckpointStatus {
    let last = progress.last();
    let age = last.map(|last| {
        SystemTime::now()
            .duration_since(last.taken)
            .unwrap_or_default()
    });
    let took = last.and_then(|last| last.took);
    let given_up = progress.given_up().iter();
    CheckpointStatus {
        number: last.map_or(0, |last| last.number),
        age_ms: age.map(ms),
        state_bytes: last.map_or(0, |last| last.state_bytes),
        took_ms: took.map(|took| took.as_secs_f64() * 1000.0),
        every_ms: ms(progress.every()),
        next_ms: ms(progress.due_in()),
        running_ms: progress.running_for().map(ms),
        given_up: given_up
            .map(|(cause, count)| (cause.name().to_owned(), *count))
            .collect(),
        reason: progress.reason().map(|given| given.reason.clone()),
    }
}

fn stage_status(
    role: &str,
    name: &str,
    running: bool,
    counted: Option<&StageSummary>,
) -> StageStatus {
    let counts = counted.map(|counted| counted.counts).unwrap_or_default();
    let end = counted
        .and_then(|counted| counted.end.as_ref())
        .filter(|_| !running);
    let obstacle = counted.and_then(|counted| counted.obstacle.clone());
    let (state, reason) = match end {
        None if running && obstacle.is_some() => ("waiting", obstacle),
        None if running => ("running", None),
        None => ("stopped", None),
        Some(End::Finished) => ("finished", None),
        Some(End::Stopped) => ("stopped", None),
        Some(End::Closed) => ("closed", None),
        Some(End::Failed(reason)) => ("failed", Some(reason.clone())),
    };
    let past = counted.into_iter().flat_map(|counted| {
        counted
            .dropped
            .iter()
            .map(|(reason, count)| (*reason, *count))
    });
    StageStatus {
        role: role.to_owned(),
        name: name.to_owned(),
        state: state.to_owned(),
        reason,
        datums_in: counts.datums_in,
        datums_out: counts.datums_out,
        bytes_in: counts.bytes_in,
        bytes_out: counts.bytes_out,
        inputs: counts.inputs,
        lost: counted.map_or(0, StageSummary::lost),
        counters: counted
            .map(|counted| counted.counters.clone())
            .unwrap_or_default(),
        dead_letters: counts.dead_letters,
        dropped: sum(counts.dropped().chain(past)),
        restarts: counts.restarts,
        rate_in: None,
        rate_out: None,
    }
}

fn edges(view: &View) -> Vec<EdgeStatus> {
    let order = view.graph.in_order().map(|stage| &stage.key);
    let order: BTreeMap<_, _> = order.zip(0..).collect();
    let mut in_order: Vec<_> = view.edges.iter().collect();
    in_order.sort_by_key(|((key, port), _)| (order.get(key).copied().unwrap_or(usize::MAX), *port));
    let read = in_order.into_iter().filter_map(|((key, port), consumer)| {
        let edge = view.graph.stage(key)?.edge_at(*port)?;
        let reading = consumer.read()?;
        let dropped = reading.stats.dropped;
        Some(EdgeStatus {
            stage: key.to_string(),
            port: *port,
            stream: edge.stream.to_string(),
            online: reading.online,
            datums: reading.stats.datums,
            filtered: reading.stats.filtered,
            dropped: sum([
                ("malformed", dropped.malformed),
                ("too_large", dropped.too_large),
                ("lost", dropped.lost),
                ("closed", dropped.closed),
            ]),
            queued: reading.queued.0 as u64,
            queued_bytes: reading.queued.1 as u64,
            buffer_size: edge.buffer_size() as u64,
            buffer_bytes: edge.buffer_bytes() as u64,
            producers: reading
                .producers
                .iter()
                .map(|channel| channel_status(&view.discovery, channel, true))
                .collect(),
            rate: None,
        })
    });
    read.collect()
}

fn streams(view: &View) -> Vec<StreamStatus> {
    let all = view.graph.streams.iter().map(|(name, stream)| {
        let reading = view.producers.get(name).and_then(ProducerControl::read);
        let written = reading.is_some();
        let stats = reading
            .as_ref()
            .map(|reading| reading.stats)
            .unwrap_or_default();
        let dropped = stats.dropped;
        let scope = match stream.settings.scope {
            Scope::Node => "node",
            Scope::Network => "network",
        };
        StreamStatus {
            name: name.to_string(),
            scope: scope.to_owned(),
            written,
            online: reading.as_ref().is_some_and(|reading| reading.online),
            datums: stats.datums,
            sent_remote: stats.sent_datums,
            redelivered: stats.redelivered,
            unconfirmed: stats.unconfirmed,
            dropped: sum([
                ("offline", dropped.offline),
                ("lagging", dropped.lagging),
                ("too_large", dropped.too_large),
                ("closed", dropped.closed),
                ("nobody", dropped.nobody),
                ("lost", dropped.lost),
            ]),
            queued: reading
                .as_ref()
                .map_or(0, |reading| reading.queued.0 as u64),
            consumers: reading
                .iter()
                .flat_map(|reading| &reading.consumers)
                .map(|channel| channel_status(&view.discovery, channel, false))
                .collect(),
            log: reading
                .and_then(|reading| reading.log)
                .map(|log| log_status(&view.discovery, log)),
            rate: None,
        }
    });
    all.collect()
}

fn peers(view: &View) -> Vec<PeerStatus> {
    let catalog = view.discovery.catalog();
    let ours: BTreeMap<_, _> = view
        .graph
        .streams
        .iter()
        .filter(|(_, stream)| stream.settings.scope == Scope::Network)
        .map(|(name, stream)| (stream.id, name.to_string()))
        .collect();
    let listed = catalog.peers().take(PEERS_SHOWN_MAX).map(|peer| {
        let offers: Vec<String> = peer
            .streams()
            .iter()
            .filter_map(|id| ours.get(id).cloned())
            .collect();
        PeerStatus {
            id: peer.id().to_string(),
            name: name_of(&view.discovery, peer.id()),
            addresses: peer
                .address()
                .addrs
                .iter()
                .map(ToString::to_string)
                .collect(),
            heard_ms: ms(SystemTime::from(peer.updated_at())
                .elapsed()
                .unwrap_or_default()),
            uptime_ms: ms(peer.uptime()),
            others: (peer.streams().len() - offers.len()) as u64,
            offers,
            tags: peer.tags().len() as u64,
        }
    });
    listed.collect()
}

fn name_of(discovery: &Discovery, peer: &PeerId) -> Option<String> {
    Some(discovery.name_of(peer)?.to_string())
}

/// Returns the detected mistakes in the setup of nodes.
pub(super) fn problems(view: &View) -> Vec<String> {
    let problems = view.discovery.problems();
    problems.iter().map(ToString::to_string).collect()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn channel_status(
    discovery: &Discovery,
    channel: &ChannelInfo,
    is_consumer: bool,
) -> ChannelStatus {
    let other = if is_consumer {
        channel.producer_id()
    } else {
        channel.consumer_id()
    };
    let state = match channel.state() {
        State::Connecting => "connecting",
        State::Connected if channel.is_silent() => "silent",
        State::Connected => "connected",
        State::Terminated => "terminated",
    };
    let other = (!channel.is_local()).then_some(other);
    ChannelStatus {
        peer: other.map(ToString::to_string),
        peer_name: other.and_then(|other| name_of(discovery, other)),
        state: state.to_owned(),
        silent_ms: channel.silent_for().filter(|_| state == "silent").map(ms),
        connection: channel.number(),
        datums: channel.stats().datums() as u64,
        consumers: channel.consumers() as u64,
    }
}

/// Sums the counts by reason and omits zeros.
fn sum(counts: impl IntoIterator<Item = (&'static str, u64)>) -> BTreeMap<String, u64> {
    let mut totals = BTreeMap::new();
    for (reason, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        *totals.entry(reason.to_owned()).or_default() += count;
    }
    totals
}

fn log_status(discovery: &Discovery, log: DurableStatus) -> LogStatus {
    let readers = log.readers.into_iter().map(|reader| LogReader {
        peer_name: name_of(discovery, &reader.peer),
        peer: reader.peer.to_string(),
        connected: reader.is_connected,
        position: reader.position,
        lag: reader.lag,
    });
    LogStatus {
        id: log.log.to_string(),
        start: log.start,
        end: log.end,
        visible: log.visible,
        bytes: log.bytes,
        full: log.is_full,
        expired: log.expired,
        readers: readers.collect(),
    }
}
