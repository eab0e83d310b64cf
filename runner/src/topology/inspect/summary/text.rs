//! Formats a summary as a table, followed by one sentence on lost records and the reasons.

use std::fmt;

use super::{StageSummary, Summary};
use crate::{operator::CounterClass, stage::End};

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generations = if self.generation == 1 {
            "1 generation".to_owned()
        } else {
            format!("{} generations", self.generation)
        };
        writeln!(f, "ran for {:.1?}, {generations}", self.uptime)?;
        let width = self
            .stages
            .iter()
            .map(|stage| stage.stage.name.as_str().len())
            .max()
            .unwrap_or(0);
        for stage in &self.stages {
            write!(
                f,
                "  {:8}  {:width$} ",
                stage.stage.role.to_string(),
                stage.stage.name.as_str()
            )?;
            write_stage(f, stage)?;
        }
        self.write_streams(f)?;
        self.write_end(f)?;
        match self.incomplete() {
            0 => Ok(()),
            incomplete => write!(f, "; results are incomplete by {incomplete}"),
        }
    }
}

fn write_stage(f: &mut fmt::Formatter<'_>, stage: &StageSummary) -> fmt::Result {
    write!(
        f,
        "{:>12} in {:>12} out",
        stage.counts.datums_in, stage.counts.datums_out
    )?;
    if stage.counts.restarts > 0 {
        write!(f, ", {} restarts", stage.counts.restarts)?;
    }
    let edges = stage.dropped.iter();
    let edges = edges.map(|(reason, count)| (*reason, *count));
    for (reason, count) in stage.counts.dropped().chain(edges) {
        write!(f, ", {count} {reason}")?;
        if reason == "undelivered" && !stage.held_for.is_empty() {
            write!(f, " (held for readers of {})", listed(&stage.held_for))?;
        }
    }
    for (index, (name, counter)) in stage.counters.iter().enumerate() {
        let before = if index == 0 { "; " } else { ", " };
        write!(f, "{before}{name} {}", counter.total)?;
        if counter.class != CounterClass::Normal {
            write!(f, " ({})", counter.class.name())?;
        }
    }
    if let Some(End::Failed(reason)) = &stage.end {
        write!(f, ", FAILED: {reason}")?;
    }
    writeln!(f)
}

impl Summary {
    fn write_streams(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, stream) in self
            .streams
            .iter()
            .filter(|(_, stream)| stream.sent_remote > 0 || !stream.dropped.is_empty())
        {
            write!(
                f,
                "  stream    {name}: {} sent to other nodes",
                stream.sent_remote
            )?;
            let totals = [
                ("redelivered", stream.redelivered),
                ("unconfirmed", stream.unconfirmed),
            ];
            for (what, count) in totals.into_iter().filter(|(_, count)| *count > 0) {
                write!(f, ", {count} {what}")?;
            }
            for (reason, count) in &stream.dropped {
                write!(f, ", {count} {reason}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    /// Writes the totals of dropped and lost records, with the known reasons.
    fn write_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dropped, lost) = (self.dropped(), self.lost());
        // Counters such as `missed_files` count records that no stage has received.
        let counted = self.lost_by_counter();
        let kept = dropped.saturating_sub(lost - counted.values().sum::<u64>());
        let closed = self.dropped_for_closed().min(kept);
        let configured = kept - closed;
        if lost > 0 {
            write!(f, "{lost} LOST")?;
            for (index, (name, count)) in counted.iter().enumerate() {
                let before = if index == 0 { " (" } else { ", " };
                write!(f, "{before}{count} {name}")?;
            }
            if !counted.is_empty() {
                write!(f, ")")?;
            }
            if dropped > 0 {
                write!(f, ", {dropped} dropped in all")?;
            }
        } else if dropped == 0 {
            return write!(f, "nothing was dropped");
        } else if configured > 0 {
            write!(f, "{configured} dropped as configured")?;
        }
        if closed > 0 {
            let before = if lost > 0 || configured > 0 { ", " } else { "" };
            let whose = listed(&self.closed);
            write!(
                f,
                "{before}{closed} not written because the reader of {whose} closed it"
            )?;
        }
        if lost == 0 {
            return write!(f, ", nothing was lost");
        }
        let stages = self.stages.iter();
        let held: Vec<_> = stages
            .filter(|stage| !stage.held_for.is_empty() && stage.counts.undelivered() > 0)
            .collect();
        let Some(first) = held.first() else {
            return Ok(());
        };
        let count: u64 = held.iter().map(|stage| stage.counts.undelivered()).sum();
        write!(
            f,
            "; {count} of them held for readers of {}: its `online_when` was not met",
            listed(&first.held_for)
        )
    }
}

/// Joins names as `a, b`.
fn listed<T: ToString>(names: &std::collections::BTreeSet<T>) -> String {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    };

