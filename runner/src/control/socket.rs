//! Paths of control sockets: one socket per node, in a folder that only the user can enter.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;

use crate::files;

/// Maximum length of a socket path that every Unix accepts: 103 bytes.
const PATH_BYTES_MAX: usize = 103;

/// Errors of control sockets.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A folder or file cannot be created or used.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Other users could put files there.
    #[error(
        "{path} is not private to this user: its owner is user {owner}, its mode {mode:03o}; remove it, or set XDG_RUNTIME_DIR to a folder of your own"
    )]
    Exposed {
        /// The path.
        path: PathBuf,
        /// The user ID of the owner.
        owner: u32,
        /// The permission bits.
        mode: u32,
    },
    /// The path is too long for a socket.
    #[error(
        "{path} is too long for a socket: at most {PATH_BYTES_MAX} bytes; set XDG_RUNTIME_DIR to a shorter one"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// Another process has the address.
    #[error(
        "a node {node} is already running{}; stop it, or give this one its own name with `--name`",
        process(*.pid)
    )]
    Taken {
        /// Description of the node, to follow `a node`.
        node: String,
        /// The ID of the process, if known.
        pid: Option<u32>,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// Returns `$XDG_RUNTIME_DIR/mosaik-runner`. If that variable is not set to an absolute path, returns a folder for this
/// user in the temporary folder.
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

/// Returns the folders that may contain sockets of this user's nodes: [`runtime_folder`], used by this process,
/// followed by those that a process with another environment would use.
pub(super) fn folders() -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let mut folders = vec![
        runtime_folder(),
        PathBuf::from(format!("/run/user/{user}/mosaik-runner")),
        short_folder(),
    ];
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// Returns the folder for sockets whose path in [`runtime_folder`] would be too long.
fn short_folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("mosaik-runner-{user}"))
}

/// The address of a node on this machine: its manifest, or its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    id: String,
    /// The manifest path as given. It has a lock of its own, which is not affected when a symbolic link changes.
    manifest: Option<PathBuf>,
    shown: String,
}

impl Address {
    /// Returns the address of the node that runs a manifest and has no name.
    pub fn of_manifest(manifest: &Path) -> Self {
        let given = std::path::absolute(manifest).ok();
        let (id, given) = if files::is_given(manifest) {
            // The path means a different file in each process.
            (format!("p-{}", std::process::id()), None)
        } else {
            let path = files::canonicalize(manifest).unwrap_or_else(|_| manifest.to_path_buf());
            (id_of(&path), given)
        };
        Self {
            id,
            manifest: given,
            shown: format!("of {}", manifest.display()),
        }
    }

    /// Returns the address of the node with a name, which follows the rules for names of stages.
    pub fn of_name(name: &str) -> Self {
        Self {
            id: format!("n-{name}"),
            manifest: None,
            shown: format!("called `{name}`"),
        }
    }

    /// Returns the path of the node's socket in a folder.
    pub(super) fn path_in(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.sock", self.id))
    }

    /// Returns whether this is the address of an unnamed node that was started with this manifest, an absolute path.
    /// Symbolic links may have changed since.
    pub(super) fn is_of(&self, started_with: &Path) -> bool {
        let Some(manifest) = &self.manifest else {
            return false;
        };
        let same_file = || {
            let (ours, its) = (
                files::canonicalize(manifest),
                files::canonicalize(started_with),
            );
            matches!((ours, its), (Ok(ours), Ok(its)) if ours == its)
        };
        manifest == started_with || same_file()
    }

    /// Returns the name of the second lock, if it differs from the name of the first.
    fn given_id(&self) -> Option<String> {
        let id = id_of(self.manifest.as_deref()?);
        (id != self.id).then_some(id)
    }

    /// Returns text that follows `no node` in a message: `of pipeline.yaml`.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

fn id_of(manifest: &Path) -> String {
    let hash = blake3::hash(manifest.as_os_str().as_encoded_bytes());
    format!("m-{}", &hash.to_hex()[..16])
}

/// The exclusive right to an address: until it is dropped, no other process on this machine can claim the address.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// The system releases the locks however the process ends.
    _locks: Vec<File>,
}

impl Claim {
    /// Claims an address.
    ///
    /// # Errors
    /// Another process has the address, or the folder cannot be used.
    pub fn take(address: &Address) -> Result<Self, SocketError> {
        let fits = |folder: &PathBuf| address.path_in(folder).as_os_str().len() <= PATH_BYTES_MAX;
        let usual = runtime_folder();
        let Some(folder) = [usual.clone(), short_folder()].into_iter().find(fits) else {
            let path = address.path_in(&usual);
            return Err(SocketError::TooLong { path });
        };
        own_folder(&folder)?;
        let path = address.path_in(&folder);
        let mut locks = vec![lock(&path.with_extension("lock"), address)?];
        if let Some(id) = address.given_id() {
            locks.push(lock(&folder.join(format!("{id}.lock")), address)?);
        }
        Ok(Self {
            path,
            _locks: locks,
        })
    }
}

