//! [`Openings`]: the operators that a check has opened, and their instances until they start.

use std::sync::{Arc, Mutex, PoisonError};

use crate::operator::{Binding, Component, Events, Grants, Interfaces, Level, Limits, Setup};

/// Everything that decides whether an operator opens, except the state of the outside world.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OpenedWith {
    component: String,
    interfaces: Interfaces,
    name: String,
    /// The hash of the configuration, which may contain large data files.
    config: blake3::Hash,
    inputs: Vec<Binding>,
    outputs: Vec<Binding>,
    limits: Limits,
    grants: Grants,
}

impl OpenedWith {
    pub(super) fn new(component: &Component, setup: &Setup) -> Self {
        Self {
            component: component.hash(),
            interfaces: component.interfaces(),
            name: setup.name.clone(),
            config: blake3::hash(setup.config.as_bytes()),
            inputs: setup.inputs.clone(),
            outputs: setup.outputs.clone(),
            limits: setup.limits,
            grants: setup.grants.clone(),
        }
    }
}

/// The operators that have opened, with the instances that wait for their start.
#[derive(Debug)]
pub(super) struct Openings<I> {
    accepted: Vec<OpenedWith>,
    waiting: Vec<(OpenedWith, I)>,
}

impl<I> Default for Openings<I> {
    fn default() -> Self {
        Self {
            accepted: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

impl<I> Openings<I> {
    /// Returns true if an operator has opened with the same inputs before.
    pub(super) fn has_opened(&self, with: &OpenedWith) -> bool {
        self.accepted.contains(with)
    }

    /// Adds an operator that has opened, with its instance.
    pub(super) fn add(&mut self, with: OpenedWith, instance: I) {
        self.accepted.push(with.clone());
        self.waiting.push((with, instance));
    }

    /// Takes the waiting instance of an operator.
    pub(super) fn take(&mut self, with: &OpenedWith) -> Option<I> {
        let found = self
            .waiting
            .iter()
            .position(|(waiting, _)| waiting == with)?;
        Some(self.waiting.swap_remove(found).1)
    }

    /// Returns the number of waiting instances.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Drops the waiting instances.
    pub(super) fn drop_waiting(&mut self) {
        self.waiting.clear();
    }

    /// Drops the waiting instances, and forgets all operators except these.
    pub(super) fn retain(&mut self, running: &[OpenedWith]) {
        self.drop_waiting();
        self.accepted.retain(|with| running.contains(with));
    }
}

/// Holds the log lines of an instance until it starts. Lines of an instance that never starts are
/// not logged. An instance that waits was only opened, and the lines of one call are bounded.
#[derive(Default)]
pub(super) struct HeldLog(Mutex<Held>);

enum Held {
    Lines(Vec<(Level, String)>),
    Released(Arc<dyn Events>),
}

impl Default for Held {
    fn default() -> Self {
        Self::Lines(Vec::new())
    }
}

impl std::fmt::Debug for HeldLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldLog").finish_non_exhaustive()
    }
}

impl HeldLog {
    /// Passes the held lines and all later ones on.
    pub(super) fn release(&self, to: &Arc<dyn Events>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *held, Held::Released(Arc::clone(to)));
        if let Held::Lines(lines) = before {
            for (level, line) in lines {
                to.log(level, &line);
            }
        }
    }
}

impl Events for HeldLog {
    fn log(&self, level: Level, message: &str) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Held::Lines(lines) => lines.push((level, message.to_owned())),
            Held::Released(to) => to.log(level, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Events for Lines {
        fn log(&self, _: Level, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    #[test]
    fn lines_are_held_until_the_instance_starts() {
        let (held, lines) = (HeldLog::default(), Arc::new(Lines::default()));
        held.log(Level::Info, "opened");
        let to: Arc<dyn Events> = lines.clone();
        held.release(&to);
        held.log(Level::Info, "processed");
        assert_eq!(*lines.0.lock().unwrap(), ["opened", "processed"]);
    }
}
