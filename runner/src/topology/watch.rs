//! Detects changes to the files of a manifest: the manifest, its components and the text files that
//! it includes. Editors write in place, rename over a file, or move a link. The watch therefore
//! covers folders, and reports a change if a watched path leads to a different file state.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{sync::Notify, time::Instant};

use crate::files;

/// Time without changes after which a change counts as complete: 200 ms.
pub const QUIET: Duration = Duration::from_millis(200);
/// Maximum time to wait for a change to be complete: 2 s.
pub const QUIET_MAX: Duration = Duration::from_secs(2);
/// Maximum lag of file times behind the clock: 10 ms, a tick of the slowest kernels.
const CLOCK_LAG: Duration = Duration::from_millis(10);
/// Polling interval for folders without change notifications: 5 s.
const POLL: Duration = Duration::from_secs(5);

/// A watch on a set of files.
#[derive(Debug)]
pub struct FileWatch {
    files: BTreeSet<PathBuf>,
    seen: BTreeMap<PathBuf, Fingerprint>,
    /// True if a file may have changed since it was read, so that a change has to be reported in
    /// any case.
    unsettled: bool,
    /// True if the last query to the file system failed or timed out.
    unanswered: bool,
    folders: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    changed: Notify,
    /// File names whose events matter. A sink that writes beside the manifest must not wake the
    /// watch.
    names: Mutex<BTreeSet<OsString>>,
}

/// Distinguishes two states of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    target: PathBuf,
    inode: u64,
    len: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl FileWatch {
    /// Starts the watch. On a system without notifications, it checks the files every 5 s.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self::since(SystemTime::now(), files)
    }

    /// Like [`new`](Self::new), for files that were read at `read_at`: later changes are reported.
    pub fn since(read_at: SystemTime, files: impl IntoIterator<Item = PathBuf>) -> Self {
        let shared = Arc::new(Shared::default());
        let notified = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| notified.concerns(&event)) {
                notified.changed.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!("files are polled, not watched: {error}"))
            .ok();
        let mut watch = Self {
            files: BTreeSet::new(),
            seen: BTreeMap::new(),
            unsettled: false,
            unanswered: false,
            folders: BTreeSet::new(),
            watcher,
            shared,
        };
        watch.retarget(read_at, files);
        watch
    }

    /// Replaces the watched files, which were read at `read_at`. Changes since then, or since the
    /// last report, are reported.
    pub fn retarget(&mut self, read_at: SystemTime, files: impl IntoIterator<Item = PathBuf>) {
        let before = std::mem::take(&mut self.seen);
        self.files = files.into_iter().collect();
        let files = self.files.clone();
        let looked = files::in_time(move || fingerprints(&files));
        let found = self.answered(looked).unwrap_or_else(|| before.clone());
        self.seen.clone_from(&found);
        // File times lag behind the system clock.
        let read_at = read_at.checked_sub(CLOCK_LAG).unwrap_or(UNIX_EPOCH);
        let read_at = read_at
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let read_at = i128::try_from(read_at).unwrap_or(i128::MAX);
        self.seen.retain(|_, seen| seen.changed_ns < read_at);
        self.seen.extend(
            before
                .into_iter()
                .filter(|(file, _)| self.files.contains(file)),
        );
        self.unsettled = found.keys().any(|file| !self.seen.contains_key(file));
        self.watch_folders(&found);
    }

    /// Waits until a watched file has changed and no further change follows for [`QUIET`], or for
    /// at most [`QUIET_MAX`].
    ///
    /// Cancel safe: the next call detects the same change again.
    pub async fn changed(&mut self) {
        while !self.unsettled && self.look().await.is_none_or(|found| found == self.seen) {
            // The timeout covers folders without notifications.
            let _ = tokio::time::timeout(POLL, self.shared.changed.notified()).await;
        }
        let limit = Instant::now() + QUIET_MAX;
        while let Ok(()) = tokio::time::timeout(QUIET, self.shared.changed.notified()).await {
            if Instant::now() >= limit {
                break;
            }
        }
        let found = self.look().await;
        self.unsettled = false;
        if let Some(found) = found {
            self.watch_folders(&found);
            self.seen = found;
        }
    }

    /// Returns the current state of the files, or `None` if the file system does not answer.
    async fn look(&mut self) -> Option<BTreeMap<PathBuf, Fingerprint>> {
        let files = self.files.clone();
        let looking = move || files::in_time(move || fingerprints(&files));
        let looked = tokio::task::spawn_blocking(looking).await;
        self.answered(looked.map_err(io::Error::other).flatten())
    }

    /// Unwraps the result of a query. The first of consecutive failures is logged.
    fn answered<T>(&mut self, looked: io::Result<T>) -> Option<T> {
        if let Err(error) = &looked
            && !self.unanswered
        {
            tracing::warn!("the files of the manifest cannot be watched: {error}");
        }
        self.unanswered = looked.is_err();
        looked.ok()
    }

    /// Watches the folder of each file and of each link target; folders may appear and disappear.
    /// Does nothing while the file system does not answer.
    fn watch_folders(&mut self, found: &BTreeMap<PathBuf, Fingerprint>) {
        if self.unanswered {
            return;
        }
        let mut folders = BTreeSet::new();
        let mut names = BTreeSet::new();
        for file in &self.files {
            let target = found.get(file).map(|found| found.target.as_path());
            for path in [Some(file.as_path()), target].into_iter().flatten() {
                folders.extend(path.parent().map(Path::to_path_buf));
                names.extend(path.file_name().map(OsString::from));
            }
        }
        *self
            .shared
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = names;
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for gone in self.folders.difference(&folders) {
            // The watcher has already dropped a folder that no longer exists.
            let _ = watcher.unwatch(gone);
        }
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %folder.display(), "polled, not watched: {error}");
            }
        }
        self.folders = folders;
    }
}

