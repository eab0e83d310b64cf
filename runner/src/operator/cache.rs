//! Compiled components on disk, addressed by the hash of their source.
//!
//! Compiled code is native code: anyone who can write a file here can run any code in this process.
//! The folder is therefore created for this user alone and refused otherwise, and each artefact is
//! checked against a keyed hash before it is mapped.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use blake3::Hash;
use serde::{Deserialize, Serialize};

use super::component::Description;
use super::error::CacheError;
use crate::files;

/// Maximum total size of the artefacts in a folder, in bytes: 512 MiB. The least recently used ones
/// are removed to make room.
const CACHE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Maximum size of the note beside an artefact, in bytes: 8 MiB. It contains the description and is
/// far larger than the largest valid [`Description`].
const NOTE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Age at which a file under a temporary name counts as abandoned: 1 hour.
const TEMPORARY_AGE_MAX: Duration = Duration::from_hours(1);

/// Advice for users whose compiled code cannot be cached.
pub const OTHER_CACHE: &str = "set XDG_CACHE_HOME to a writable folder that you own";

const TEMPORARY: &str = ".new-";
const KEY: &str = "key";
const ARTEFACT: &str = "cwasm";
const NOTE: &str = "json";

/// A folder of compiled components that this process trusts.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    /// Random key, created with the folder. Files that were not written with it are not read.
    key: [u8; blake3::KEY_LEN],
    bytes_max: u64,
    /// True once a failed write was logged.
    has_failed: AtomicBool,
}

/// The note stored beside an artefact.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    artefact_hash: String,
    description: Description,
}

impl Cache {
    /// Creates the folder and its key if they do not exist. Otherwise checks that no other user can
    /// write there.
    pub(super) fn open(dir: PathBuf) -> Result<Self, CacheError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(failed(&dir))?;
        // The folder itself may be reached by a link. The checks apply to its current target.
        let dir = dir.canonicalize().map_err(failed(&dir))?;
        let folder = fs::symlink_metadata(&dir).map_err(failed(&dir))?;
        check(&dir, &folder, 0o022)?;
        let path = dir.join(KEY);
        if !path.try_exists().map_err(failed(&path))? {
            make_key(&path).map_err(failed(&path))?;
        }
        check(
            &path,
            &fs::symlink_metadata(&path).map_err(failed(&path))?,
            0o077,
        )?;
        let key = files::read(&path, blake3::KEY_LEN as u64).map_err(failed(&path))?;
        let key = key.bytes.try_into().map_err(|_| CacheError::Untrusted {
            path,
            why: "is not a key of 32 bytes".into(),
        })?;
        Ok(Self {
            dir,
            key,
            bytes_max: CACHE_BYTES_MAX,
            has_failed: AtomicBool::new(false),
        })
    }

    /// Looks up an artefact. `load` receives the path of a file that is identical to the one that
    /// [`put`](Self::put) wrote. If there is no such file, or `load` fails on it, returns `None`
    /// and deletes an existing artefact with its note.
    pub(super) fn get<T>(
        &self,
        id: &Hash,
        load: impl FnOnce(&Path) -> wasmtime::Result<T>,
    ) -> Option<(T, Description)> {
        let artefact = self.path(id, ARTEFACT);
        let found = self.verify(id, &artefact).and_then(|note| {
            let loaded = load(&artefact).map_err(|error| format!("{error:#}"))?;
            Ok((loaded, note.description))
        });
        match found {
            Ok(found) => {
                // The least recently used artefacts are removed first. If this fails, the code is
                // only compiled again.
                let _ = File::options()
                    .write(true)
                    .open(&artefact)
                    .and_then(|f| f.set_modified(SystemTime::now()));
                Some(found)
            }
            Err(why) => {
                if artefact.exists() {
                    tracing::warn!(path = %artefact.display(), %why, "the compiled code in the cache is unusable; recompiling");
                    self.forget(id);
                }
                None
            }
        }
    }

    /// Stores compiled code. Only the first failure is logged; without the artefact, the code is
    /// compiled again.
    pub(super) fn keep(
        &self,
        id: &Hash,
        code: wasmtime::Result<Vec<u8>>,
        description: &Description,
    ) {
        let stored = code.map_err(|error| format!("{error:#}")).and_then(|code| {
            self.put(id, &code, description)
                .map_err(|error| error.to_string())
        });
        if let Err(error) = stored
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            let path = self.dir.display();
            tracing::warn!("compiled code is not cached in {path}: {error}; {OTHER_CACHE}");
        }
    }

    /// Stores an artefact, then the note that makes it valid.
    pub(super) fn put(
        &self,
        id: &Hash,
        artefact: &[u8],
        description: &Description,
    ) -> io::Result<()> {
        let artefact_hash = blake3::hash(artefact).to_hex().to_string();
        let body = serde_json::to_vec(&Note {
            artefact_hash,
            description: description.clone(),
        })?;
        let mac = self.mac(id, &body).to_hex();
        self.make_room(artefact.len() as u64)?;
        self.write(&self.path(id, ARTEFACT), &[artefact])?;
        self.write(&self.path(id, NOTE), &[mac.as_bytes(), b"\n", &body])
    }

    fn path(&self, id: &Hash, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", id.to_hex()))
    }

    fn mac(&self, id: &Hash, body: &[u8]) -> Hash {
        blake3::Hasher::new_keyed(&self.key)
            .update(id.as_bytes())
            .update(body)
            .finalize()
    }

    fn verify(&self, id: &Hash, artefact: &Path) -> Result<Note, String> {
        let text = |error: io::Error| error.to_string();
        let mut note = Vec::new();
        files::open_regular(&self.path(id, NOTE))
            .and_then(|(f, _)| f.take(NOTE_BYTES_MAX).read_to_end(&mut note))
            .map_err(text)?;
        let (mac, body) = note
            .split_at_checked(2 * blake3::OUT_LEN)
            .ok_or("its note is cut short")?;
        let body = body.strip_prefix(b"\n").ok_or("its note is cut short")?;
        let mac = Hash::from_hex(mac).map_err(|_| "its note has no hash")?;
        // The comparison of hashes takes constant time.
        if mac != self.mac(id, body) {
            return Err("its note was not written by this cache".into());
        }
        let note: Note = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let (file, _) = files::open_regular(artefact).map_err(text)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(text)?;
        if Hash::from_hex(&note.artefact_hash).ok() != Some(hasher.finalize()) {
            return Err("its content differs from its hash".into());
        }
        Ok(note)
    }

    /// Writes a whole file or none. Other processes may have the old file mapped, so it is replaced
    /// and never modified.
    fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let mut temporary = temporary(&self.dir)?;
        parts
            .iter()
            .try_for_each(|part| temporary.write_all(part))?;
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    fn forget(&self, id: &Hash) {
        for extension in [NOTE, ARTEFACT] {
            let _ = fs::remove_file(self.path(id, extension));
        }
    }

    /// Removes the least recently used artefacts until `len` more bytes fit, and the partial files
    /// of crashed processes.
    fn make_room(&self, len: u64) -> io::Result<()> {
        let mut artefacts = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            // Other processes may clear the folder at the same time.
            let Ok(found) = fs::symlink_metadata(&path) else {
                continue;
            };
            let half_written = path
                .file_name()
                .is_some_and(|name| name.as_bytes().starts_with(TEMPORARY.as_bytes()));
            if half_written
                && found
                    .modified()?
                    .elapsed()
                    .is_ok_and(|age| age > TEMPORARY_AGE_MAX)
            {
                let _ = fs::remove_file(&path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == ARTEFACT)
            {
                artefacts.push((found.modified()?, found.len(), path));
            }
        }
        artefacts.sort_unstable();
        let mut total = len + artefacts.iter().map(|(_, len, _)| len).sum::<u64>();
        for (_, len, path) in artefacts {
            if total <= self.bytes_max {
                break;
            }
            let _ = fs::remove_file(path.with_extension(NOTE));
            let _ = fs::remove_file(&path);
            total -= len;
        }
        Ok(())
    }
}

