//! Runs the real binary with real files and sockets. Every wait has a limit and names its condition
//! on failure.

pub(crate) mod guest;
pub(crate) mod mounted;
pub(crate) mod page;
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

/// Time limit for any step of a test: 100 s, which allows for a busy machine and a debug build.
/// Shorter than the 2 minutes for which a stream keeps a reader that it has lost.
pub(crate) const LIMIT: Duration = Duration::from_secs(100);

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the runner lies in the repository")
        .to_path_buf()
}

/// Returns the binary under test, with its own state and a compile cache shared by all tests.
pub(crate) fn runner() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaik-runner"));
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    command
        .env("XDG_CACHE_HOME", scratch.join("cache"))
        .env("XDG_STATE_HOME", scratch.join("state"))
        .env("XDG_RUNTIME_DIR", runtime_folder())
        // Nodes are also searched for there.
        .env("TMPDIR", scratch)
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1");
    command
}

/// Returns the folder of the tests' control sockets. Its path is short, as sockets require.
pub(crate) fn runtime_folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("mosaik-tests-{user}"))
}

/// A finished process.
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

/// Like [`run`], with this text on stdin.
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
    // A process that ends without reading all of it reports the reason itself.
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

    /// Ignores a poisoned lock: the test that failed while holding it has already reported its
    /// error.
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

/// A running process, killed on drop.
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

    pub(crate) fn spawn(command: Command) -> Self {
        Self::spawn_reading(command, Stdio::null())
    }

    pub(crate) fn spawn_reading(mut command: Command, stdin: impl Into<Stdio>) -> Self {
        let mut child = command
            .stdin(stdin)
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

    /// Waits for a matching line on stdout and returns it.
    #[track_caller]
    pub(crate) fn stdout_line(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        self.stdout
            .wait(what, |lines| lines.iter().find(|line| fits(line)).cloned())
    }

    /// Waits until stdout has at least `count` lines and returns all of them.
    #[track_caller]
    pub(crate) fn stdout_lines(&self, count: usize) -> Vec<String> {
        self.stdout.wait(&format!("{count} lines"), |lines| {
            (lines.len() >= count).then(|| lines.to_vec())
        })
    }

    /// Returns the current number of lines on stdout.
    pub(crate) fn stdout_count(&self) -> usize {
        self.stdout.lock().0.len()
    }

    /// Waits for a line on stderr that contains `text` and returns it.
    #[track_caller]
    pub(crate) fn logged(&self, text: &str) -> String {
        self.stderr.wait(text, |lines| {
            lines.iter().find(|line| line.contains(text)).cloned()
        })
    }

    /// Waits until at least `times` lines on stderr contain `text`.
    #[track_caller]
    pub(crate) fn logged_times(&self, text: &str, times: usize) {
        self.stderr.wait(text, |lines| {
            (lines.iter().filter(|line| line.contains(text)).count() >= times).then_some(())
        });
    }

    /// Returns the current contents of stderr.
    pub(crate) fn stderr_now(&self) -> String {
        self.stderr.lock().0.join("\n")
    }

    /// Sends a signal to this process, by its own pid.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// Limits the size in bytes of each file that it writes; `None` lifts the limit.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        let pid = Some(Pid::from_child(&self.child));
        prlimit(pid, Resource::Fsize, limit).expect("the process is there");
    }

    /// Stops it with Ctrl-C and waits for its end.
    #[track_caller]
    pub(crate) fn interrupt(self) -> Done {
        self.signal(rustix::process::Signal::INT);
        let done = self.wait();
        assert!(done.status.success(), "{}", done.stderr);
        done
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(self) {
        drop(self.kill_and_read());
    }

    /// Returns true if it still runs.
    ///
    /// # Panics
    /// It has ended, with its log.
    #[track_caller]
    pub(crate) fn is_running(&self) -> bool {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(Pid::from_child(&self.child)), options);
        let ended = ended.expect("it is our child").is_some();
        assert!(!ended, "it has ended; its log:\n{}", self.stderr.text());
        true
    }

    /// Kills it with SIGKILL, unless it has ended before, and returns its log.
    ///
    /// # Panics
    /// It has ended by itself.
    #[track_caller]
    pub(crate) fn kill_running(mut self) -> String {
        use std::os::unix::process::ExitStatusExt as _;
        self.child.kill().expect("the process is there");
        let status = self.child.wait().expect("a killed process ends");
        let log = self.stderr.text();
        assert!(
            status.signal().is_some(),
            "it has ended with {status}; its log:\n{log}"
        );
        log
    }

    /// Like [`kill`](Self::kill), and returns the contents of stdout.
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

    /// Waits for its end with another time limit, for slow tests.
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

    /// Returns the resident memory in KiB.
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
        // The process is already gone if a test has waited for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `holds` returns true, and checks every few milliseconds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Returns UDP ports on loopback that are currently free.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let sockets =
        [(); N].map(|()| UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port"));
    sockets.map(|socket| socket.local_addr().expect("it is bound").port())
}

/// Returns a new identity: the secret key and the peer id, in hex.
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

/// Writes a file below a folder and returns its path.
pub(crate) fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("the temporary folder can be written");
    path
}
