//! The node's secret key: from the manifest, else made once and kept in the state folder.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use mosaik_streams::SecretKey;

/// Why a node has no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A folder or file could not be made or read.
    #[error("cannot keep the node's key at {path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path} is not a secret key; expected 64 hex digits")]
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

/// The key kept under `folder` for this manifest's node, made now if there is none.
///
/// # Errors
/// The file cannot be made or read, is readable by others, or is not a key.
pub(super) fn kept_key(
    folder: &Path,
    manifest: &Path,
    node_name: Option<&str>,
) -> Result<SecretKey, IdentityError> {
    let manifest = fs::canonicalize(manifest).unwrap_or_else(|_| manifest.to_path_buf());
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(manifest.as_os_str().as_encoded_bytes())
        .update(&[0]);
    hasher.update(node_name.unwrap_or_default().as_bytes());
    let path = folder
        .join("keys")
        .join(format!("{}.key", &hasher.finalize().to_hex()[..32]));
    let failed = |source| IdentityError::Io {
        path: path.clone(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder.join("keys"))
        .map_err(failed)?;
    match make(&path) {
        Ok(key) => return Ok(key),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    if fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(IdentityError::Exposed { path });
    }
    let text = fs::read_to_string(&path).map_err(failed)?;
    text.trim()
        .parse()
        .map_err(|_| IdentityError::NotAKey { path })
}

fn make(path: &Path) -> std::io::Result<SecretKey> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let key = SecretKey::generate();
    writeln!(file, "{}", data_encoding::HEXLOWER.encode(&key.to_bytes()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
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
        fs::write(&file, "secret").unwrap();
        assert!(matches!(
            kept_key(folder.path(), manifest, None),
            Err(IdentityError::NotAKey { .. })
        ));
    }
}