/// Takes a lock for this process.
fn lock(path: &Path, address: &Address) -> Result<File, SocketError> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(failed(path))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(SocketError::Taken {
                node: address.shown.clone(),
                pid: pid_in(&lock),
            });
        }
        Err(error) => return Err(failed(path)(error.into())),
    }
    // The process ID is only informative; the lock itself decides.
    let _ = lock
        .set_len(0)
        .and_then(|()| writeln!(&lock, "{}", std::process::id()));
    Ok(lock)
}

/// Reads the process ID from a lock file.
fn pid_in(lock: &File) -> Option<u32> {
    const LENGTH_MAX: u64 = 16;
    let mut text = String::new();
    lock.take(LENGTH_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SocketError + use<> {
    let path = path.to_path_buf();
    move |source| SocketError::Io { path, source }
}

/// A listening socket, removed when dropped.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) listener: UnixListener,
    claim: Claim,
}

impl Bound {
    pub(super) fn new(claim: Claim) -> Result<Self, SocketError> {
        let path = &claim.path;
        // The lock proves that the previous process has ended.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(path)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed(path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed(path))?;
        Ok(Self { listener, claim })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // If this fails, the next process with this address removes the file.
        let _ = fs::remove_file(&self.claim.path);
    }
}

/// Creates the folder if it is missing, and checks that no other user can enter it.
fn own_folder(folder: &Path) -> Result<(), SocketError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| SocketError::Io {
            path: folder.to_path_buf(),
            source,
        })?;
    check_folder(folder)
}

/// Checks that a folder belongs to this user and that no other user can enter it. Other users could otherwise create
/// sockets there and impersonate a node.
///
/// # Errors
/// Another user owns the folder or can enter it, it is not a folder, or it does not exist.
pub(super) fn check_folder(folder: &Path) -> Result<(), SocketError> {
    let found = fs::symlink_metadata(folder).map_err(|source| SocketError::Io {
        path: folder.to_path_buf(),
        source,
    })?;
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    let mode = found.mode() & 0o777;
    if !is_ours || mode & 0o077 != 0 {
        return Err(SocketError::Exposed {
            path: folder.to_path_buf(),
            owner: found.uid(),
            mode,
        });
    }
    Ok(())
}

/// Returns whether the user at the other end of a socket is trusted: the same user, or root, who has all rights of the
/// user.
pub(super) fn is_trusted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    /// Creates a folder that belongs to the user below a temporary one.
    fn own(folder: &Path) -> PathBuf {
        let path = folder.join("sockets");
        own_folder(&path).unwrap();
        path
    }

    #[test]
    fn a_folder_private_to_the_user_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let missing = check_folder(&folder.path().join("sockets"));
        assert!(
            matches!(&missing, Err(SocketError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound),
            "{missing:?}"
        );
        let path = own(folder.path());
        check_folder(&path).unwrap();
        own_folder(&path).unwrap();
        for mode in [0o777, 0o710, 0o702] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let exposed = check_folder(&path).unwrap_err().to_string();
            let place = path.display().to_string();
            assert!(
                exposed.starts_with(&place) && exposed.contains(&format!("its mode {mode:o}")),
                "{exposed}"
            );
        }
    }

    #[test]
    fn links_and_files_in_place_of_the_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink(own(folder.path()), &link).unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [link, file] {
            let found = check_folder(&path);
            assert!(
                matches!(found, Err(SocketError::Exposed { .. })),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_folder_of_another_user_is_refused_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = own(folder.path());
        // Only root can change the owner of a file.
        if chown(&path, Some(4321), None).is_err() {
            return;
        }
        let foreign = check_folder(&path).unwrap_err().to_string();
        assert!(foreign.contains("its owner is user 4321"), "{foreign}");
        let other_user = own_folder(&path);
        assert!(
            matches!(other_user, Err(SocketError::Exposed { owner: 4321, .. })),
            "{other_user:?}"
        );
    }

    #[test]
    fn a_manifest_identifies_its_node_after_links_have_moved() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for version in ["1", "2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("m.yaml"), "").unwrap();
        }
        symlink("1", at("data")).unwrap();
        symlink("data/m.yaml", at("m.yaml")).unwrap();
        let before = Address::of_manifest(&at("m.yaml"));
        fs::remove_file(at("data")).unwrap();
        symlink("2", at("data")).unwrap();
        let after = Address::of_manifest(&at("m.yaml"));
        assert_ne!(before.id, after.id);
        assert_eq!(before.given_id(), after.given_id());
        for meant in ["m.yaml", "data/m.yaml", "2/m.yaml"] {
            assert!(
                Address::of_manifest(&at(meant)).is_of(&at("m.yaml")),
                "{meant}"
            );
        }
        assert!(!Address::of_manifest(&at("1/m.yaml")).is_of(&at("m.yaml")));
        assert!(!Address::of_name("m").is_of(&at("m.yaml")));
    }

    #[test]
    fn a_lock_file_names_the_process_that_holds_it() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(pid_in(&file), None, "nobody wrote anything yet");
        writeln!(file, "1234").unwrap();
        io::Seek::rewind(&mut file).unwrap();
        assert_eq!(pid_in(&file), Some(1234));
    }

    #[test]
    fn sockets_of_the_user_and_root_are_trusted() {
        let user = rustix::process::geteuid().as_raw();
        assert!(is_trusted(user) && is_trusted(0));
        assert!(!is_trusted(user + 1));
    }
}
