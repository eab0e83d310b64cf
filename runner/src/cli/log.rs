//! The log on stderr.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use super::{LogFormat, OutputArgs};

/// Initializes the log. If `RUST_LOG` is set, it takes precedence over `-v` and `-q`.
pub(super) fn init(output: OutputArgs) {
    let ours = match (output.quiet, output.verbose) {
        (true, _) => "error",
        (_, 0) => "info",
        (_, 1) => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new(format!(
            "warn,mosaik_runner={ours},mosaik_streams={ours},quinn=error,wasmtime_wasi_http=error"
        ))
    });
    let registry = tracing_subscriber::registry().with(filter);
    match output.log {
        LogFormat::Json => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .init(),
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .compact()
                    .with_target(output.verbose > 0)
                    .with_ansi(output.color.on_stderr())
                    .with_timer(Clock)
                    .with_writer(std::io::stderr),
            )
            .init(),
    }
}

/// The time of day in UTC, to the millisecond.
struct Clock;

impl fmt::time::FormatTime for Clock {
    fn format_time(&self, w: &mut fmt::format::Writer<'_>) -> std::fmt::Result {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let (seconds, ms) = (now.as_secs() % 86_400, now.subsec_millis());
        write!(
            w,
            "{:02}:{:02}:{:02}.{ms:03}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}
