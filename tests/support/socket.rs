//! Communicates with a node over its control socket, as described in docs/control.md.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Done, LIMIT, Node, runner};

/// Returns the binary, with its own folder of sockets.
pub(crate) fn alone(folder: &Path) -> Command {
    let mut command = runner();
    command.env("XDG_RUNTIME_DIR", folder.join("run"));
    command
}

/// Starts a node whose sockets are in `folder`, and waits until it runs.
pub(crate) fn up(folder: &Path, args: &[&str], manifest: &Path) -> Node {
    let mut command = alone(folder);
    command.arg("up").args(args).arg(manifest);
    let node = Node::spawn(command);
    node.logged("generation 1 runs");
    node
}

/// Runs a verb on the nodes of `folder` to its end.
pub(crate) fn ask(folder: &Path, args: &[&str]) -> Done {
    let mut command = alone(folder);
    command.args(args);
    Node::spawn(command).wait()
}

/// Returns the sockets below `folder`.
pub(crate) fn sockets(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("run/mosaik-runner")).expect("a node runs");
    let paths = entries.map(|entry| entry.expect("it can be read").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "sock"))
        .collect()
}

/// A connection to a node.
pub(crate) struct Desk(UnixStream);

impl Desk {
    /// Connects to the only node of `folder`.
    pub(crate) fn of(folder: &Path) -> Self {
        let sockets = sockets(folder);
        assert_eq!(sockets.len(), 1, "{sockets:?}");
        let socket = UnixStream::connect(&sockets[0]).expect("the node listens");
        socket.set_read_timeout(Some(LIMIT)).expect("it is no zero");
        Self(socket)
    }

    /// Sends a request and returns the answer.
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        let request = request.to_string();
        let length = u32::try_from(request.len()).expect("a request is short");
        self.0
            .write_all(&[&length.to_be_bytes(), request.as_bytes()].concat())
            .expect("the node listens");
        let mut header = [0; 4];
        self.0.read_exact(&mut header).expect("the node answers");
        let mut answer = vec![0; u32::from_be_bytes(header) as usize];
        self.0.read_exact(&mut answer).expect("the node answers");
        serde_json::from_slice(&answer).expect("it answers in JSON")
    }

    pub(crate) fn status(&mut self) -> Value {
        self.ask(&json!({"verb": "status"}))
    }

    /// Reloads, and returns the answer and the duration.
    pub(crate) fn reload(&mut self) -> (Value, Duration) {
        let began = Instant::now();
        let answer = self.ask(&json!({"verb": "reload"}));
        (answer, began.elapsed())
    }
}

/// Returns the list entry with this name.
pub(crate) fn by_name<'a>(list: &'a Value, name: &str) -> &'a Value {
    let mut all = list.as_array().expect("a list").iter();
    all.find(|one| one["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {list}"))
}
