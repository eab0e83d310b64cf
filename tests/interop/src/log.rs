//! The log of Mosaik, kept for requests: the only place with the reason for a closed link.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use tracing_subscriber::EnvFilter;

/// Lines kept at the most, the latest.
const LINES_MAX: usize = 100_000;

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Keeps all that is logged from now on.
    pub fn install() -> Self {
        let log = Self::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("mosaik=trace"))
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    }

    pub fn contains(&self, text: &str) -> bool {
        self.0
            .lock()
            .is_ok_and(|lines| lines.iter().any(|line| line.contains(text)))
    }

    pub fn tail(&self, count: usize) -> Vec<String> {
        let Ok(lines) = self.0.lock() else {
            return Vec::new();
        };
        lines[lines.len().saturating_sub(count)..].to_vec()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut lines) = self.0.lock() {
            if lines.len() == LINES_MAX {
                lines.drain(..LINES_MAX / 2);
            }
            lines.push(String::from_utf8_lossy(bytes).trim_end().to_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
