//! A difference as individual steps: plain data for JSON and for display.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Change, Diff};
use crate::declare::Difference;

/// The change of a step that requires a restart.
const RESTART: &str = "restart";

/// Longest value that is shown whole: 40 characters.
const MAX_VALUE_CHARS: usize = 40;

/// The change of one item, planned or applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `keep`, `retune`, `swap`, `rewire`, `add`, `remove` or `restart`.
    pub change: String,
    /// The item: `stream raw`, `operator double`, `node`.
    pub what: String,
    /// The keys of the manifest that differ, or the reason for a restart.
    pub because: Vec<String>,
    /// The old and the new values of these keys, as far as they can be shown.
    #[serde(default)]
    pub values: BTreeMap<String, (String, String)>,
    /// Whether the change loses the item's state.
    pub forgets: bool,
}

impl Step {
    fn new(change: Change, what: impl fmt::Display, changed: &[Difference]) -> Self {
        let values = changed.iter().filter_map(|difference| {
            let values = difference.values.clone()?;
            Some((difference.key.clone(), values))
        });
        Self {
            change: change.to_string(),
            what: what.to_string(),
            because: changed.iter().map(|changed| changed.key.clone()).collect(),
            values: values.collect(),
            forgets: false,
        }
    }

    /// Returns a reason with its old and new values: `linger: 0s → 5ms`.
    fn shown(&self, reason: &str) -> String {
        match self.values.get(reason) {
            Some((old, new)) => format!("{reason}: {} → {}", shorten(old), shorten(new)),
            None => reason.to_owned(),
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
        let because: Vec<_> = self
            .because
            .iter()
            .map(|reason| self.shown(reason))
            .collect();
        let because = because.join(", ");
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

/// Returns a value, cut after [`MAX_VALUE_CHARS`].
fn shorten(value: &str) -> String {
    match value.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

impl Diff {
    /// Returns all steps, in the order in which they are shown.
    pub fn steps(&self) -> Vec<Step> {
        let restart = self.restart.iter().map(|reason| Step {
            change: RESTART.to_owned(),
            what: "node".to_owned(),
            because: vec![(*reason).to_owned()],
            values: BTreeMap::new(),
            forgets: true,
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
