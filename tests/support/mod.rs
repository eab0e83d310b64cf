//! Runs the real binary against real files and sockets. Every wait has a limit and says what it waited for.

pub(crate) mod guest;
pub(crate) mod mounted;
pub(crate) mod shell;
pub(crate) mod socket;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write as _},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test fails: generous, for a busy machine and a debug build.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the runner lies in the repository")
        .to_path_buf()
}

/// The binary under test, with state of its own and a compile cache shared by all tests.
pub(crate) fn runner() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaik-runner"));
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    command
        .env("XDG_CACHE_HOME", scratch.join("cache"))
        .env("XDG_STATE_HOME", scratch.join("state"))
        .env("XDG_RUNTIME_DIR", runtime_folder())
        // Nodes are also looked for there.
        .env("TMPDIR", scratch)
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1");
    command
}

/// Where the control sockets of tests are: in a folder with a short path, which sockets need.
pub(crate) fn runtime_folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("mosaik-tests-{user}"))
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `mosaik-runner ARGS` to its end.
#[track_caller]
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Done {
    let mut command = runner();
    command.args(args);
    Node::spawn(command).wait()
}

/// As [`run`], with this on stdin.
#[track_caller]
pub(crate) fn run_with_stdin<S: AsRef<std::ffi::OsStr>>(
    args: impl IntoIterator<Item = S>,
    stdin: &str,
) -> Done {
    let mut child = runner()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary under test starts");
    let mut to = child.stdin.take().expect("piped");
    let stdin = stdin.to_owned();
    // One that ends without reading all of it says why by itself.
    let writing = thread::spawn(move || to.write_all(stdin.as_bytes()));
    let output = child.wait_with_output().expect("it is our child");
    let _ = writing.join();
    let text = |bytes| String::from_utf8(bytes).expect("it writes text");
    Done {
        status: output.status,
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// The lines that a process has written to one of its outputs so far.
#[derive(Debug, Default)]
struct Lines {
    state: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Lines {
    fn collect(from: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let filled = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                filled.lock().0.push(line);
                filled.more.notify_all();
            }
            filled.lock().1 = true;
            filled.more.notify_all();
        });
        lines
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, mut found: impl FnMut(&[String]) -> Option<T>) -> T {
        let until = Instant::now() + LIMIT;
        let mut state = self.lock();
        loop {
            if let Some(found) = found(&state.0) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !state.1 && !left.is_zero(),
                "waited in vain for {what}; there was:\n{}",
                state.0.join("\n")
            );
            state = self
                .more
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// A test that failed while it held the lock has said so.
    fn lock(&self) -> MutexGuard<'_, (Vec<String>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        self.wait("the end of an output", |_| Some(()));
        let until = Instant::now() + LIMIT;
        let mut state = self.lock();
        while !state.1 && Instant::now() < until {
            state = self
                .more
                .wait_timeout(state, Duration::from_millis(100))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state
            .0
            .iter()
            .flat_map(|line| {
                [
                    line.as_str(),
                    "
",
                ]
            })
            .collect()
    }
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
}

impl Node {
    /// Runs `mosaik-runner up MANIFEST`.
    pub(crate) fn up(manifest: &Path) -> Self {
        let mut command = runner();
        command.arg("up").arg(manifest);
        Self::spawn(command)
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary under test starts");
        let stdout = Lines::collect(child.stdout.take().expect("piped"));
        let stderr = Lines::collect(child.stderr.take().expect("piped"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on stdout that fits, and gives it.
    #[track_caller]
    pub(crate) fn stdout_line(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        self.stdout
            .wait(what, |lines| lines.iter().find(|line| fits(line)).cloned())
    }

    /// Waits until stdout has so many lines, and gives them all.
    #[track_caller]
    pub(crate) fn stdout_lines(&self, count: usize) -> Vec<String> {
        self.stdout.wait(&format!("{count} lines"), |lines| {
            (lines.len() >= count).then(|| lines.to_vec())
        })
    }

    /// How many lines there are on stdout now.
    pub(crate) fn stdout_count(&self) -> usize {
        self.stdout.lock().0.len()
    }

    /// Waits for a line on stderr that contains `text`, and gives it.
    #[track_caller]
    pub(crate) fn logged(&self, text: &str) -> String {
        self.stderr.wait(text, |lines| {
            lines.iter().find(|line| line.contains(text)).cloned()
        })
    }

    /// Waits until `text` has been on stderr so many times.
    #[track_caller]
    pub(crate) fn logged_times(&self, text: &str, times: usize) {
        self.stderr.wait(text, |lines| {
            (lines.iter().filter(|line| line.contains(text)).count() >= times).then_some(())
        });
    }

    /// What is on stderr now.
    pub(crate) fn stderr_now(&self) -> String {
        self.stderr.lock().0.join("\n")
    }

    /// Sends a signal to this process, by its own pid.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// Ends it as Ctrl-C does, and waits for that.
    #[track_caller]
    pub(crate) fn interrupt(self) -> Done {
        self.signal(rustix::process::Signal::INT);
        let done = self.wait();
        assert!(done.status.success(), "{}", done.stderr);
        done
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(self) {
        drop(self.kill_and_read());
    }

    /// As [`kill`](Self::kill), and gives all that it had written to stdout.
    pub(crate) fn kill_and_read(mut self) -> String {
        self.child.kill().expect("the process is there");
        self.child.wait().expect("a killed process ends");
        self.stdout.text()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(self) -> Done {
        self.wait_within(LIMIT)
    }

    /// Waits for its end, for what takes longer than most.
    #[track_caller]
    pub(crate) fn wait_within(mut self, limit: Duration) -> Done {
        let until = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(
                Instant::now() < until,
                "still running after {limit:?}; its log:\n{}",
                self.stderr_now()
            );
            thread::yield_now();
            thread::park_timeout(Duration::from_millis(5));
        };
        Done {
            status,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the process is there");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("a process has a size");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("in KiB")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Already gone when it was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `holds`, looking again every few milliseconds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// UDP ports on loopback that nobody has at the moment.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let sockets =
        [(); N].map(|()| UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port"));
    sockets.map(|socket| socket.local_addr().expect("it is bound").port())
}

/// A new identity: the secret key and the peer id, in hex.
pub(crate) fn identity() -> (String, String) {
    let printed = run(["keygen"]).stdout;
    let field = |name: &str| {
        let line = printed
            .lines()
            .find(|line| line.starts_with(name))
            .expect("keygen prints both");
        line.split_whitespace()
            .nth(1)
            .expect("with a value")
            .to_owned()
    };
    (field("secret_key:"), field("peer_id:"))
}

/// Writes a file below a folder, and gives its path.
pub(crate) fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("the temporary folder can be written");
    path
}
