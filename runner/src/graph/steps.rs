//! A difference as individual steps: plain data for JSON and for display.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Change, Diff};

/// The change of a step that requires a restart.
const RESTART: &str = "restart";

/// The change of one item, planned or applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `keep`, `retune`, `swap`, `rewire`, `add`, `remove` or `restart`.
    pub change: String,
    /// The item: `stream raw`, `operator double`, `node`.
    pub what: String,
    /// The keys of the manifest that differ, or the reason for a restart.
    pub because: Vec<String>,
    /// Whether the change loses the item's state.
    pub forgets: bool,
}

impl Step {
    fn new(change: impl fmt::Display, what: impl fmt::Display, because: &[&str]) -> Self {
        Self {
            change: change.to_string(),
            what: what.to_string(),
            because: because.iter().map(ToString::to_string).collect(),
            forgets: false,
        }
    }

    /// Returns whether the item is unchanged.
    pub fn is_keep(&self) -> bool {
        self.change == Change::Keep.to_string()
    }

    /// Returns whether the change requires a restart.
    pub fn is_restart(&self) -> bool {
        self.change == RESTART
    }
}

/// Formats a step: `swap operator double (config), its state starts empty`. A width pads the change.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = f.width().unwrap_or(0);
        write!(f, "{:<width$} {}", self.change, self.what)?;
        let because = self.because.join(", ");
        if self.is_restart() {
            return write!(f, ": {because}");
        }
        if !because.is_empty() {
            write!(f, " ({because})")?;
        }
        if self.forgets {
            f.write_str(", its state starts empty")?;
        }
        Ok(())
    }
}

impl Diff {
    /// Returns all steps, in the order in which they are shown.
    pub fn steps(&self) -> Vec<Step> {
        let restart = self.restart.iter().map(|reason| Step {
            forgets: true,
            ..Step::new(RESTART, "node", &[reason])
        });
        let node = (!self.node.is_empty()).then(|| Step::new(Change::Retune, "node", &self.node));
        let streams = self.streams.iter().map(|stream| {
            let what = format!("stream {}", stream.name);
            Step::new(stream.change, what, &stream.changed)
        });
        let stages = self.stages.iter().map(|stage| Step {
            forgets: stage.forgets,
            ..Step::new(stage.change, &stage.key, &stage.changed)
        });
        restart.chain(node).chain(streams).chain(stages).collect()
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps = self.steps().into_iter();
        steps.try_for_each(|step| writeln!(f, "{step:8}"))
    }
}