    use super::*;
    use crate::{
        declare::{StageName, StreamName},
        graph::{Role, StageKey},
        stage::{Inputs, OperatorCounter, Snapshot},
    };

    fn summary(reader_left: bool, held_for: &[&str]) -> Summary {
        let inputs = Inputs {
            undelivered: 5,
            ..Inputs::default()
        };
        let stage = StageSummary {
            stage: StageKey {
                role: Role::Consumer,
                name: StageName::new("print").unwrap(),
            },
            end: None,
            counts: Snapshot {
                datums_in: 51,
                datums_out: 46,
                inputs,
                ..Snapshot::default()
            },
            dropped: BTreeMap::new(),
            counters: BTreeMap::new(),
            reader_left,
            obstacle: None,
            held_for: held_for
                .iter()
                .filter_map(|name| StreamName::new(name))
                .collect(),
        };
        Summary {
            generation: 1,
            uptime: Duration::ZERO,
            stages: vec![stage],
            streams: BTreeMap::new(),
            closed: BTreeSet::from(["stdout".to_owned()]),
        }
    }

    fn end(summary: &Summary) -> String {
        let text = summary.to_string();
        text.lines().last().unwrap_or_default().to_owned()
    }

    #[test]
    fn records_left_by_a_closed_reader_of_stdout_are_reported() {
        assert_eq!(
            end(&summary(true, &[])),
            "5 not written because the reader of stdout closed it, nothing was lost"
        );
        assert_eq!(end(&summary(false, &[])), "5 LOST, 5 dropped in all");
        let mut both = summary(true, &[]);
        both.stages.push(summary(false, &[]).stages.remove(0));
        assert_eq!(
            end(&both),
            "5 LOST, 10 dropped in all, 5 not written because the reader of stdout closed it"
        );
    }

    #[test]
    fn losses_known_only_to_a_counter_are_not_drops() {
        let missed = |of: &mut StageSummary| {
            let missed = OperatorCounter {
                total: 2,
                class: CounterClass::Lost,
            };
            of.counters.insert("missed_files".to_owned(), missed);
        };
        let mut only = summary(false, &[]);
        missed(&mut only.stages[0]);
        only.stages[0].counts.inputs.undelivered = 0;
        assert_eq!(end(&only), "2 LOST (2 missed_files)");
        let mut also = summary(false, &[]);
        missed(&mut also.stages[0]);
        assert_eq!(end(&also), "7 LOST (2 missed_files), 5 dropped in all");
        let mut closed = summary(true, &[]);
        missed(&mut closed.stages[0]);
        assert_eq!(
            end(&closed),
            "2 LOST (2 missed_files), 5 dropped in all, 5 not written because the reader of stdout closed it"
        );
    }

    #[test]
    fn records_held_for_readers_are_lost_with_the_reason() {
        let held = summary(false, &["prices"]);
        assert_eq!(
            end(&held),
            "5 LOST, 5 dropped in all; 5 of them held for readers of prices: its `online_when` was not met"
        );
        assert!(
            held.to_string()
                .contains("5 undelivered (held for readers of prices)"),
            "{held}"
        );
    }
}
