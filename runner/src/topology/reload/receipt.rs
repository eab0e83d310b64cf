//! The result of a reload.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{
    graph::{Change, Diff, StageKey},
    topology::report::{Outcome, Reload},
};

/// The result of a reload: the difference between the graphs, the durations and the number of
/// dropped records.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The generation that runs now. The node starts with 1.
    pub generation: u64,
    /// The difference between the two graphs.
    pub diff: Diff,
    /// The unchanged stages that were started again: each had failed, or had ended for lack of
    /// readers or writers.
    pub restarted: Vec<StageKey>,
    /// Time spent building beside the running generation.
    pub built_in: Duration,
    /// Time spent applying the new generation: an upper bound on how long any edge was paused.
    pub applied_in: Duration,
    /// Time for which each swapped operator paused its edges.
    pub pauses: BTreeMap<StageKey, Duration>,
    /// Records that any stage or stream dropped while the generation was applied.
    pub dropped: u64,
}

impl Receipt {
    /// Returns the report of this reload; `hash` is that of the manifest.
    pub fn report(&self, at_ms: u64, hash: String) -> Reload {
        let ms = |duration: &Duration| duration.as_secs_f64() * 1000.0;
        let paused = self.pauses.iter();
        Reload {
            outcome: Outcome::Applied,
            steps: self.diff.steps(),
            built_ms: ms(&self.built_in),
            applied_ms: ms(&self.applied_in),
            paused_ms: paused
                .map(|(key, pause)| (key.to_string(), ms(pause)))
                .collect(),
            dropped: self.dropped,
            ..Reload::refused(at_ms, self.generation, Some(hash), self.to_string())
        }
    }
}

/// One line: the changes, the number of unchanged stages, the durations and the number of dropped
/// records.
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
