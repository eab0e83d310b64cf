//! Log messages of an operator run by `run-operator`: written to the log on stderr, and kept for a report.

use std::sync::{Mutex, PoisonError};

use crate::{
    operator::{Events, Level},
    stage::Guest,
};

/// Receives the log messages of an operator.
pub(super) struct Listener {
    guest: Guest,
    /// The messages of the current call, whose number the host limits; `None` without a report.
    lines: Option<Mutex<Vec<(Level, String)>>>,
}

impl Listener {
    pub(super) fn new(name: &str, reported: bool) -> Self {
        Self {
            guest: Guest::new(name),
            lines: reported.then(Mutex::default),
        }
    }

    /// Returns the messages since the last call, if they are kept.
    pub(super) fn take_lines(&self) -> Vec<(Level, String)> {
        let lines = self.lines.as_ref();
        lines.map_or_else(Vec::new, |lines| {
            std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }
}

impl Events for Listener {
    fn log(&self, level: Level, message: &str) {
        self.guest.log(level, message);
        if let Some(lines) = &self.lines {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push((level, message.to_owned()));
        }
    }
}
