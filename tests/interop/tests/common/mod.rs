//! Mosaik nodes as the tests hold them, nodes of ours that know of them, and waiting with a time limit.

use std::{
    io::{BufRead, BufReader as StdBufReader},
    path::PathBuf,
    process::{Command as StdCommand, Stdio},
    sync::OnceLock,
    time::Duration,
};

use mosaik_streams::{Consumer, EndpointAddr, Network, PeerId, consumer::Phase, discovery};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

pub mod build;
#[path = "../../../support/guest.rs"]
#[expect(
    dead_code,
    reason = "each of the tests that share it uses a part of it"
)]
pub mod guest;
#[path = "../../src/reading.rs"]
pub mod reading;

use reading::Reading;

/// The stream of most tests.
pub const STREAM: &str = "readings";
/// Longer than a Mosaik node waits for anything.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Fails the test after a minute, with the name of the missed condition.
#[track_caller]
pub fn within<T>(what: &'static str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        timeout(LIMIT, future)
            .await
            .unwrap_or_else(|_| panic!("timed out: {what} ({caller})"))
    }
}

/// Waits until the condition holds.
#[track_caller]
pub fn until(what: &'static str, mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(what, async move {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

/// A generation of Mosaik: its program, and the relay that its nodes wait for.
pub struct Mosaik {
    binary: fn() -> PathBuf,
    relay: OnceLock<String>,
}

/// Mosaik 0.3.13.
pub static V0_3: Mosaik = Mosaik {
    binary: || PathBuf::from(env!("CARGO_BIN_EXE_mosaik-peer")),
    relay: OnceLock::new(),
};

/// Mosaik 0.4.2.
pub static V0_4: Mosaik = Mosaik {
    binary: build::mosaik_0_4,
    relay: OnceLock::new(),
};

impl Mosaik {
    /// One relay for all tests of the process; it ends with the process.
    fn relay(&self) -> &str {
        self.relay.get_or_init(|| {
            let mut relay = StdCommand::new((self.binary)())
                .arg("relay")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the relay starts");
            let mut line = String::new();
            let stdout = relay.stdout.take().expect("it is piped");
            StdBufReader::new(stdout)
                .read_line(&mut line)
                .expect("the relay says its URL");
            // It reads its input until this process ends.
            std::mem::forget(relay);
            line.trim().to_owned()
        })
    }
}

/// A Mosaik node. Killed when dropped.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    settings: Value,
    addr: String,
}

impl Peer {
    /// A node of the network.
    pub async fn start(network: &str) -> Self {
        Self::start_with(json!({ "network": network })).await
    }

    pub async fn start_with(settings: Value) -> Self {
        Self::start_as(&V0_3, settings).await
    }

    pub async fn start_as(mosaik: &'static Mosaik, mut settings: Value) -> Self {
        settings["relay"] = json!(mosaik.relay());
        let mut child = Command::new((mosaik.binary)())
            .args(["node", &settings.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a Mosaik node starts");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let mut peer = Self {
            child,
            stdin,
            lines: BufReader::new(stdout).lines(),
            settings,
            addr: String::new(),
        };
        let addr = peer.answer().await.expect("it says where it is");
        addr.as_str()
            .expect("an address")
            .clone_into(&mut peer.addr);
        peer
    }

    async fn answer(&mut self) -> Result<Value, String> {
        let line = within("a Mosaik node answers", self.lines.next_line())
            .await
            .expect("its output is text")
            .expect("the Mosaik node lives");
        let mut answer: Value = serde_json::from_str(&line).expect("an answer is JSON");
        match answer.get_mut("failed") {
            Some(failed) => Err(failed.as_str().unwrap_or_default().to_owned()),
            None => Ok(answer["done"].take()),
        }
    }

    /// Sends a request to the node and returns its answer.
    pub async fn try_ask(&mut self, request: Value) -> Result<Value, String> {
        let line = format!("{request}\n");
        self.stdin
            .write_all(line.as_bytes())
            .await
            .expect("the Mosaik node lives");
        self.answer().await
    }

    /// Has the node do something that must work.
    #[track_caller]
    pub fn ask(&mut self, request: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let said = request.to_string();
            self.try_ask(request)
                .await
                .unwrap_or_else(|error| panic!("{said}: {error} ({caller})"))
        }
    }

    pub fn addr(&self) -> EndpointAddr {
        self.addr.parse().expect("an address")
    }

    pub fn id(&self) -> PeerId {
        self.addr().id
    }

    /// Its id, as Mosaik writes it.
    pub fn hex(&self) -> String {
        format!("{:?}", self.id())
    }

    /// Sends the process a signal, by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = StdCommand::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "signal {name}");
    }

    /// Kills the process, and starts another one with the same settings.
    pub async fn restart(mut self) -> Self {
        self.child.kill().await.expect("it can be killed");
        Self::start_with(self.settings.take()).await
    }
}

/// A node of ours that knows of a Mosaik node.
pub async fn ours(network: &str, peer: &Peer) -> Network {
    let config = discovery::Config::builder().with_bootstrap(peer.addr());
    Network::builder(network)
        .with_discovery(config)
        .build()
        .await
        .expect("it works on loopback")
}

/// `<peer id>@<ip>:<port>` of a node of ours.
pub fn addr_of(network: &Network) -> String {
    network.local().addr().to_string()
}

/// The peer id of a node of ours, as Mosaik writes it.
pub fn hex(network: &Network) -> String {
    format!("{:?}", network.local().id())
}

/// A consumer of the stream of these tests.
pub fn consume(network: &Network) -> Consumer<Reading> {
    network.streams().consumer().with_stream_id(STREAM).build()
}

/// Waits until the consumer is connected to a producer.
pub async fn until_connected(consumer: &Consumer<Reading>) {
    until("it is connected", || {
        consumer
            .attempts()
            .iter()
            .any(|attempt| attempt.phase == Phase::Connected)
    })
    .await;
}
