//! Where a stage's output ends.

use std::collections::BTreeSet;

use super::{Graph, Scope, Stage, StreamName};

impl Graph {
    /// The shared streams that all of a stage's output ends in. Empty if a part of it ends in a consumer of this node.
    pub fn shared_ends(&self, stage: &Stage) -> BTreeSet<StreamName> {
        let mut ends = BTreeSet::new();
        if self.collect_ends(stage, &mut BTreeSet::new(), &mut ends) {
            ends
        } else {
            BTreeSet::new()
        }
    }

    /// Adds the shared streams that a stage leads to. Returns whether it leads to these alone.
    fn collect_ends<'g>(
        &'g self,
        stage: &'g Stage,
        seen: &mut BTreeSet<&'g StreamName>,
        ends: &mut BTreeSet<StreamName>,
    ) -> bool {
        let mut writes = stage.writes().peekable();
        if writes.peek().is_none() {
            return false;
        }
        for stream in writes {
            if !seen.insert(stream) {
                continue;
            }
            if self.streams[stream].scope == Scope::Network {
                ends.insert(stream.clone());
                continue;
            }
            let mut readers = self.readers(stream).peekable();
            let has_readers = readers.peek().is_some();
            if !has_readers || !readers.all(|reader| self.collect_ends(reader, seen, ends)) {
                return false;
            }
        }
        true
    }
}
