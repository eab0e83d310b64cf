//! [`RotatedFiles`]: the sequence of files that take a path. Each is opened and held as soon as it takes the path, however
//! long reading its predecessor takes.

mod poller;
mod queue;
mod watch;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use self::{poller::Poller, queue::Queue, watch::Watch};
use super::{
    find::{Found, find},
    off_thread,
    opened::{Change, Identity, Look, Opened, look_at, open_if_there},
    position::{FilePosition, ReadFile},
};
use crate::connector::{
    OpenError,
    format::{csv::Header, place::ColumnPlace},
};

/// Interval of checks without a notification from the system: 1 s. Files behind a symbolic link or on a network file
/// system may not produce notifications.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A file in which reading resumes, with its columns.
pub(super) type Resumed = (Opened, Option<Header>);

/// Watches a path. Stops watching when dropped.
#[derive(Debug)]
pub(super) struct RotatedFiles {
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Name of the file in messages.
    shown: String,
    state: Mutex<State>,
    /// Notified when a check is due. Keeps one notification while no task waits.
    changed: Notify,
    /// Notified after each check. Keeps one notification while no task waits.
    looked: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    look_interval: Duration,
    /// Whether to use file system notifications.
    watches: bool,
    #[cfg(test)]
    looks: u64,
}

impl RotatedFiles {
    /// Starts watching, and returns the file that currently has the path. `shown` is the name of the file in messages.
    pub(super) async fn start(
        path: &Path,
        shown: &str,
    ) -> Result<(Self, Option<Opened>), OpenError> {
        let find = |path: &Path| {
            Ok(Found {
                current: open_if_there(path)?.map(|(opened, _)| opened),
                ..Found::default()
            })
        };
        let (rotated_files, found) = Self::begin(path, shown, find, |_| None).await?;
        Ok((rotated_files, found.current))
    }

    /// Starts watching, and returns the file of a position if it still exists. Its successors wait to be read.
    /// `header_of` makes columns of those in the position. Also returns descriptions of the files that are gone.
    pub(super) async fn start_at(
        path: &Path,
        shown: &str,
        position: FilePosition,
        header_of: impl Fn(&[ColumnPlace]) -> Option<Header>,
    ) -> Result<(Self, Option<Opened>, Vec<String>), OpenError> {
        let name = shown.to_owned();
        let find = move |path: &Path| {
            find(path, &name, &position).map_err(|source| OpenError::File {
                path: path.to_owned(),
                source,
            })
        };
        let (rotated_files, found) = Self::begin(path, shown, find, header_of).await?;
        Ok((rotated_files, found.current, found.missed))
    }

