//! Client side of a control socket. Blocking.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{net, runtime};

use super::{
    Address, SocketError,
    protocol::{ANSWER_BYTES_MAX, Answer, Hello, Request, decode, encode, length},
    socket::{check_folder, folders, is_trusted},
};
use crate::topology::report::Status;

/// Maximum time for a node to identify itself: 2 s.
const HELLO_TIME_MAX: Duration = Duration::from_secs(2);

/// Errors of requests to a node.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The node does not run.
    #[error("no node {node} runs on this machine under this user; looked in {places}{others}")]
    NoNode {
        /// Description of the node, to follow `no node`.
        node: String,
        /// The searched folders.
        places: String,
        /// The nodes that do run, if any.
        others: String,
    },
    /// No node runs.
    #[error(
        "no node runs on this machine under this user; looked in {0}; start one with `mosaik-runner up <manifest>`"
    )]
    None(String),
    /// Several nodes run, and the address does not select one.
    #[error("several nodes run on this machine; select one by manifest or by --name:\n{0}")]
    Several(String),
    /// Other users could create sockets in the folder of the nodes' sockets.
    #[error(transparent)]
    Folder(#[from] SocketError),
    /// Another user listens on the socket.
    #[error("{path} is the socket of user {owner}, whose nodes are not contacted")]
    Foreign {
        /// The path of the socket.
        path: PathBuf,
        /// The user ID of the listener.
        owner: u32,
    },
    /// The connection failed.
    #[error("the node does not answer: {0}")]
    Io(#[from] io::Error),
    /// The node has stopped.
    #[error("the node has stopped")]
    Gone,
    /// The node refused the request.
    #[error("{0}")]
    Refused(String),
    /// The node sent an unexpected answer, probably because it runs another version.
    #[error("unexpected answer of the node; it may be of another version")]
    Unexpected,
}

/// A connection to a node.
#[derive(Debug)]
pub struct Client {
    socket: UnixStream,
}

/// A node on this machine.
#[derive(Debug)]
pub struct Found {
    /// Identification of the node.
    pub hello: Hello,
    /// A connection to the node.
    pub client: Client,
}

impl Client {
    fn connect(path: &Path) -> Result<Self, AskError> {
        let socket = UnixStream::connect(path)?;
        let owner = peer_of(&socket)?;
        if !is_trusted(owner) {
            let path = path.to_path_buf();
            return Err(AskError::Foreign { path, owner });
        }
        Ok(Self { socket })
    }

    /// Sends a request and waits for the first answer.
    ///
    /// # Errors
    /// The node refuses the request or stops, or the connection fails.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, AskError> {
        self.socket.write_all(&encode(request)?)?;
        self.more()
    }

    /// Waits for a further answer to the last request.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub fn more(&mut self) -> Result<Answer, AskError> {
        let mut header = [0; 4];
        match self.socket.read_exact(&mut header) {
            Err(error) if is_over(&error) => return Err(AskError::Gone),
            read => read?,
        }
        let mut answer = vec![0; length(header, ANSWER_BYTES_MAX)?];
        match self.socket.read_exact(&mut answer) {
            Err(error) if is_over(&error) => return Err(AskError::Gone),
            read => read?,
        }
        match decode(&answer)? {
            Answer::Refused { reason } => Err(AskError::Refused(reason)),
            answer => Ok(answer),
        }
    }

    /// Requests the status of the node, with rates measured over `window_ms` milliseconds, or without rates if that is
    /// 0.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub fn status(&mut self, window_ms: u64) -> Result<Status, AskError> {
        match self.ask(&Request::Status { window_ms })? {
            Answer::Status(status) => Ok(*status),
            _ => Err(AskError::Unexpected),
        }
    }

    fn hello(&mut self) -> Result<Hello, AskError> {
        self.socket.set_read_timeout(Some(HELLO_TIME_MAX))?;
        let answer = self.ask(&Request::Hello)?;
        self.socket.set_read_timeout(None)?;
        match answer {
            Answer::Hello(hello) => Ok(hello),
            _ => Err(AskError::Unexpected),
        }
    }
}

