//! What an operator under trial says: to the log on stderr, and kept where a report wants it.

use std::sync::{Mutex, PoisonError};

use crate::{
    operator::{Events, Level},
    stage::Guest,
};

/// Hears an operator.
pub(super) struct Listener {
    guest: Guest,
    /// The lines of the call at hand, which the host bounds; `None` where no report wants them.
    lines: Option<Mutex<Vec<(Level, String)>>>,
}

impl Listener {
    pub(super) fn new(name: &str, reported: bool) -> Self {
        Self {
            guest: Guest::new(name),
            lines: reported.then(Mutex::default),
        }
    }

    /// What was logged since the last call, if it is kept.
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