/// Creates a file that only this user can read and that is deleted unless it is persisted.
fn temporary(dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(0o600))
        .make_in(dir, |path| {
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
        })
}

/// Creates the key, unless another process has just created it.
fn make_key(path: &Path) -> io::Result<()> {
    let mut key = [0; blake3::KEY_LEN];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    match files::create_private(path, &key) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Checks that a file or folder belongs to this user and has none of the `forbidden` permission
/// bits.
fn check(path: &Path, found: &fs::Metadata, forbidden: u32) -> Result<(), CacheError> {
    let us = rustix::process::geteuid().as_raw();
    let why = if found.uid() != us {
        format!(
            "belongs to user {}, not to user {us} who runs this",
            found.uid()
        )
    } else if found.mode() & forbidden != 0 {
        format!(
            "has the mode {:o}, which gives other users access",
            found.mode() & 0o7777
        )
    } else {
        return Ok(());
    };
    Err(CacheError::Untrusted {
        path: path.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            inputs: Vec::new(),
            outputs: Vec::new(),
            config_schema: String::new(),
            state_version: 0,
        }
    }

    #[test]
    fn the_least_recently_used_entry_is_evicted() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache {
            bytes_max: 2,
            ..Cache::open(dir.path().to_owned()).unwrap()
        };
        let ids = [b"a", b"b", b"c"].map(|name| blake3::hash(name));
        let used = |id: &Hash, seconds| {
            let file = File::options()
                .write(true)
                .open(cache.path(id, ARTEFACT))
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
                .unwrap();
        };
        for id in &ids[..2] {
            cache.put(id, b"x", &description()).unwrap();
        }
        used(&ids[0], 10);
        used(&ids[1], 20);
        let abandoned = dir.path().join(".new-abandoned");
        let file = File::create(&abandoned).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(2))
            .unwrap();
        cache.put(&ids[2], b"x", &description()).unwrap();
        let found = ids.each_ref().map(|id| cache.get(id, |_| Ok(())).is_some());
        assert_eq!(found, [true, false, true]);
        assert!(!abandoned.exists());
        // A use is recorded, so that the other artefact is removed next.
        used(&ids[2], 5);
        cache.put(&ids[1], b"x", &description()).unwrap();
        let found = ids.each_ref().map(|id| cache.get(id, |_| Ok(())).is_some());
        assert_eq!(found, [true, true, false]);
    }

    #[test]
    fn concurrent_creators_of_a_cache_folder_agree_on_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let open = || Cache::open(dir.path().to_owned()).unwrap().key;
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_ne!(keys[0], [0; blake3::KEY_LEN]);
    }
}
