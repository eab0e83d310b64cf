//! What a reload did.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::graph::{Change, Diff, StageKey};

/// What a reload did: the difference it made, and what it took.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The generation that runs now; 1 is what the node started with.
    pub generation: u64,
    /// What changed.
    pub diff: Diff,
    /// The stages that did not change and were started again: each had failed, or had ended for want of readers or writers.
    pub restarted: Vec<StageKey>,
    /// How long building beside the running generation took.
    pub built_in: Duration,
    /// How long going over to the new one took: the longest that any edge can have been held.
    pub applied_in: Duration,
    /// For how long each operator that was swapped held up its edges.
    pub pauses: BTreeMap<StageKey, Duration>,
    /// Datums that were dropped while it was going over, whoever dropped them.
    pub dropped: u64,
}

/// One line: what is not as before, and how much is.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}: ", self.generation)?;
        for step in self.diff.steps().iter().filter(|step| !step.is_keep()) {
            write!(f, "{step}; ")?;
        }
        for stage in &self.restarted {
            write!(f, "restart {stage}; ")?;
        }
        let kept = self.diff.stages_to(Change::Keep);
        let kept = kept.filter(|key| !self.restarted.contains(key)).count();
        let stages = if kept == 1 { "stage" } else { "stages" };
        write!(
            f,
            "{kept} {stages} kept (built in {:.1?}, applied in {:.1?}",
            self.built_in, self.applied_in
        )?;
        if let Some(longest) = self.pauses.values().max() {
            write!(f, ", paused for {longest:.1?}")?;
        }
        match self.dropped {
            0 => write!(f, ", nothing dropped)"),
            dropped => write!(f, ", {dropped} dropped)"),
        }
    }
}