impl Shared {
    /// Returns true if an event may concern a watched file. This includes names such as `..data`,
    /// with which Kubernetes swaps a folder of links.
    fn concerns(&self, event: &notify::Event) -> bool {
        if matches!(event.kind, EventKind::Access(_)) {
            return false;
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        event.paths.is_empty()
            || event.paths.iter().any(|path| {
                path.file_name().is_none_or(|name| {
                    names.contains(name) || name.as_encoded_bytes().starts_with(b"..")
                })
            })
    }
}

fn fingerprints(files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Fingerprint> {
    files
        .iter()
        .filter_map(|file| Some((file.clone(), fingerprint(file)?)))
        .collect()
}

fn fingerprint(file: &Path) -> Option<Fingerprint> {
    let target = fs::canonicalize(file).ok()?;
    let metadata = fs::metadata(&target).ok()?;
    let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
    Some(Fingerprint {
        target,
        inode: metadata.ino(),
        len: metadata.len(),
        modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn notices(watch: &mut FileWatch, what: &str) {
        tokio::time::timeout(LIMIT, watch.changed())
            .await
            .unwrap_or_else(|_| panic!("not noticed: {what}"));
    }

    #[tokio::test]
    async fn notices_every_way_to_replace_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        fs::write(&file, "a").unwrap();
        let read_at = SystemTime::now();
        fs::write(&file, "b").unwrap();
        let mut watch = FileWatch::since(read_at, [file.clone()]);
        notices(&mut watch, "written after it was read").await;

        fs::write(&file, "bb").unwrap();
        notices(&mut watch, "written in place").await;

        let new = folder.path().join("m.yaml.tmp");
        fs::write(&new, "cc").unwrap();
        fs::rename(&new, &file).unwrap();
        notices(&mut watch, "renamed over").await;

        fs::remove_file(&file).unwrap();
        notices(&mut watch, "removed").await;
        fs::write(&file, "d").unwrap();
        notices(&mut watch, "created again").await;
    }

    #[tokio::test]
    async fn notices_that_a_file_is_gone_which_was_just_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        let read_at = SystemTime::now();
        fs::write(&file, "a").unwrap();
        let mut watch = FileWatch::since(read_at, [file.clone()]);
        fs::remove_file(&file).unwrap();
        notices(&mut watch, "removed before anybody looked").await;
        fs::write(&file, "b").unwrap();
        notices(&mut watch, "created again").await;
    }

    #[tokio::test]
    async fn notices_a_folder_of_links_being_swapped() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..v1", "one"), ("..v2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("m.yaml"), text).unwrap();
        }
        symlink("..v1", at("..data")).unwrap();
        symlink("..data/m.yaml", at("m.yaml")).unwrap();
        let mut watch = FileWatch::new([at("m.yaml")]);
        symlink("..v2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        notices(&mut watch, "the link `..data` moved").await;
        assert_eq!(fs::read_to_string(at("m.yaml")).unwrap(), "two");
    }

    #[tokio::test]
    async fn writes_to_other_files_cause_no_reload() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        fs::write(&file, "a").unwrap();
        // Read well after the file was written.
        let mut watch = FileWatch::since(SystemTime::now() + CLOCK_LAG * 2, [file]);
        for n in 0..100 {
            fs::write(folder.path().join("out.jsonl"), n.to_string()).unwrap();
        }
        let woken = tokio::time::timeout(QUIET * 2, watch.changed()).await;
        assert!(woken.is_err(), "a file that is not watched was reported");
    }
}
