//! The streams in which the output of a stage ends.

use std::collections::BTreeSet;

use super::{Graph, Role, Scope, Stage, StreamName};

impl Graph {
    /// Returns the shared streams in which all output of a stage ends. Empty if any output ends in this node, in a
    /// consumer or in a stream without readers.
    pub fn shared_ends(&self, stage: &Stage) -> BTreeSet<StreamName> {
        let mut ends = BTreeSet::new();
        if self.collect_ends(stage, &mut BTreeSet::new(), &mut ends) {
            ends
        } else {
            BTreeSet::new()
        }
    }

    /// Adds the shared streams reached from a stage. Returns whether its output reaches only shared streams.
    fn collect_ends<'g>(
        &'g self,
        stage: &'g Stage,
        seen: &mut BTreeSet<&'g StreamName>,
        ends: &mut BTreeSet<StreamName>,
    ) -> bool {
        let mut writes = stage.writes().peekable();
        if stage.key.role == Role::Consumer || writes.peek().is_none() {
            return false;
        }
        for stream in writes {
            if !seen.insert(stream) {
                continue;
            }
            if self.streams[stream].settings.scope == Scope::Network {
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
