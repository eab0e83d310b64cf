//! The node's secret key: from the manifest, else made once and kept in the state folder.

use std::{
    fs::DirBuilder,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use mosaik_streams::SecretKey;

use crate::files;

/// Bytes of a key file at most: 64 hex digits, with room for line ends.
const KEY_BYTES_MAX: u64 = 1 << 10;

/// Why a node has no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A folder or file could not be made.
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
    /// The file holds something else.
    #[error(
        "{path} is not a secret key of 64 hex digits; restore it from a backup, or delete it for a new identity"
    )]
    NotAKey {
        /// The path.
        path: PathBuf,
    },
    /// Others can read the file.
    #[error("{path} can be read by others; run `chmod 600` on it, or delete it for a new identity")]
    Exposed {
        /// The path.
        path: PathBuf,
    },
}

impl IdentityError {
    /// Whether there is no key yet, and no place to keep one: the node can run with one that it forgets.
    pub(super) fn is_about_the_folder(&self) -> bool {
        matches!(self, Self::Unwritable { .. })
    }
}

/// `$XDG_STATE_HOME/mosaik-runner`, by default `~/.local/state/mosaik-runner`; in the temporary folder without a home.
pub fn state_folder() -> PathBuf {
    xdg_folder("XDG_STATE_HOME", ".local/state")
}

/// `$XDG_CACHE_HOME/mosaik-runner`, by default `~/.cache/mosaik-runner`; in the temporary folder without a home.
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

/// The key kept under `folder` for this manifest's node, made now if there is none. Blocks, for some seconds at most.
///
/// # Errors
/// The file cannot be made or read, is readable by others, or is not a key.
pub(super) fn kept_key(
    folder: &Path,
    manifest: &Path,
    node_name: Option<&str>,
) -> Result<SecretKey, IdentityError> {
    let manifest = files::canonicalize(manifest).unwrap_or_else(|_| manifest.to_path_buf());
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(manifest.as_os_str().as_encoded_bytes())
        .update(&[0]);
    hasher.update(node_name.unwrap_or_default().as_bytes());
    let path = folder
        .join("keys")
        .join(format!("{}.key", &hasher.finalize().to_hex()[..32]));
    match read(&path) {
        Err(IdentityError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    match make(&path) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&path),
        made => made.map_err(|source| IdentityError::Unwritable { path, source }),
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
        // A part of the path is a file, or closed to this user.
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

fn make(path: &Path) -> io::Result<SecretKey> {
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
    })??;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_belongs_to_one_manifest_and_node() {
        let folder = tempfile::tempdir().unwrap();
        let key = |manifest: &str, name| {
            kept_key(folder.path(), Path::new(manifest), name)
                .unwrap()
                .public()
        };
        let first = key("a.yaml", None);
        assert_eq!(key("a.yaml", None), first);
        assert_ne!(key("b.yaml", None), first);
        assert_ne!(key("a.yaml", Some("edge-1")), first);
    }

    #[test]
    fn a_key_is_kept_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let manifest = Path::new("a.yaml");
        fs::write(&state, "").unwrap();
        let below_a_file = kept_key(&state, manifest, None).unwrap_err();
        assert!(below_a_file.is_about_the_folder(), "{below_a_file}");
        fs::remove_file(&state).unwrap();
        let key = kept_key(&state, manifest, None).unwrap();
        let files: Vec<_> = fs::read_dir(state.join("keys")).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(
            kept_key(&state, manifest, None).unwrap().public(),
            key.public()
        );
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Path::new("a.yaml");
        kept_key(folder.path(), manifest, None).unwrap();
        let file = fs::read_dir(folder.path().join("keys"))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            kept_key(folder.path(), manifest, None),
            Err(IdentityError::Exposed { .. })
        ));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        for torn in ["", "secret", &"0".repeat(2000)] {
            fs::write(&file, torn).unwrap();
            let refused = kept_key(folder.path(), manifest, None).unwrap_err();
            assert!(matches!(refused, IdentityError::NotAKey { .. }));
            assert!(refused.to_string().contains("delete it for a new identity"));
        }
    }
}