fn is_over(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Returns the user ID of the process at the other end of a socket.
fn peer_of(socket: &UnixStream) -> io::Result<u32> {
    // The standard library does not provide this. A tokio socket does, and needs a runtime to exist, but not to run.
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    socket.set_nonblocking(true)?;
    let peer = net::UnixStream::from_std(socket.try_clone()?)?.peer_cred();
    // The clones of a socket share this flag.
    socket.set_nonblocking(false)?;
    Ok(peer?.uid())
}

/// Checks that only this user can create sockets in a folder. A missing folder passes, since it contains no nodes.
fn check(folder: &Path) -> Result<(), AskError> {
    match check_folder(folder) {
        Err(SocketError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        checked => Ok(checked?),
    }
}

/// Returns the folders to search: the one of this process, and those of other environments that no other user can
/// enter.
fn safe_folders() -> Result<Vec<PathBuf>, AskError> {
    let mut folders = folders();
    let others = folders.split_off(1);
    folders.iter().try_for_each(|folder| check(folder))?;
    folders.extend(others.into_iter().filter(|folder| check(folder).is_ok()));
    Ok(folders)
}

/// Returns the nodes that have a socket in a folder and answer, sorted by manifest and name.
fn list_in(folder: &Path) -> Vec<Found> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sockets = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "sock"));
    let mut found: Vec<Found> = sockets.filter_map(|path| reach(&path).ok()).collect();
    found.sort_by(|a, b| {
        (&a.hello.manifest, &a.hello.name).cmp(&(&b.hello.manifest, &b.hello.name))
    });
    found
}

fn reach(path: &Path) -> Result<Found, AskError> {
    let mut client = Client::connect(path)?;
    let hello = client.hello()?;
    Ok(Found { hello, client })
}

/// Finds the node with an address, or the only node that runs if there is no address. Nodes in this process's runtime
/// folder take precedence over those of other environments.
///
/// # Errors
/// No node matches, several nodes run and there is no address, or other users can create sockets in the folder.
pub fn find(address: Option<&Address>) -> Result<Found, AskError> {
    let folders = safe_folders()?;
    let Some(address) = address else {
        let all = folders.iter().map(|folder| list_in(folder));
        let mut all = all.into_iter().find(|all| !all.is_empty());
        let mut all = all.take().unwrap_or_default();
        return match (all.pop(), all.is_empty()) {
            (None, _) => Err(AskError::None(places(&folders))),
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                all.push(last);
                Err(AskError::Several(shown(&all)))
            }
        };
    };
    for folder in &folders {
        match reach(&address.path_in(folder)) {
            Err(AskError::Io(error)) if is_nobody(&error) => {}
            reached => return reached,
        }
    }
    let mut others: Vec<_> = folders.iter().flat_map(|folder| list_in(folder)).collect();
    // A symbolic link in the path may have changed since the node was started.
    let meant = others
        .iter()
        .position(|node| node.hello.name.is_none() && address.is_of(&node.hello.manifest));
    if let Some(meant) = meant {
        return Ok(others.swap_remove(meant));
    }
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("; running nodes:\n{}", shown(&others))
    };
    Err(AskError::NoNode {
        node: address.shown().to_owned(),
        places: places(&folders),
        others,
    })
}

/// Returns whether an error means that nothing listens on the socket: the socket is missing, left over from a process
/// that has ended, or its path is longer than a socket allows.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotADirectory
    )
}

/// Lists folders within a sentence.
fn places(folders: &[PathBuf]) -> String {
    let folders = folders.iter().map(|folder| folder.display().to_string());
    folders.collect::<Vec<_>>().join(", ")
}

fn shown(nodes: &[Found]) -> String {
    let lines = nodes.iter().map(|Found { hello, .. }| {
        let name = hello
            .name
            .as_ref()
            .map_or_else(String::new, |name| format!(" --name {name}"));
        format!(
            "  {}{name} (process {})",
            hello.manifest.display(),
            hello.pid
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::{fs::PermissionsExt as _, net::UnixListener},
        time::Instant,
    };

    use super::*;

    #[test]
    fn the_listening_process_is_known_without_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut socket = UnixStream::connect(&path).unwrap();
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(peer_of(&socket).unwrap(), user);
        assert!(Client::connect(&path).is_ok());

        let patience = Duration::from_millis(50);
        socket.set_read_timeout(Some(patience)).unwrap();
        let asked = Instant::now();
        assert!(socket.read_exact(&mut [0]).is_err());
        assert!(asked.elapsed() >= patience / 2, "it did not wait");
    }

    #[test]
    fn folders_writable_by_others_are_not_searched_for_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sockets");
        check(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        check(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let exposed = check(&path).unwrap_err().to_string();
        assert!(exposed.contains("is not private to this user"), "{exposed}");
    }
}
