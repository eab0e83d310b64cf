//! What a node costs when little happens: the time to the first result with a warm cache, the CPU time and memory of
//! an idle one.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::idle;

const RUNS: usize = 5;
const IDLE: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(2);

/// Runs the quick start and an idle `follow` node, and tells what they took.
pub(crate) fn measure() -> Result<String, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("bench/ lies in the repository")?;
    let binary = std::env::current_exe()?.with_file_name("mosaik-runner");
    if !binary.exists() {
        return Err(format!(
            "{} is missing: cargo build --release first",
            binary.display()
        )
        .into());
    }
    let quickstart = root.join("manifests/quickstart.yaml");
    first_result(&binary, &quickstart)?;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        times.push(first_result(&binary, &quickstart)?);
    }
    times.sort();
    let mut report = String::new();
    writeln!(
        report,
        "quick start, first line on stdout, warm cache: median {:.0?} of {RUNS}, worst {:.0?}",
        times[RUNS / 2],
        times[RUNS - 1]
    )?;
    let (cpu, resident_kib) = follow(&binary)?;
    writeln!(
        report,
        "idle `follow` node over {IDLE:?}: {cpu:.0?} of CPU, {} MiB resident",
        resident_kib / 1024
    )?;
    report.push_str(&idle::measure()?);
    Ok(report)
}

fn first_result(binary: &Path, manifest: &Path) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let mut child = Command::new(binary)
        .arg("-q")
        .arg("up")
        .arg(manifest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("stdout is piped")?).lines();
    lines.next().ok_or("the quick start printed nothing")??;
    let took = start.elapsed();
    lines.count();
    if !child.wait()?.success() {
        return Err("the quick start failed".into());
    }
    Ok(took)
}

/// Kills its process when dropped, by its own pid.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn follow(binary: &Path) -> Result<(Duration, u64), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("mosaik-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let manifest = folder.join("idle.yaml");
    fs::write(
        &manifest,
        "mosaik: v1\nnetwork: idle\nstreams: {a: {}, b: {}}\n\
         producers:\n  tail: {from: {file: {path: in.jsonl, follow: true}}, to: a}\n\
         operators:\n  same: {wasm: 'builtin:jq', from: a, to: b, config: {filter: .}}\n\
         consumers:\n  out: {from: b, to: {stdout: {}}}\n",
    )?;
    fs::write(folder.join("in.jsonl"), "{}\n")?;
    let child = Command::new(binary)
        .arg("-q")
        .arg("up")
        .arg(&manifest)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let running = Running(child);
    let process = PathBuf::from(format!("/proc/{}", running.0.id()));
    thread::sleep(SETTLE);
    let before = cpu_time(&process)?;
    thread::sleep(IDLE);
    let used = cpu_time(&process)?.saturating_sub(before);
    let resident = resident_kib(&process)?;
    drop(running);
    fs::remove_dir_all(folder)?;
    Ok((used, resident))
}

/// CPU time of all threads, to the nanosecond.
pub(crate) fn cpu_time(process: &Path) -> Result<Duration, Box<dyn Error>> {
    let mut total = 0;
    for task in fs::read_dir(process.join("task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        total += stat
            .split_whitespace()
            .next()
            .ok_or("schedstat starts with the time on the CPU")?
            .parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}

fn resident_kib(process: &Path) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(process.join("status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .ok_or("a process has a size")?;
    Ok(line.split_whitespace().nth(1).ok_or("in KiB")?.parse()?)
}
