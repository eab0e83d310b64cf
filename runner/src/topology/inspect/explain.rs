//! Explains in words why no records flow on a stream.

use std::{fmt::Write as _, time::Duration};

use mosaik_streams::{
    consumer::{Attempt, ConsumerReading, Phase},
    discovery::Discovery,
    network::CloseReason,
    producer::ProducerControl,
    status::{ChannelConditions, ChannelInfo},
    streams::Format,
};

use super::{Observer, TapError, observer::View, status::problems};
use crate::{
    graph::{Condition, Scope, Stage, StreamConfig, StreamName},
    manifest::NodeConfig,
};

impl Observer {
    /// Returns an explanation of a stream's problems, line by line: first its writers on this node,
    /// then each of its readers.
    ///
    /// # Errors
    /// The stream does not exist.
    pub fn explain(&self, stream: &str) -> Result<Vec<String>, TapError> {
        let view = self.view();
        let (name, config) = view.stream(stream)?;
        let mut lines = writing(&view, name, config);
        for (key, edge, consumer) in view.edges_of(name) {
            match consumer.read() {
                Some(reading) => {
                    lines.push(reading_line(
                        &key.to_string(),
                        &reading,
                        edge.settings.online_when.as_ref(),
                    ));
                    lines.extend(sources(&view, name, config, &reading, consumer.unfit()));
                }
                None => lines.push(format!("{key} has ended and no longer reads")),
            }
        }
        for reader in view
            .graph
            .readers(name)
            .filter(|reader| !view.running.contains(&reader.key))
        {
            if !view.edges.keys().any(|(key, _)| *key == reader.key) {
                lines.push(format!("{} does not run", reader.key));
            }
        }
        lines.extend(checkpoints(&view, name));
        if config.settings.scope == Scope::Network {
            lines.extend(problems(&view));
        }
        Ok(lines)
    }
}

/// Explains that the last checkpoint was given up because of a stage at this stream.
fn checkpoints(view: &View, name: &StreamName) -> Option<String> {
    let progress = view.checkpoints.as_ref()?.read();
    let given = progress.reason()?;
    let mut stages = view.graph.readers(name).chain(view.graph.writers(name));
    let is_here = stages.any(|stage| {
        let name = stage.key.to_string();
        given.stages.iter().any(|waits| waits.as_str() == name)
    });
    is_here.then(|| format!("the last checkpoint was given up: {}", given.reason))
}

fn writing(view: &View, name: &StreamName, config: &StreamConfig) -> Vec<String> {
    let writers: Vec<&Stage> = view.graph.writers(name).collect();
    if writers.is_empty() {
        return vec!["no stage of this node writes it: it comes from other nodes".to_owned()];
    }
    let reading = view.producers.get(name).and_then(ProducerControl::read);
    let Some(reading) = reading else {
        let ended: Vec<_> = writers.iter().map(|stage| stage.key.to_string()).collect();
        return vec![format!("it has ended: {} wrote it", ended.join(", "))];
    };
    let mut line = if reading.online {
        format!("online here: {}", subscribers(&reading.conditions))
    } else {
        let condition = config.settings.online_when.producer.as_ref();
        let wants = wants(&reading.conditions, "subscriber", condition);
        format!("offline here: {wants}")
    };
    if reading.queued.0 > 0 {
        let _ = write!(line, "; {} records wait", reading.queued.0);
    }
    if !reading.online && reading.queued.0 == 0 {
        line.push_str("; sources without other readers pause, and stages buffer their output");
    }
    let limit = config.settings.max_consumers;
    let remote = reading
        .consumers
        .iter()
        .filter(|channel| !channel.is_local())
        .map(ChannelInfo::consumers)
        .sum::<usize>();
    if let Some(limit) = limit.filter(|limit| remote >= *limit) {
        let _ = write!(
            line,
            "; more subscribers are refused with 10509: max_consumers is {limit}"
        );
    }
    let mut lines = vec![line];
    let refused = reading
        .mismatches
        .iter()
        .zip(reading.format.into_iter().cycle());
    lines.extend(refused.map(|((peer, theirs), ours)| {
        let peer = view.discovery.describe(peer);
        format!(
            "  {peer}: refused with 10415: it declares {theirs}, this node {ours}; {SAME_FORMAT}"
        )
    }));
    let silent = reading.consumers.iter().filter(|c| c.is_silent());
    lines.extend(silent.map(|channel| {
        let peer = view.discovery.describe(channel.peer().id());
        format!(
            "  {peer}: acknowledges nothing, so it does not count as a reader: its process is stopped, or the network \
             between is cut"
        )
    }));
    lines
}

