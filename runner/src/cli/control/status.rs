//! `mosaik-runner status`.

use std::{collections::BTreeSet, fmt::Write as _};

use clap::Args;

use super::{
    NodeArgs,
    checkpoints::checkpoints,
    figures::{rate, reasons, short, span, table},
};
use crate::{
    cli::{Exit, harmless, print},
    graph::Deliveries,
    operator::CounterClass,
    topology::report::{ChannelStatus, LogStatus, Outcome, StageStatus, Status},
};

/// Default time over which rates are measured: 500 ms.
const WINDOW_MS: u64 = 500;

/// Show the stages, subscriptions, streams, delivery classes, peers and last reload of a running node.
///
/// Rates are averages over 500 ms.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mosaik-runner status pipeline.yaml --json | jq .generation")]
pub(in crate::cli) struct StatusArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Print one line of JSON.
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
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", headline(status));
    if let Some(peer) = &status.peer {
        let _ = writeln!(text, "peer {peer} listens on {}", status.listens.join(", "));
    }
    if let Some(checkpoint) = &status.checkpoint {
        text.push_str(&checkpoints(checkpoint));
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
    for stream in &status.streams {
        if let Some(log) = &stream.log {
            text.push_str(&log_lines(&stream.name, log));
        }
    }
    text.push_str(&delivery(&status.delivery));
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

/// Formats the delivery class of each path, with the part that it comes from.
fn delivery(all: &Deliveries) -> String {
    if all.paths.is_empty() {
        return String::new();
    }
    let rows = all.paths.iter().map(|path| {
        let why = path.weakest.as_ref();
        vec![
            path.path.join(" -> "),
            path.class.to_string(),
            why.map_or_else(
                || "-".to_owned(),
                |why| format!("{}: {}", why.part, why.reason),
            ),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let mut text = format!(
        "\n{}",
        table(&["PATH", "DELIVERY", "WEAKEST PART"], 3, &rows)
    );
    if all.more > 0 {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {} more paths, all together {}",
            all.more, all.class
        );
    }
    text
}

/// Formats counters: `evicted 3 (incomplete), duplicates 12`.
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

/// Formats the first line: `pipeline.yaml, generation 3, up 2m 10s, process 4711`.
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

/// Maximum number of nodes named in a cell: 3.
const NAMES_MAX: usize = 3;

/// Formats channels: `2 here, 1 remote, 1 silent`.
pub(in crate::cli) fn channels(all: &[ChannelStatus]) -> String {
    counted(all, |_, what| what)
}

/// Formats channels with names: `2 here, 1 remote (feed), 1 silent for 12.0s (desk)`.
fn named_channels(all: &[ChannelStatus]) -> String {
    counted(all, |channels, what| {
        let silent_ms = channels
            .iter()
            .filter_map(|channel| channel.silent_ms)
            .max();
        let names = names(channels);
        silent_ms.map_or_else(
            || format!("{what}{names}"),
            |ms| format!("{what} for {}{names}", span(ms)),
        )
    })
}

/// Counts the connected channels by kind, and formats each kind with `shown`.
fn counted(all: &[ChannelStatus], shown: impl Fn(&[&ChannelStatus], String) -> String) -> String {
    let kind = |channel: &ChannelStatus| match (channel.state.as_str(), &channel.peer) {
        ("connected", None) => Some("here"),
        ("connected", Some(_)) => Some("remote"),
        ("silent", _) => Some("silent"),
        _ => None,
    };
    let kinds = ["here", "remote", "silent"]
        .into_iter()
        .filter_map(|wanted| {
            let of_kind: Vec<_> = all
                .iter()
                .filter(|channel| kind(channel) == Some(wanted))
                .collect();
            let count: u64 = of_kind.iter().map(|channel| channel.consumers).sum();
            (count > 0).then(|| shown(&of_kind, format!("{count} {wanted}")))
        });
    let kinds: Vec<_> = kinds.collect();
    if kinds.is_empty() {
        return "nobody".to_owned();
    }
    kinds.join(", ")
}

/// Formats names: ` (feed, desk)`; empty if no channel has a name.
fn names(channels: &[&ChannelStatus]) -> String {
    let names: BTreeSet<&str> = channels
        .iter()
        .filter_map(|channel| channel.peer_name.as_deref())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let shown: Vec<&str> = names.iter().copied().take(NAMES_MAX).collect();
    let more = if names.len() > NAMES_MAX { ", …" } else { "" };
    format!(" ({}{more})", shown.join(", "))
}

/// Returns a line for the log of a durable stream, and one for each node that reads it.
fn log_lines(stream: &str, log: &LogStatus) -> String {
    let full = if log.full { ", the disk is full" } else { "" };
    let mut text = format!(
        "log of {stream}: {} records, {} bytes, positions {} to {}, visible to {}{full}\n",
        log.end - log.start,
        log.bytes,
        log.start,
        log.end,
        log.visible
    );
    for reader in &log.readers {
        let away = if reader.connected { "" } else { ", away" };
        let name = reader.peer_name.as_deref().unwrap_or(&reader.peer);
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {name} is {} records behind{away}", reader.lag);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_show_the_names_of_peers() {
        let channel = |peer: Option<&str>, name: Option<&str>| ChannelStatus {
            peer: peer.map(str::to_owned),
            peer_name: name.map(str::to_owned),
            state: "connected".into(),
            silent_ms: None,
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

    #[test]
    fn a_connected_but_silent_reader_is_listed() {
        let channel = |state: &str, silent_ms| ChannelStatus {
            peer: Some("9f".into()),
            peer_name: Some("desk".into()),
            state: state.into(),
            silent_ms,
            connection: 1,
            datums: 0,
            consumers: 1,
        };
        let mut all = vec![channel("terminated", None)];
        assert_eq!(channels(&all), "nobody");
        all.push(channel("silent", Some(12_000)));
        assert_eq!(channels(&all), "1 silent");
        assert_eq!(named_channels(&all), "1 silent for 12.0s (desk)");
        all.push(channel("connected", None));
        assert_eq!(
            named_channels(&all),
            "1 remote (desk), 1 silent for 12.0s (desk)"
        );
    }
}
