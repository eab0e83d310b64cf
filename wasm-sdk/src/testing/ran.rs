//! [`Ran`]: what a test has seen of an operator.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::host::Level;

/// What [`run`](super::run), [`component`](super::component()) and their like saw. Equal for the operator's Rust code and for the
/// component built of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ran {
    /// What left by the first output port.
    pub outputs: Vec<Value>,
    /// What left by the others, with the port's name.
    pub others: Vec<(String, Value)>,
    /// Inputs that were refused, by index over all that was sent, and why.
    pub rejected: Vec<(usize, String)>,
    /// What was counted.
    pub counters: BTreeMap<String, u64>,
    /// What was logged; natively the last thousand lines.
    pub log: Vec<(Level, String)>,
}

impl Ran {
    /// What left by an output port other than the first.
    pub fn on(&self, port: &str) -> Vec<&Value> {
        let of_port = self.others.iter().filter(|(name, _)| name == port);
        of_port.map(|(_, datum)| datum).collect()
    }

    pub(super) fn left(&mut self, port: usize, name: &str, datum: Value) {
        match port {
            0 => self.outputs.push(datum),
            _ => self.others.push((name.to_owned(), datum)),
        }
    }
}
