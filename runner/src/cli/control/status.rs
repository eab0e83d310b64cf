//! `mosaik-runner status`.

use std::{collections::BTreeSet, fmt::Write as _};

use clap::Args;

use super::{
    NodeArgs,
    figures::{rate, reasons, short, span, table},
};
use crate::{
    cli::{Exit, harmless, print},
    operator::CounterClass,
    topology::report::{ChannelStatus, Outcome, StageStatus, Status},
};

/// For how long rates are measured by default, in milliseconds.
const WINDOW_MS: u64 = 500;

/// Tells what a running node does: its stages, subscriptions, streams and peers, and its last reload.
///
/// Rates are of the half second after the question.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner status pipeline.yaml --json | jq .generation")]
pub(in crate::cli) struct StatusArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// As JSON, in a line.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(args: &StatusArgs) -> anyhow::Result<Exit> {
    let mut found = args.node.find()?;
    let status = found.client.status(WINDOW_MS)?;
    let text = if args.json {
        serde_json::to_string(&status)? + "\n"
    } else {
        harmless(&shown(&status))
    };
    print(&text)?;
    Ok(Exit::Success)
}

fn shown(status: &Status) -> String {
    let mut text = String::new();
    // Nothing can go wrong in writing to a text.
    let _ = writeln!(text, "{}", headline(status));
    if let Some(peer) = &status.peer {
        let _ = writeln!(text, "peer {peer} listens on {}", status.listens.join(", "));
    }
    text.push('\n');
    let rows: Vec<_> = status
        .stages
        .iter()
        .map(|stage| {
            vec![
                stage.role.clone(),
                stage.name.clone(),
                stage.state.clone(),
                short(stage.datums_in as f64),
                rate(stage.rate_in),
                short(stage.datums_out as f64),
                rate(stage.rate_out),
                match &stage.reason {
                    Some(reason) => reason.clone(),
                    None => reasons(&stage.missing()),
                },
            ]
        })
        .collect();
    text.push_str(&table(
        &["STAGE", "", "STATE", "IN", "", "OUT", "", "DROPPED"],
        3,
        &rows,
    ));
    for stage in &status.stages {
        if !stage.counters.is_empty() {
            let _ = writeln!(
                text,
                "  {} {} counts {}",
                stage.role,
                stage.name,
                counters(stage)
            );
        }
    }
    if !status.edges.is_empty() {
        text.push('\n');
        let rows: Vec<_> = status
            .edges
            .iter()
            .map(|edge| {
                vec![
                    format!("{} -> {}", edge.stream, edge.stage),
                    online(edge.online).to_owned(),
                    short(edge.datums as f64),
                    rate(edge.rate),
                    format!(
                        "{}/{}",
                        short(edge.queued as f64),
                        short(edge.buffer_size as f64)
                    ),
                    named_channels(&edge.producers),
                    reasons(&edge.dropped),
                ]
            })
            .collect();
        text.push_str(&table(
            &["EDGE", "", "TAKEN", "", "QUEUED", "FROM", "DROPPED"],
            2,
            &rows,
        ));
    }
    text.push('\n');
    let rows: Vec<_> = status
        .streams
        .iter()
        .map(|stream| {
            vec![
                stream.name.clone(),
                stream.scope.clone(),
                if stream.written {
                    online(stream.online)
                } else {
                    "-"
                }
                .to_owned(),
                short(stream.datums as f64),
                rate(stream.rate),
                short(stream.queued as f64),
                short(stream.sent_remote as f64),
                named_channels(&stream.consumers),
                reasons(&stream.dropped),
            ]
        })
        .collect();
    text.push_str(&table(
        &[
            "STREAM", "SCOPE", "", "WRITTEN", "", "QUEUED", "SENT", "TO", "DROPPED",
        ],
        3,
        &rows,
    ));
    if status.peer.is_some() {
        let count = status.peers.len();
        let s = if count == 1 { "" } else { "s" };
        let offering = status
            .peers
            .iter()
            .filter(|peer| !peer.offers.is_empty())
            .count();
        let _ = writeln!(
            text,
            "\n{count} peer{s} known, {offering} of them with streams of this manifest"
        );
    }
    for problem in &status.problems {
        let _ = writeln!(text, "problem: {problem}");
    }
    if let Some(reload) = status.reloads.last() {
        let ago = span(status.uptime_ms.saturating_sub(reload.at_ms));
        let how = match reload.outcome {
            Outcome::Applied => "applied",
            Outcome::Unchanged => "nothing to do",
            Outcome::Refused => "REFUSED",
            Outcome::Incomplete => "INCOMPLETE",
        };
        let _ = writeln!(text, "\nlast reload, {ago} ago: {how}\n{}", reload.text);
    }
    text
}

