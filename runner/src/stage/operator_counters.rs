//! The operator's own counters, summed over all its instances.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::operator::{Counted, CounterClass};

/// Maximum number of counter names of one operator, over all its instances: 64. The host holds each
/// instance to the same bound, but an operator that fails repeatedly has many instances.
const COUNTERS_MAX: usize = 64;

/// One of the operator's own counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorCounter {
    /// The meaning of the counter for the operator's results, as first reported.
    pub class: CounterClass,
    /// The total.
    pub total: u64,
}

/// The counters of one operator, by name.
#[derive(Debug, Default)]
pub struct OperatorCounters(Mutex<BTreeMap<String, OperatorCounter>>);

impl OperatorCounters {
    /// Adds the counts of an instance.
    pub fn add(&self, counted: &[Counted]) {
        if counted.is_empty() {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Counted { name, class, delta } in counted {
            if let Some(known) = all.get_mut(&**name) {
                known.total = known.total.saturating_add(*delta);
            } else if all.len() < COUNTERS_MAX {
                let new = OperatorCounter {
                    class: *class,
                    total: *delta,
                };
                all.insert((**name).to_owned(), new);
            }
        }
    }

    /// Returns the counters, at most 64.
    pub fn read(&self) -> BTreeMap<String, OperatorCounter> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, class: CounterClass, delta: u64) -> Counted {
        Counted {
            name: name.into(),
            class,
            delta,
        }
    }

    #[test]
    fn the_number_of_counters_of_an_operator_is_bounded() {
        let counters = OperatorCounters::default();
        for instance in 0..100 {
            for name in 0..64 {
                let name = format!("{instance}-{name}");
                counters.add(&[counted(&name, CounterClass::Normal, 1)]);
            }
        }
        counters.add(&[counted("0-0", CounterClass::Lost, u64::MAX)]);
        let counters = counters.read();
        assert_eq!(counters.len(), COUNTERS_MAX);
        assert_eq!(counters["0-0"].total, u64::MAX);
        assert_eq!(counters["0-0"].class, CounterClass::Normal);
    }
}
