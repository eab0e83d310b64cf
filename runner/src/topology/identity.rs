//! The node's secret key: set in the manifest, or created once and kept in the state folder.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use mosaik_streams::SecretKey;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::files;

/// Maximum size of a key file, in bytes: 64 hex digits, with room for line ends.
const KEY_BYTES_MAX: u64 = 1 << 10;

/// The reason why a node has no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A folder or file could not be created.
    #[error("the node's key cannot be kept at {path}: {source}")]
    Unwritable {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("the node's key at {path} cannot be read: {source}")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file does not contain a secret key.
    #[error(
        "{path} is not a secret key of 64 hex digits; restore it from a backup, or delete it for a new identity"
    )]
    NotAKey {
        /// The path.
        path: PathBuf,
    },
    /// Another process runs a node with this key.
    #[error(
        "the node's key at {path} is in use by another process; give this node its own name with `--name`, or stop the other one"
    )]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Other users can read the file.
    #[error("{path} can be read by others; run `chmod 600` on it, or delete it for a new identity")]
    Exposed {
        /// The path.
        path: PathBuf,
    },
}

impl IdentityError {
    /// Returns true if no key exists yet and none can be stored: the node can then run with a
    /// temporary key.
    pub(super) fn is_about_the_folder(&self) -> bool {
        matches!(self, Self::Unwritable { .. })
    }
}

/// Returns `$XDG_STATE_HOME/mosaik-runner`, by default `~/.local/state/mosaik-runner`. Without a
/// home folder, it is a folder below the temporary folder.
pub fn state_folder() -> PathBuf {
    xdg_folder("XDG_STATE_HOME", ".local/state")
}

/// Returns `$XDG_CACHE_HOME/mosaik-runner`, by default `~/.cache/mosaik-runner`. Without a home
/// folder, it is a folder below the temporary folder.
pub fn cache_folder() -> PathBuf {
    xdg_folder("XDG_CACHE_HOME", ".cache")
}

fn xdg_folder(variable: &str, below_home: &str) -> PathBuf {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable)
        .or_else(|| Some(absolute("HOME")?.join(below_home)))
        .unwrap_or_else(|| {
            std::env::temp_dir().join(format!("mosaik-{}", rustix::process::geteuid().as_raw()))
        })
        .join("mosaik-runner")
}

/// The names of a node, which decide where its key is kept.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Names<'a> {
    /// The name given with `up --name`.
    pub(super) given: Option<&'a str>,
    /// The name set in the manifest.
    pub(super) in_manifest: Option<&'a str>,
}

/// Returns the hash under which the state folder keeps what belongs to the node of a manifest. The path of the manifest
/// has no links.
pub(super) fn node_hash(manifest: &Path, name: Option<&str>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(manifest.as_os_str().as_encoded_bytes())
        .update(&[0])
        .update(name.unwrap_or_default().as_bytes());
    hasher.finalize()
}

/// Returns the key kept under `folder` for the node of this manifest, and creates the key if there
/// is none. Blocks for a few seconds at most.
///
/// The key belongs to the name given at start, or else to the name in the manifest. Earlier
/// versions kept every key under the manifest's name: a node started with a name takes that key if
/// no other process uses it.
///
/// # Errors
/// The key file cannot be created or read, other users can read it, it contains no key, or another
/// process uses it.
pub(super) fn kept_key(
    folder: &Path,
    manifest: &Path,
    names: Names<'_>,
) -> Result<SecretKey, IdentityError> {
    let manifest = files::canonicalize(manifest).unwrap_or_else(|_| manifest.to_path_buf());
    let file_of = |name: Option<&str>| {
        folder.join("keys").join(format!(
            "{}.key",
            &node_hash(&manifest, name).to_hex()[..32]
        ))
    };
    let path = file_of(names.given.or(names.in_manifest));
    if let Some(key) = find(&path)? {
        return Ok(key);
    }
    if names.given.is_some() {
        match find(&file_of(names.in_manifest)) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) | Err(IdentityError::InUse { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    match make(&path) {
        Ok(()) => {}
        // Another process created the file first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(source) => return Err(IdentityError::Unwritable { path, source }),
    }
    claim(&path)?;
    read(&path)
}

/// Reads the key in a file and claims it for this process. Returns `None` if the file does not
/// exist.
fn find(path: &Path) -> Result<Option<SecretKey>, IdentityError> {
    match read(path) {
        Ok(key) => claim(path).map(|()| Some(key)),
        Err(IdentityError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Locks a key file for the lifetime of this process. On a file system without locks, it has no
/// effect.
fn claim(path: &Path) -> Result<(), IdentityError> {
    static HELD: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());
    let opened = path.to_path_buf();
    let locked = files::in_time(move || {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(&opened) {
            return true;
        }
        let Ok(file) = File::open(&opened) else {
            return true;
        };
        let is_free =
            flock(&file, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK);
        if is_free {
            held.insert(opened, file);
        }
        is_free
    });
    match locked {
        Ok(false) => Err(IdentityError::InUse {
            path: path.to_path_buf(),
        }),
        Ok(true) | Err(_) => Ok(()),
    }
}

fn read(path: &Path) -> Result<SecretKey, IdentityError> {
    let path = path.to_path_buf();
    let unreadable = |source| IdentityError::Unreadable {
        path: path.clone(),
        source,
    };
    let mode = match files::metadata(&path) {
        Ok(found) => found.permissions(),
        // A part of the path is a file, or this user may not access it.
        Err(source)
            if matches!(
                source.kind(),
                ErrorKind::NotADirectory | ErrorKind::PermissionDenied
            ) =>
        {
            return Err(IdentityError::Unwritable { path, source });
        }
        Err(source) => return Err(unreadable(source)),
    };
    if mode.mode() & 0o077 != 0 {
        return Err(IdentityError::Exposed { path });
    }
    let text = files::read(&path, KEY_BYTES_MAX).map_err(unreadable)?.bytes;
    let key = std::str::from_utf8(&text).ok();
    key.and_then(|key| key.trim().parse().ok())
        .ok_or(IdentityError::NotAKey { path })
}

fn make(path: &Path) -> io::Result<()> {
    let key = SecretKey::generate();
    let text = format!("{}\n", data_encoding::HEXLOWER.encode(&key.to_bytes()));
    let path = path.to_path_buf();
    files::in_time(move || {
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        files::create_private(&path, text.as_bytes())
    })?
}

#[cfg(test)]
mod tests;
