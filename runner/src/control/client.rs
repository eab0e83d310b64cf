//! The asking side of a control socket. Blocks.

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

/// How long a node may take to say who it is: 2 s.
const HELLO_TIME_MAX: Duration = Duration::from_secs(2);

/// Why a node could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is none.
    #[error("no node {node} runs on this machine under this user; looked in {places}{others}")]
    NoNode {
        /// Which, to be put behind `no node`.
        node: String,
        /// The folders of sockets.
        places: String,
        /// The nodes that run, if any do.
        others: String,
    },
    /// There is none at all.
    #[error(
        "no node runs on this machine under this user; looked in {0}; start one with `mosaik-runner up <manifest>`"
    )]
    None(String),
    /// There are several.
    #[error("several nodes run here; say which, by manifest or by --name:\n{0}")]
    Several(String),
    /// Others could have put sockets where those of nodes are.
    #[error(transparent)]
    Folder(#[from] SocketError),
    /// Somebody else listens on the socket.
    #[error("{path} is the socket of user {owner}, whose nodes are not asked")]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// Who listens, by number.
        owner: u32,
    },
    /// The connection broke.
    #[error("the node does not answer: {0}")]
    Io(#[from] io::Error),
    /// It has stopped.
    #[error("the node has stopped")]
    Gone,
    /// It said no.
    #[error("{0}")]
    Refused(String),
    /// It is of another version.
    #[error("the node answers something else than was asked; is it of another version?")]
    Unexpected,
}

/// A connection to a node.
#[derive(Debug)]
pub struct Client {
    socket: UnixStream,
}

/// A node of this machine.
#[derive(Debug)]
pub struct Found {
    /// Who it is.
    pub hello: Hello,
    /// A connection to it.
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

    /// Asks, and waits for the first answer.
    ///
    /// # Errors
    /// The node refuses, stops, or the connection breaks.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, AskError> {
        self.socket.write_all(&encode(request)?)?;
        self.more()
    }

    /// Waits for one more answer.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
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

    /// All about the node, with rates of so many milliseconds if there are any.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
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

/// The user at the other end of a socket.
fn peer_of(socket: &UnixStream) -> io::Result<u32> {
    // The standard library does not tell. A socket of tokio does, which wants a runtime to be there, but not to run.
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    socket.set_nonblocking(true)?;
    let peer = net::UnixStream::from_std(socket.try_clone()?)?.peer_cred();
    // Which both had become.
    socket.set_nonblocking(false)?;
    Ok(peer?.uid())
}

/// Sees to it that nodes are looked for where only the user can have put them. Where there is no folder there are none.
fn check(folder: &Path) -> Result<(), AskError> {
    match check_folder(folder) {
        Err(SocketError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        checked => Ok(checked?),
    }
}

/// The folders to look in: that of this process, and those of other environments that nobody else can enter.
fn safe_folders() -> Result<Vec<PathBuf>, AskError> {
    let mut folders = folders();
    let others = folders.split_off(1);
    folders.iter().try_for_each(|folder| check(folder))?;
    folders.extend(others.into_iter().filter(|folder| check(folder).is_ok()));
    Ok(folders)
}

/// The nodes that have their sockets in a folder and answer, by manifest.
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

/// The node at an address; without one, the only one there is. Nodes of this process's runtime folder go first, then
/// those of other environments.
///
/// # Errors
/// There is none, without an address there are several, or somebody else can put sockets where those of nodes are.
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
    // Its links may have moved since it was started.
    let meant = others
        .iter()
        .position(|node| node.hello.name.is_none() && address.is_of(&node.hello.manifest));
    if let Some(meant) = meant {
        return Ok(others.swap_remove(meant));
    }
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("; there are:\n{}", shown(&others))
    };
    Err(AskError::NoNode {
        node: address.shown().to_owned(),
        places: places(&folders),
        others,
    })
}

/// Whether nobody listens on a socket: it is missing, left over, or its path is longer than a socket's can be.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotADirectory
    )
}

/// Folders in a sentence.
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
    fn who_listens_is_known_and_the_socket_still_waits_for_answers() {
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
    fn nodes_are_not_looked_for_where_others_can_put_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sockets");
        check(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        check(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        let exposed = check(&path).unwrap_err().to_string();
        assert!(
            exposed.contains("does not belong to this user alone"),
            "{exposed}"
        );
    }
}
