//! [`component`] and related items: run the built component with `mosaik-runner run-operator`.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::ran::Ran;
use super::report::Report;
use crate::{Error, Result, bail};

/// The time limit for a component to process all inputs, including its compilation: 2 min.
pub const COMPONENT_TIME_MAX: Duration = Duration::from_mins(2);

/// The maximum length in bytes of the runner's messages quoted in an error.
const QUOTED_LEN_MAX: u64 = 4096;

/// Passes the inputs to the first port of a component and finishes it, as [`run`](super::run) does natively.
///
/// The component is a `.wasm` file built by cargo, or `builtin:NAME`. It is run by the `mosaik-runner` named by the
/// environment variable `MOSAIK_RUNNER`, otherwise by the one in `PATH`.
///
/// # Errors
/// Fails if `mosaik-runner` is missing or too old, the component or its configuration is refused, it traps, or exceeds
/// [`COMPONENT_TIME_MAX`].
pub fn component(
    path: impl AsRef<OsStr>,
    config: impl Serialize,
    inputs: impl IntoIterator<Item = impl Serialize>,
) -> Result<Ran> {
    Component::new(path).config(config)?.run(inputs)
}

/// Like [`component()`], with an input port per record, as [`run_on`](super::run_on) does natively.
///
/// # Errors
/// As [`component()`].
pub fn component_on(
    path: impl AsRef<OsStr>,
    config: impl Serialize,
    inputs: impl IntoIterator<Item = (impl AsRef<str>, impl Serialize)>,
) -> Result<Ran> {
    Component::new(path).config(config)?.run_on(inputs)
}

/// A component under test, and its options.
#[derive(Debug, Clone)]
pub struct Component {
    runner: OsString,
    path: PathBuf,
    args: Vec<OsString>,
}

impl Component {
    /// Creates a test for a `.wasm` file, or `builtin:NAME`.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        Self {
            runner: std::env::var_os("MOSAIK_RUNNER").unwrap_or_else(|| "mosaik-runner".into()),
            path: PathBuf::from(path.as_ref()),
            args: Vec::new(),
        }
    }

    /// Sets the `mosaik-runner` to use.
    pub fn runner(self, runner: impl AsRef<OsStr>) -> Self {
        Self {
            runner: runner.as_ref().to_owned(),
            ..self
        }
    }

    /// Sets the configuration; empty by default.
    ///
    /// # Errors
    /// Fails if it cannot be serialized as JSON.
    pub fn config(self, config: impl Serialize) -> Result<Self> {
        let config = serde_json::to_string(&config)?;
        Ok(self.arg("--config", config))
    }

    /// Calls `tick` after the last record.
    pub fn tick(mut self) -> Self {
        self.args.push("--tick".into());
        self
    }

    /// Restores state from `file` first.
    pub fn state(self, file: impl AsRef<Path>) -> Self {
        self.arg("--state", file.as_ref())
    }

    /// Saves the state to `file`, as a reload does, instead of ending the inputs.
    pub fn save_state(self, file: impl AsRef<Path>) -> Self {
        self.arg("--save-state", file.as_ref())
    }

    /// Sets the memory limit, as in a manifest: `16MiB`.
    pub fn memory(self, memory: &str) -> Self {
        self.arg("--memory", memory)
    }

    /// Sets the time limit of a call, as in a manifest: `500ms`.
    pub fn time(self, time: &str) -> Self {
        self.arg("--time", time)
    }

    /// Runs the component on inputs of its first port.
    ///
    /// # Errors
    /// As [`component()`].
    pub fn run(&self, inputs: impl IntoIterator<Item = impl Serialize>) -> Result<Ran> {
        let mut stdin = Vec::new();
        for input in inputs {
            serde_json::to_writer(&mut stdin, &input)?;
            stdin.push(b'\n');
        }
        self.run_lines(&[], stdin)
    }

    /// Runs the component on inputs of several ports.
    ///
    /// # Errors
    /// As [`component()`].
    pub fn run_on(
        &self,
        inputs: impl IntoIterator<Item = (impl AsRef<str>, impl Serialize)>,
    ) -> Result<Ran> {
        #[derive(Serialize)]
        struct Tagged<'a, T> {
            port: &'a str,
            datum: T,
        }

        let mut stdin = Vec::new();
        for (port, datum) in inputs {
            let port = port.as_ref();
            serde_json::to_writer(&mut stdin, &Tagged { port, datum })?;
            stdin.push(b'\n');
        }
        self.run_lines(&["--tagged"], stdin)
    }

    fn arg(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        // In one argument, so that a value may start with a dash.
        let mut arg = OsString::from(name);
        arg.push("=");
        arg.push(value);
        self.args.push(arg);
        self
    }

    fn run_lines(&self, more: &[&str], stdin: Vec<u8>) -> Result<Ran> {
        let mut command = Command::new(&self.runner);
        command
            .args(["--quiet", "--color=never", "run-operator", "--report=json"])
            .args(&self.args)
            .args(more)
            .arg("--")
            .arg(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let runner = self.runner.display();
            Error::new(format_args!(
                "failed to start `{runner}`, which runs components: {error}; install mosaik-runner, or name it in \
                 the environment variable MOSAIK_RUNNER"
            ))
        })?;
        let (Some(mut to), Some(from), Some(messages)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            bail!("the runner's pipes are gone");
        };
        // A runner that has failed stops reading; its report contains the reason.
        thread::spawn(move || to.write_all(&stdin));
        let messages = thread::spawn(move || quoted(messages));
        let report = read_report(&mut child, from)?;
        child.wait()?;
        report.end().unwrap_or_else(|| {
            let said = messages.join().unwrap_or_default();
            let runner = self.runner.display();
            if said.contains("unrecognized subcommand") || said.contains("unexpected argument") {
                bail!("`{runner}` is too old to run components in tests: {said}");
            }
            bail!("`{runner}` ended without a complete report: {said}");
        })
    }
}

/// Reads to the end of the report, or until the time limit.
fn read_report(child: &mut Child, from: ChildStdout) -> Result<Report> {
    let (done, reading) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut report = Report::default();
        let read = BufReader::new(from)
            .lines()
            .try_for_each(|line| report.line(&line?));
        // Sending fails if the time limit has passed.
        let _ = done.send(read.map(|()| report));
    });
    let read = reading.recv_timeout(COMPONENT_TIME_MAX);
    if !matches!(read, Ok(Ok(_))) {
        let _ = child.kill();
        let _ = child.wait();
    }
    match read {
        Ok(report) => report,
        Err(RecvTimeoutError::Timeout) => {
            bail!("the component did not finish within {COMPONENT_TIME_MAX:?}")
        }
        Err(RecvTimeoutError::Disconnected) => bail!("failed to read the report"),
    }
}

/// Reads a text to its end, so that its writer does not block, and returns its beginning.
fn quoted(mut from: impl Read) -> String {
    let mut said = Vec::new();
    let _ = from.by_ref().take(QUOTED_LEN_MAX).read_to_end(&mut said);
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    String::from_utf8_lossy(&said).trim().to_owned()
}