/// `evicted 3 (incomplete), duplicates 12`.
fn counters(stage: &StageStatus) -> String {
    let each = stage.counters.iter().map(|(name, counter)| {
        let class = match counter.class {
            CounterClass::Normal => String::new(),
            class => format!(" ({})", class.name()),
        };
        format!("{name} {}{class}", short(counter.total as f64))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// `pipeline.yaml, generation 3, up 2m 10s, process 4711`.
pub(in crate::cli) fn headline(status: &Status) -> String {
    let name = status
        .name
        .as_ref()
        .map_or_else(String::new, |name| format!(" ({name})"));
    format!(
        "{}{name}, generation {}, up {}, process {}",
        status.manifest,
        status.generation,
        span(status.uptime_ms),
        status.pid
    )
}

pub(in crate::cli) const fn online(online: bool) -> &'static str {
    if online { "online" } else { "offline" }
}

/// Nodes that are named in a cell.
const NAMES_MAX: usize = 3;

/// `2 here, 1 remote`.
pub(in crate::cli) fn channels(channels: &[ChannelStatus]) -> String {
    let (mut here, mut remote) = (0, 0);
    for channel in connected(channels) {
        match channel.peer {
            None => here += channel.consumers,
            Some(_) => remote += channel.consumers,
        }
    }
    match (here, remote) {
        (0, 0) => "nobody".to_owned(),
        (here, 0) => format!("{here} here"),
        (0, remote) => format!("{remote} remote"),
        (here, remote) => format!("{here} here, {remote} remote"),
    }
}

/// `2 here, 1 remote (feed)`.
fn named_channels(all: &[ChannelStatus]) -> String {
    let names: BTreeSet<&str> = connected(all)
        .filter_map(|channel| channel.peer_name.as_deref())
        .collect();
    if names.is_empty() {
        return channels(all);
    }
    let shown: Vec<&str> = names.iter().copied().take(NAMES_MAX).collect();
    let more = if names.len() > NAMES_MAX { ", …" } else { "" };
    format!("{} ({}{more})", channels(all), shown.join(", "))
}

fn connected(channels: &[ChannelStatus]) -> impl Iterator<Item = &ChannelStatus> {
    channels
        .iter()
        .filter(|channel| channel.state == "connected")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_beside_their_number() {
        let channel = |peer: Option<&str>, name: Option<&str>| ChannelStatus {
            peer: peer.map(str::to_owned),
            peer_name: name.map(str::to_owned),
            state: "connected".into(),
            connection: 1,
            datums: 0,
            consumers: 1,
        };
        let mut all = vec![channel(None, None), channel(Some("9f"), None)];
        assert_eq!(named_channels(&all), "1 here, 1 remote");
        all.push(channel(Some("a1"), Some("feed")));
        assert_eq!(named_channels(&all), "1 here, 2 remote (feed)");
        all.extend(["a", "b", "c", "a"].map(|name| channel(Some(name), Some(name))));
        assert_eq!(named_channels(&all), "1 here, 6 remote (a, b, c, …)");
    }
}