fn reading_line(stage: &str, reading: &ConsumerReading, condition: Option<&Condition>) -> String {
    let connected = reading
        .producers
        .iter()
        .filter(|channel| channel.is_connected())
        .count();
    let mut line = if reading.online {
        format!(
            "{stage} is online, connected to {} {}",
            connected,
            plural(connected, "producer", None)
        )
    } else {
        let wants = wants(&reading.conditions, "producer", condition);
        format!("{stage} is offline: {wants}")
    };
    if reading.queued.0 > 0 {
        let _ = write!(line, "; {} records wait for it", reading.queued.0);
    }
    line
}

/// Lists the possible sources of a reader's records and why none arrive from them.
fn sources(
    view: &View,
    name: &StreamName,
    config: &StreamConfig,
    reading: &ConsumerReading,
    unfit: usize,
) -> Vec<String> {
    let mut lines: Vec<String> = reading
        .attempts
        .iter()
        .map(|attempt| format!("  {}", said_of(&view.discovery, attempt, reading.format)))
        .collect();
    if unfit > 0 {
        lines.push(format!(
            "  {} found without the required tags or tickets: `require` of stream {name} rejects them",
            nodes(unfit)
        ));
    }
    let is_written_here = view.graph.writers(name).next().is_some();
    if config.settings.scope == Scope::Network && lines.is_empty() && !is_written_here {
        let known = view.discovery.catalog().peers_count();
        lines.push(match known {
            0 => no_other_node(&view.graph.node),
            known => format!(
                "  no producer found: of {} in the catalog, none offers the stream",
                nodes(known)
            ),
        });
    }
    lines
}

/// Returns hints for a node that knows no other node.
fn no_other_node(node: &NodeConfig) -> String {
    let from: Vec<_> = node
        .bootstrap
        .iter()
        .map(|bootstrap| bootstrap.address.to_string())
        .collect();
    let why = match (from.as_slice(), node.mdns) {
        ([], false) => {
            "`bootstrap` is empty and `mdns` is off; a node may still connect to this one"
                .to_owned()
        }
        ([], true) => "`mdns` found no node on the local network".to_owned(),
        (addresses, _) => format!(
            "nothing answers at the `bootstrap` address{} {}: is a node of this network running there?",
            if addresses.len() == 1 { "" } else { "es" },
            addresses.join(", ")
        ),
    };
    format!("  no producer found, because no other node is known: {why}")
}

/// Advice for two nodes that declare different formats of a stream.
const SAME_FORMAT: &str = "give the stream the same `encoding` and `schema` on both nodes";

fn said_of(discovery: &Discovery, attempt: &Attempt, ours: Option<Format>) -> String {
    let peer = discovery.describe(&attempt.producer);
    let last = match attempt.last_close {
        Some(CloseReason::FormatMismatch) => match attempt.mismatch.zip(ours) {
            Some((theirs, ours)) => format!("; it declares {theirs}, this node {ours}: {SAME_FORMAT}"),
            None => format!("; it declares another format: {SAME_FORMAT}"),
        },
        Some(CloseReason::NotAllowed) => "; it refused this node with 10403: this node lacks the tags or tickets that the stream requires of consumers".to_owned(),
        Some(CloseReason::NoCapacity) => "; it refused this node with 10509: it has its maximum number of consumers".to_owned(),
        Some(CloseReason::StreamNotFound) => "; it refused this node with 10404: it no longer offers the stream".to_owned(),
        Some(CloseReason::TooSlow) => "; it disconnected this node with 10413: this node did not keep up".to_owned(),
        Some(CloseReason::EndOfStream) => "; it closed the stream permanently".to_owned(),
        Some(reason) => format!("; the last connection closed with {reason}"),
        None => String::new(),
    };
    match attempt.phase {
        Phase::Connecting => format!("{peer}: connecting{last}"),
        Phase::Connected => format!("{peer}: connected"),
        Phase::Retrying { at } => {
            let left = at.saturating_duration_since(tokio::time::Instant::now());
            format!("{peer}: retries in {}{last}", short(left))
        }
        Phase::Resting => format!("{peer}: retries when either node changes{last}"),
    }
}

fn short(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn subscribers(conditions: &ChannelConditions) -> String {
    let count = conditions.count();
    format!("{count} {}", plural(count, "subscriber", None))
}

/// Describes the conditions that are not met.
pub(super) fn wants(
    conditions: &ChannelConditions,
    noun: &str,
    condition: Option<&Condition>,
) -> String {
    let minimum = conditions.minimum();
    let whom = plural(minimum, noun, condition);
    let has = match conditions.count() {
        0 => "none".to_owned(),
        count => count.to_string(),
    };
    format!("online_when requires {minimum} {whom}, has {has}")
}

fn plural(count: usize, noun: &str, condition: Option<&Condition>) -> String {
    let s = if count == 1 { "" } else { "s" };
    let tags = condition
        .map(|condition| condition.with_tags.len())
        .unwrap_or_default();
    match tags {
        0 => format!("{noun}{s}"),
        1 => format!("{noun}{s} with a tag"),
        _ => format!("{noun}{s} with {tags} tags"),
    }
}

fn nodes(count: usize) -> String {
    match count {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}
