//! A difference step by step, as plain data: made to be sent as JSON and shown to people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Change, Diff};

/// A step that only a restart can take.
const RESTART: &str = "restart";

/// What becomes of one thing, or became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `keep`, `retune`, `swap`, `rewire`, `add`, `remove` or `restart`.
    pub change: String,
    /// The thing: `stream raw`, `operator double`, `node`.
    pub what: String,
    /// The keys of the manifest that differ, or for a restart the reason.
    pub because: Vec<String>,
    /// Whether what it remembers is lost.
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

    /// Whether nothing becomes of it.
    pub fn is_keep(&self) -> bool {
        self.change == Change::Keep.to_string()
    }

    /// Whether only a restart brings it about.
    pub fn is_restart(&self) -> bool {
        self.change == RESTART
    }
}

/// `swap operator double (config), its state starts empty`; with a width, the change is padded to it.
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
    /// Every step of it, in the order in which people are told of them.
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
