//! The other processes of a measurement: they print results line by line, and are killed when no longer needed.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use crate::measure::Result;

/// Set for a process of this program that acts as the runner.
pub(crate) const AS_RUNNER: &str = "MOSAIK_BENCH_AS_RUNNER";

/// A process of a measurement. Killed when dropped, by its own pid.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
}

/// The maximum time without output, in addition to the measurement: 60 s.
const SILENT_MAX: Duration = Duration::from_mins(1);
/// The maximum number of lines that wait to be read. Above it, the process blocks.
const LINES_MAX: usize = 16;

impl Process {
    /// Starts another process of this program for one part of a measurement.
    pub(crate) fn part<S: AsRef<std::ffi::OsStr>>(
        args: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("part").args(args);
        Self::start(command)
    }

    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let stdout = child.stdout.take().ok_or("stdout is piped")?;
        let (said, lines) = mpsc::sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout)
                .lines()
                .map_while(std::result::Result::ok);
            // Sending fails when the measurement is over.
            let _ = lines.map(|line| said.send(line)).all(|sent| sent.is_ok());
        });
        Ok(Self { child, lines })
    }

    /// Waits for the next line, which must be `WORD REST`, and returns the rest.
    pub(crate) fn says(&mut self, word: &str) -> Result<String> {
        let line = self.lines.recv_timeout(SILENT_MAX);
        let line = line.map_err(|error| format!("`{word}` was to follow: {error}"))?;
        let rest = line.trim_end().strip_prefix(word);
        let rest = rest.ok_or_else(|| format!("`{word}` was to follow, not `{}`", line.trim()))?;
        Ok(rest.trim_start().to_owned())
    }

    /// Like [`says`](Self::says), and parses the rest as numbers.
    pub(crate) fn numbers(&mut self, word: &str) -> Result<Vec<f64>> {
        let rest = self.says(word)?;
        let numbers = rest.split_whitespace().map(str::parse);
        Ok(numbers.collect::<std::result::Result<_, _>>()?)
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.child.id()))
    }

    /// Returns the CPU time of all current threads.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        cpu_time(&self.folder())
    }

    pub(crate) fn resident_kib(&self) -> Result<u64> {
        resident_kib(&self.folder())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command that runs the runner as a process of this program.
pub(crate) fn runner() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .env(AS_RUNNER, "yes")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Ok(command)
}

/// Runs the runner on a manifest until it ends.
pub(crate) fn run_to_end(manifest: &Path) -> Result<()> {
    let mut command = runner()?;
    let status = command
        .args(["-q", "up", "--no-watch"])
        .arg(manifest)
        .status()?;
    if !status.success() {
        return Err(format!("{} failed", manifest.display()).into());
    }
    Ok(())
}

/// Returns the CPU time of all threads in nanoseconds.
pub(crate) fn cpu_time(process: &Path) -> Result<Duration> {
    let mut total = 0;
    for task in fs::read_dir(process.join("task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = stat.split_whitespace().next();
        total += on_cpu
            .ok_or("schedstat starts with the time on the CPU")?
            .parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}

pub(crate) fn resident_kib(process: &Path) -> Result<u64> {
    let status = fs::read_to_string(process.join("status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line
        .ok_or("a process has a size")?
        .split_whitespace()
        .nth(1);
    Ok(number.ok_or("in KiB")?.parse()?)
}
