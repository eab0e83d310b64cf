//! [`Trail`]: the files that take a name one after the other, each opened and held when it does, however long the one
//! before it takes to be read.

mod looker;
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

use self::{looker::Looker, queue::Queue, watch::Watch};
use super::{
    off_thread,
    opened::{Change, Identity, Look, Opened, look_at, open_if_there},
};
use crate::connector::{OpenError, csv::Header};

/// A look is taken so often even if the system tells of no change, as it cannot for a file behind a link or on a network.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A file to read on in, with the columns that it had.
pub(super) type Resumed = (Opened, Option<Header>);

/// Watches a name. Dropped, it watches no more.
#[derive(Debug)]
pub(super) struct Trail {
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// What messages call the file.
    shown: String,
    state: Mutex<State>,
    /// Notified when a look is due, with one notice kept while nobody waits.
    changed: Notify,
    /// Notified after each look, likewise.
    looked: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    look_interval: Duration,
    /// Whether to be told of changes at all.
    watches: bool,
    #[cfg(test)]
    looks: u64,
}

impl Trail {
    /// Starts to watch, and gives the file that has the name now. Messages call it `shown`.
    pub(super) async fn start(
        path: &Path,
        shown: &str,
    ) -> Result<(Self, Option<Opened>), OpenError> {
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
        // Watching begins before the first look, so that no change falls between the two.
        let watched = shared.watch();
        let first = off_thread(path, open_if_there).await?;
        let first = first.map(|(opened, _)| opened);
        if let Some(first) = &first {
            shared.state().queue.begin(first.identity());
        }
        let mut looker = Looker::new(shared.clone(), watched);
        looker.look().await;
        let task = tokio::spawn(looker.run());
        let trail = Self {
            shared,
            _task: AbortOnDropHandle::new(task),
        };
        Ok((trail, first))
    }

    /// Waits until a look was taken since this was last called. Cancel safe.
    pub(super) async fn looked(&self) {
        self.shared.looked.notified().await;
    }

    /// Notes that a file was read to its end.
    pub(super) fn leave(&self, file: Opened, header: Option<Header>) {
        self.shared.state().queue.leave(file, header);
    }

    /// Puts the file that is read in front of those that wait.
    pub(super) fn pause(&self, file: Opened, header: Option<Header>) {
        self.shared.state().queue.pause(file, header);
    }

    /// The file that follows, which becomes the one that is read.
    pub(super) fn next(&self) -> Option<Resumed> {
        let mut state = self.shared.state();
        let next = state.queue.next();
        if state.queue.has_closed() {
            // There is room to open another.
            self.shared.changed.notify_one();
        }
        next
    }

    /// Whether any of the files that follow has content: whoever writes has moved on by then. Cancel safe.
    pub(super) async fn goes_on(&self) -> io::Result<bool> {
        let Some(waiting) = self.shared.state().queue.waiting() else {
            return Ok(true);
        };
        let looks = look_at(waiting).await?;
        Ok(looks.iter().any(|look| look.change != Change::None))
    }

    /// A file that was read to its end and left, and has grown since; it becomes the one that is read. Cancel safe.
    pub(super) async fn left_and_grown(&self) -> io::Result<Option<Identity>> {
        let left = self.shared.state().queue.left();
        let looks = look_at(left).await?;
        let deleted = looks.iter().filter(|look| look.is_deleted);
        let deleted: Vec<_> = deleted.map(|look| look.identity).collect();
        let is_grown = |look: &&Look| look.change == Change::Grown;
        let grown = looks.iter().find(is_grown).map(|look| look.identity);
        let gone: Vec<_> = deleted
            .into_iter()
            .filter(|id| Some(*id) != grown)
            .collect();
        self.shared.state().queue.close_left(&gone);
        Ok(grown)
    }

    /// Begins to read on in a file that was left.
    pub(super) fn resume(&self, identity: Identity) -> Option<Resumed> {
        self.shared.state().queue.resume(identity)
    }

    /// Files that had the name, and could not be read.
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

    /// Stops to be told of changes, now and later.
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

    /// An error of the file, as messages tell it.
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

    /// `None` if it is not there, or need not be watched.
    fn folder_identity(&self) -> Option<Identity> {
        let metadata = std::fs::metadata(self.folder()).ok();
        let metadata = metadata.filter(|_| self.state().watches);
        metadata.as_ref().map(Identity::from)
    }

    /// Watches the folder, for the file may not be there yet or come under another number. Without a watch, looks are
    /// taken now and then.
    fn watch(&self) -> Option<(Identity, Watch)> {
        let folder = self.folder_identity()?;
        let watch = Watch::start(self.folder()).inspect_err(|error| {
            tracing::debug!(file = self.shown, %error, "not told of changes; looking every {LOOK_INTERVAL:?}");
        });
        Some((folder, watch.ok()?))
    }
}
