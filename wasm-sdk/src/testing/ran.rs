//! [`Ran`]: the results of a test run.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::host::Level;

/// The results of [`run`](super::run), [`component`](super::component()) and related functions. Equal for the
/// operator's Rust code and for the component built from it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ran {
    /// The outputs on the first output port.
    pub outputs: Vec<Value>,
    /// The outputs on the other ports, with the port's name.
    pub others: Vec<(String, Value)>,
    /// The rejected inputs: their index among all inputs, and the reason.
    pub rejected: Vec<(usize, String)>,
    /// The counters.
    pub counters: BTreeMap<String, u64>,
    /// The log; in native runs the last 1000 lines.
    pub log: Vec<(Level, String)>,
}

impl Ran {
    /// Returns the outputs on an output port other than the first.
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
