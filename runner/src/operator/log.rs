//! The log lines of an operator, from `host.log` and from its standard output and error, bounded
//! per call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::host::{Events, Level, cut};
use super::limits::Limits;
use crate::secrets::{mask, secrets};

/// The log lines of one instance, shared by all its outputs.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Lines>>);

struct Lines {
    limits: Limits,
    events: Arc<dyn Events>,
    /// Secrets to mask: a guest that prints them does so by mistake.
    secrets: Vec<String>,
    /// Number of lines that the current call may still log.
    left: u32,
    /// Number of lines of the current call that were dropped.
    dropped: u64,
    /// The last error line of the current call: a panicking guest gives its reason here and then
    /// traps.
    last_error: Option<String>,
    /// Printed text without a line break so far, by stream.
    printed: [Partial; 2],
}

#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    /// True if the rest of this line is ignored because the line is too long.
    full: bool,
}

/// The standard stream that a guest prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Printed {
    Out,
    Err,
}

impl Log {
    /// Creates a log that masks the secret parts of `values` in all its lines.
    pub(super) fn new(limits: Limits, events: Arc<dyn Events>, values: &[String]) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            limits,
            events,
            secrets: secrets(values),
            left: limits.log_lines_max,
            dropped: 0,
            last_error: None,
            printed: [Partial::default(), Partial::default()],
        })))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if the current call may log another line; if not, the line is counted as
    /// dropped.
    pub(super) fn has_room(&self) -> bool {
        let mut lines = self.lines();
        let room = lines.left > 0;
        if !room {
            lines.dropped += 1;
        }
        room
    }

    /// Logs a line, cut to the maximum length.
    pub(super) fn line(&self, level: Level, text: &str) {
        self.lines().line(level, text);
    }

    /// Logs the complete lines of printed bytes; the rest waits for the end of its line.
    pub(super) fn print(&self, stream: Printed, bytes: &[u8]) {
        self.lines().print(stream, bytes);
    }

    /// Returns `text` with its secrets masked.
    pub(super) fn masked(&self, text: String) -> String {
        self.lines().masked(text)
    }

    /// Returns the last error line since the last [`end_call`](Self::end_call).
    pub(super) fn last_error(&self) -> Option<String> {
        let mut lines = self.lines();
        lines.end_printed();
        lines.last_error.clone()
    }

    /// Logs the number of dropped lines and resets the limits for the next call.
    pub(super) fn end_call(&self) {
        let mut lines = self.lines();
        lines.end_printed();
        lines.left = lines.limits.log_lines_max;
        if lines.dropped > 0 {
            let dropped = std::mem::take(&mut lines.dropped);
            lines.events.log(
                Level::Warn,
                &format!("{dropped} more log lines of this call were dropped"),
            );
        }
        lines.last_error = None;
    }
}

impl Lines {
    fn line(&mut self, level: Level, text: &str) {
        if self.left == 0 {
            self.dropped += 1;
            return;
        }
        self.left -= 1;
        let text = self.shown(text);
        self.events.log(level, &text);
        if level == Level::Error {
            self.last_error = Some(text);
        }
    }

    /// Number of bytes of a line to inspect, so that no secret is cut in two and its prefix shown.
    fn room(&self) -> usize {
        let longest = self.secrets.iter().map(String::len).max().unwrap_or(0);
        self.limits.log_line_bytes_max.saturating_add(longest)
    }

    /// Returns a line with its secrets masked and cut to the maximum length.
    fn shown(&self, text: &str) -> String {
        let mut text = self.masked(cut(text, self.room()).to_owned());
        text.truncate(text.floor_char_boundary(self.limits.log_line_bytes_max));
        text
    }

    fn masked(&self, text: String) -> String {
        mask(text, &self.secrets)
    }

    fn print(&mut self, stream: Printed, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (piece, ended) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            let room = self.room();
            let partial = &mut self.printed[stream as usize];
            if !partial.full {
                let fits = room.saturating_sub(partial.bytes.len()).min(piece.len());
                partial.bytes.extend_from_slice(&piece[..fits]);
                partial.full = fits < piece.len();
            }
            if ended {
                self.end_line(stream);
            }
        }
    }

    fn end_printed(&mut self) {
        for stream in [Printed::Out, Printed::Err] {
            if !self.printed[stream as usize].bytes.is_empty() {
                self.end_line(stream);
            }
        }
    }

    fn end_line(&mut self, stream: Printed) {
        let Partial { bytes, .. } = std::mem::take(&mut self.printed[stream as usize]);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        match stream {
            Printed::Out => self.line(Level::Info, text),
            Printed::Err => {
                self.line(Level::Warn, text);
                // A language runtime prints the reason here before it traps.
                self.last_error = Some(self.shown(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::tests::Recorder;

    fn log(limits: Limits, secrets: &[&str]) -> (Log, Arc<Recorder>) {
        let seen = Arc::new(Recorder::default());
        let secrets: Vec<_> = secrets.iter().map(|&secret| secret.to_owned()).collect();
        let log = Log::new(limits, Arc::clone(&seen) as Arc<dyn Events>, &secrets);
        (log, seen)
    }

    #[test]
    fn printed_text_is_logged_by_line_and_the_rest_at_the_end_of_the_call() {
        let (log, seen) = log(Limits::default(), &[]);
        log.print(Printed::Out, b"one\ntw");
        log.print(Printed::Err, b"oh\n\n");
        log.print(Printed::Out, b"o\r\nthr\xffee");
        assert_eq!(seen.take(), ["Info one", "Warn oh", "Info two"]);
        assert_eq!(log.last_error().as_deref(), Some("oh"));
        log.end_call();
        assert_eq!(seen.take(), ["Info thr\u{fffd}ee"]);
        assert_eq!(log.last_error(), None);
    }

    #[test]
    fn printed_text_is_bounded_in_lines_and_length() {
        let limits = Limits {
            log_lines_max: 2,
            log_line_bytes_max: 4,
            ..Limits::default()
        };
        let (log, seen) = log(limits, &[]);
        for _ in 0..1000 {
            log.print(Printed::Out, b"abcdefgh");
        }
        assert!(log.lines().printed[0].bytes.len() <= 4);
        log.print(Printed::Out, b"\nb\nc\nd\n");
        assert!(!log.has_room());
        log.end_call();
        assert_eq!(
            seen.take(),
            [
                "Info abcd",
                "Info b",
                "Warn 3 more log lines of this call were dropped"
            ]
        );
        assert!(log.has_room());
    }

    #[test]
    fn secrets_are_masked_in_every_log_line() {
        let (log, seen) = log(Limits::default(), &["hunter2", "a"]);
        log.line(Level::Error, "key=hunter2, a");
        log.print(Printed::Err, b"hunter2hunter2\n");
        assert_eq!(seen.take(), ["Error key=***, a", "Warn ******"]);
        assert_eq!(log.last_error().as_deref(), Some("******"));
        assert_eq!(log.masked("no hunter2".into()), "no ***");
    }

    #[test]
    fn no_part_of_a_secret_remains_in_a_truncated_line() {
        let limits = Limits {
            log_line_bytes_max: 8,
            ..Limits::default()
        };
        let (log, seen) = log(limits, &["hunter2"]);
        log.line(Level::Info, "it is hunter2");
        log.print(Printed::Out, b"it is hunter2, he said\n");
        assert_eq!(seen.take(), ["Info it is **", "Info it is **"]);
    }
}
