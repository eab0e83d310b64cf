//! Where control sockets are: a file for each node in a folder that only the user can enter.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;

/// The longest path of a socket that every Unix takes: 103 bytes.
const PATH_BYTES_MAX: usize = 103;

/// Why a node cannot be reached by a socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A folder or file cannot be made or used.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Others could put something else there.
    #[error(
        "{path} does not belong to this user alone; remove it, or set XDG_RUNTIME_DIR to a folder of your own"
    )]
    Exposed {
        /// The path.
        path: PathBuf,
    },
    /// A socket cannot have so long a path.
    #[error(
        "{path} is too long for a socket: at most {PATH_BYTES_MAX} bytes; set XDG_RUNTIME_DIR to a shorter one"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("another node {0} runs on this machine; tell them apart by `--name`")]
    Taken(String),
}

/// `$XDG_RUNTIME_DIR/mosaik-runner`; without that variable a folder of the user's own in the temporary folder.
pub fn runtime_folder() -> PathBuf {
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match given.filter(|path| path.is_absolute()) {
        Some(folder) => folder.join("mosaik-runner"),
        None => std::env::temp_dir().join(format!(
            "mosaik-runner-{}",
            rustix::process::geteuid().as_raw()
        )),
    }
}

/// Which node of this machine: by its manifest, or by the name that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    id: String,
    shown: String,
}

impl Address {
    /// The node that runs a manifest and has no name.
    pub fn of_manifest(manifest: &Path) -> Self {
        let path = fs::canonicalize(manifest).unwrap_or_else(|_| manifest.to_path_buf());
        let hash = blake3::hash(path.as_os_str().as_encoded_bytes());
        Self {
            id: format!("m-{}", &hash.to_hex()[..16]),
            shown: format!("of {}", manifest.display()),
        }
    }

    /// The node of a name, which is one as stages have.
    pub fn of_name(name: &str) -> Self {
        Self {
            id: format!("n-{name}"),
            shown: format!("called `{name}`"),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        runtime_folder().join(format!("{}.sock", self.id))
    }

    /// To be put behind `no node`: `of pipeline.yaml`.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// A socket that is listened on, and removed at the end.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Held for as long as the socket is; the system lets go of it however the process ends.
    _lock: File,
}

impl Bound {
    pub(super) fn new(address: &Address) -> Result<Self, SocketError> {
        let path = address.path();
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| SocketError::Io { path, source }
        };
        if path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(SocketError::TooLong { path });
        }
        let folder = runtime_folder();
        own_folder(&folder)?;
        let lock_path = path.with_extension("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(SocketError::Taken(address.shown.clone()));
            }
            Err(error) => return Err(io(&lock_path)(error.into())),
        }
        // Whoever had it is gone: the lock says so.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(&path)(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(io(&path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(io(&path))?;
        Ok(Self {
            listener,
            path,
            _lock: lock,
        })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // One that is left is removed by whoever takes its place.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the folder if there is none, and sees to it that nobody else can enter it.
fn own_folder(folder: &Path) -> Result<(), SocketError> {
    let io = |source| SocketError::Io {
        path: folder.to_path_buf(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(io)?;
    let found = fs::symlink_metadata(folder).map_err(io)?;
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if !is_ours || found.mode() & 0o077 != 0 {
        return Err(SocketError::Exposed {
            path: folder.to_path_buf(),
        });
    }
    Ok(())
}
