//! [`Ledger`]: reads the summary of a node and checks that its counts add up.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use crate::support::{Done, Node, runner};

/// The outcomes of a received record.
const PLACES: [&str; 9] = [
    "answered",
    "absorbed",
    "filtered",
    "taken",
    "rejected",
    "failed",
    "forgotten",
    "invalid",
    "undelivered",
];

/// The summary of a finished node.
pub(crate) struct Ledger {
    stages: BTreeMap<String, Value>,
    streams: BTreeMap<String, Value>,
    pub(crate) lost: u64,
    pub(crate) exit: Option<i32>,
    pub(crate) log: String,
}

/// Starts a node whose log [`Ledger::of`] can read.
pub(crate) fn up(manifest: &Path) -> Node {
    let mut command = runner();
    command.args(["up", "--log", "json"]).arg(manifest);
    Node::spawn(command)
}

impl Ledger {
    /// Reads the summary, and checks that the counts of each stage add up.
    #[track_caller]
    pub(crate) fn of(done: Done) -> Self {
        let (mut stages, mut streams) = (BTreeMap::new(), BTreeMap::new());
        let mut lost = None;
        for line in done.stderr.lines() {
            let Ok(fields) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let stage = fields["stage"].as_str().map(str::to_owned);
            match (fields["message"].as_str(), stage) {
                (Some("summary"), Some(stage)) => {
                    stages.insert(stage, fields);
                }
                (Some("summary"), None) => {
                    let stream = fields["stream"].as_str().unwrap_or_default();
                    streams.insert(stream.to_owned(), fields);
                }
                (Some("done"), _) => lost = fields["lost"].as_u64(),
                _ => {}
            }
        }
        let ledger = Self {
            stages,
            streams,
            lost: lost.unwrap_or_else(|| panic!("no summary:\n{}", done.stderr)),
            exit: done.status.code(),
            log: done.stderr,
        };
        for stage in ledger.stages.keys() {
            let places = PLACES.map(|place| ledger.count(stage, place));
            assert_eq!(
                ledger.count(stage, "datums_in"),
                places.iter().sum::<u64>(),
                "{stage}: {places:?} of {PLACES:?}\n{}",
                ledger.log
            );
        }
        ledger
    }

    /// Returns a figure of a stage, such as `operator accounts`.
    #[track_caller]
    pub(crate) fn count(&self, stage: &str, figure: &str) -> u64 {
        let stages = || self.stages.keys().cloned().collect::<Vec<_>>();
        let fields = self.stages.get(stage);
        let fields = fields.unwrap_or_else(|| panic!("no {stage} in {:?}", stages()));
        fields[figure]
            .as_u64()
            .unwrap_or_else(|| panic!("{stage} has no {figure}: {fields}"))
    }

    /// Returns the number of records that a stage dropped for this reason, of its input and output.
    pub(crate) fn dropped(&self, stage: &str, reason: &str) -> u64 {
        let dropped = self.stages[stage]["dropped"].as_str().unwrap_or_default();
        let mut counts = dropped.split(", ").filter_map(|one| one.split_once(' '));
        let count = counts.find(|(_, other)| *other == reason);
        count.map_or(0, |(count, _)| count.parse().unwrap_or_default())
    }

    /// Returns the operator's own counters, with their classes.
    pub(crate) fn counters(&self, stage: &str) -> &str {
        self.stages[stage]["counters"].as_str().unwrap_or_default()
    }

    /// Returns a figure of a stream that this node wrote.
    #[track_caller]
    pub(crate) fn stream(&self, stream: &str, figure: &str) -> u64 {
        let figure = self.streams.get(stream).map(|fields| &fields[figure]);
        let figure = figure.and_then(Value::as_u64);
        figure.unwrap_or_else(|| panic!("no such figure of {stream}\n{}", self.log))
    }

    /// Asserts that all output of `writer` was received by `reader`.
    #[track_caller]
    pub(crate) fn flows(&self, writer: &str, reader: &str) {
        assert_eq!(
            self.count(writer, "datums_out"),
            self.count(reader, "datums_in"),
            "from {writer} to {reader}\n{}",
            self.log
        );
    }
}