    /// Starts watching with the files that `find` returns. Leaves the current one in its answer.
    async fn begin(
        path: &Path,
        shown: &str,
        find: impl FnOnce(&Path) -> Result<Found, OpenError> + Send + 'static,
        header_of: impl Fn(&[ColumnPlace]) -> Option<Header>,
    ) -> Result<(Self, Found), OpenError> {
        let name = path.file_name().map(OsString::from).unwrap_or_default();
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            shown: shown.to_owned(),
            state: Mutex::new(State {
                queue: Queue::new(name),
                look_interval: LOOK_INTERVAL,
                watches: true,
                #[cfg(test)]
                looks: 0,
            }),
            changed: Notify::new(),
            looked: Notify::new(),
        });
        // Watching starts before the first check, so that no change between the two is missed.
        let watched = shared.watch();
        let mut found = off_thread(path, find).await?;
        {
            let queue = &mut shared.state().queue;
            for waiting in found.waiting.drain(..) {
                let header = header_of(&waiting.columns);
                queue.add(waiting, header);
            }
            for mut left in found.left.drain(..) {
                if let Some(opened) = left.opened.take() {
                    queue.leave(opened, header_of(&left.columns));
                }
            }
            queue.miss(found.missed.len() as u64);
            if let Some(current) = &found.current {
                queue.begin(current.identity());
            }
        }
        let mut poller = Poller::new(shared.clone(), watched);
        poller.look().await;
        let task = tokio::spawn(poller.run());
        let rotated_files = Self {
            shared,
            _task: AbortOnDropHandle::new(task),
        };
        Ok((rotated_files, found))
    }

    /// Waits until a check has been made since the last call. Cancel safe.
    pub(super) async fn looked(&self) {
        self.shared.looked.notified().await;
    }

    /// Records that a file has been read to its end.
    pub(super) fn leave(&self, file: Opened, header: Option<Header>) {
        self.shared.state().queue.leave(file, header);
    }

    /// Puts the current file back at the front of the waiting files.
    pub(super) fn pause(&self, file: Opened, header: Option<Header>) {
        self.shared.state().queue.pause(file, header);
    }

    /// Returns the next file and makes it the current one.
    pub(super) fn next(&self) -> Option<Resumed> {
        let mut state = self.shared.state();
        let next = state.queue.next();
        if state.queue.has_closed() {
            // There is room to open another file.
            self.shared.changed.notify_one();
        }
        next
    }

    /// Returns whether any waiting file has content, in which case the writer has switched to that file. Cancel safe.
    pub(super) async fn goes_on(&self) -> io::Result<bool> {
        let Some(waiting) = self.shared.state().queue.waiting() else {
            return Ok(true);
        };
        let looks = look_at(waiting).await?;
        Ok(looks.iter().any(|look| look.change != Change::None))
    }

    /// Returns a file that has grown since it was read to its end; it becomes the current one. Cancel safe.
    pub(super) async fn left_and_grown(&self) -> io::Result<Option<Identity>> {
        let left = self.shared.state().queue.left();
        let looks = look_at(left).await?;
        let is_grown = |look: &&Look| look.change == Change::Grown;
        let grown = looks.iter().find(is_grown).map(|look| look.identity);
        let gone = |look: &&Look| look.is_deleted && Some(look.identity) != grown;
        let gone = looks.iter().filter(gone).map(|look| look.identity);
        self.shared
            .state()
            .queue
            .close_left(&gone.collect::<Vec<_>>());
        Ok(grown)
    }

    /// Resumes reading a file that had been read to its end.
    pub(super) fn resume(&self, identity: Identity) -> Option<Resumed> {
        self.shared.state().queue.resume(identity)
    }

    /// Returns the first waiting files, and the last files that were read to their end.
    pub(super) fn read_files(&self) -> (Vec<ReadFile>, Vec<ReadFile>) {
        self.shared.state().queue.read_files()
    }

    /// Number of files that had the path and could not be read.
    pub(super) fn missed_files(&self) -> u64 {
        self.shared.state().queue.missed().files
    }

    #[cfg(test)]
    pub(super) fn looks(&self) -> u64 {
        self.shared.state().looks
    }

    #[cfg(test)]
    pub(super) fn look_every(&self, interval: Duration) {
        self.shared.state().look_interval = interval;
        self.shared.changed.notify_one();
    }

    /// Stops file system notifications for the rest of the test.
    #[cfg(test)]
    pub(super) fn stop_watching(&self) {
        self.shared.state().watches = false;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Formats an error of the file for messages, with the name of the file as `shown`.
    fn shown_in(&self, error: &OpenError) -> String {
        let path = self.path.display().to_string();
        error.to_string().replace(&path, &self.shown)
    }

    fn folder(&self) -> &Path {
        let folder = self.path.parent();
        folder
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    /// `None` if the folder does not exist or watching is disabled.
    fn folder_identity(&self) -> Option<Identity> {
        let metadata = std::fs::metadata(self.folder()).ok();
        let metadata = metadata.filter(|_| self.state().watches);
        metadata.as_ref().map(Identity::from)
    }

    /// Watches the folder rather than the file, because the file may not exist yet or may be replaced by another one.
    /// If watching fails, changes are found by periodic checks.
    fn watch(&self) -> Option<(Identity, Watch)> {
        let folder = self.folder_identity()?;
        let watch = Watch::start(self.folder()).inspect_err(|error| {
            tracing::debug!(file = self.shown, %error, "no notifications of changes; polling every {LOOK_INTERVAL:?}");
        });
        Some((folder, watch.ok()?))
    }
}
