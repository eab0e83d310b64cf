//! [`Trail`]: the files that take a name one after the other, each opened and held when it does, however long the one
//! before it takes to be read.

mod queue;
mod watch;

use std::{
    ffi::OsString,
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use self::{
    queue::{Missed, Queue},
    watch::Watch,
};
use super::{
    off_thread,
    opened::{Change, Identity, Look, Opened, look_at, open_if_there},
};
use crate::connector::{OpenError, csv::Header};

/// A look is taken so often even if the system tells of no change, as it cannot for a file behind a link or on a network.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A look begins again when files take the name meanwhile, so often at most: 64 times.
const ROUNDS_MAX: usize = 64;

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
    /// Starts to watch, and gives the file that has the name now.
    pub(super) async fn start(path: &Path) -> Result<(Self, Option<Opened>), OpenError> {
        let name = path.file_name().map(OsString::from).unwrap_or_default();
        let shared = Arc::new(Shared {
            path: path.to_owned(),
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
        let mut looker = Looker {
            shared: shared.clone(),
            watched,
            refused: None,
            missed: Missed::default(),
        };
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
            tracing::debug!(file = %self.path.display(), %error, "not told of changes; looking every {LOOK_INTERVAL:?}");
        });
        Some((folder, watch.ok()?))
    }
}

/// Finds the files that take the name.
#[derive(Debug)]
struct Looker {
    shared: Arc<Shared>,
    /// The folder that is watched. One that went away and came back has lost its watch.
    watched: Option<(Identity, Watch)>,
    /// Why the file cannot be opened, as was warned of last.
    refused: Option<io::ErrorKind>,
    /// What was warned of already.
    missed: Missed,
}

/// What has the name.
enum Holder {
    Nothing,
    /// One that is being read, or will be.
    Held(Identity),
    Another(Box<(Opened, Metadata)>),
}

impl Looker {
    async fn run(mut self) {
        loop {
            self.wait().await;
            if !self.shared.state().watches {
                self.watched = None;
            }
            #[cfg(test)]
            {
                self.shared.state().looks += 1;
            }
            self.look().await;
            let folder = self.shared.folder_identity();
            if self.watched.as_ref().map(|(folder, _)| *folder) != folder {
                self.watched = self.shared.watch();
                // Whatever happened in between.
                self.look().await;
            }
            self.shared.looked.notify_one();
        }
    }

    /// Waits until a look is due.
    async fn wait(&self) {
        let due = Instant::now() + self.shared.state().look_interval;
        loop {
            let changed = async {
                match &self.watched {
                    Some((_, watch)) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep_until(due) => return,
                () = self.shared.changed.notified() => return,
                () = changed => if self.drain().await.is_about_us {
                    return;
                },
            }
        }
    }

    /// Takes up what has happened in the folder.
    async fn drain(&self) -> Drained {
        let mut drained = Drained::default();
        let Some((_, watch)) = &self.watched else {
            return drained;
        };
        let events = watch.drain().await;
        let mut state = self.shared.state();
        for event in events {
            drained.is_about_us |= event.is_about(state.queue.name());
            drained.is_other |= state.queue.apply(&event);
        }
        drained
    }

    /// Opens what has had the name since the last look, in order.
    async fn look(&mut self) {
        // Files that had the name while others took it.
        let mut seen: Vec<(Opened, Metadata)> = Vec::new();
        for round in 1.. {
            self.drain().await;
            self.look_at_moved().await;
            let holder = self.holder().await;
            if self.drain().await.is_other && round < ROUNDS_MAX {
                if let Holder::Another(another) = holder {
                    seen.push(*another);
                }
                continue;
            }
            self.look_at_moved().await;
            let name = self.shared.path.file_name().map(OsString::from);
            let mut state = self.shared.state();
            for (opened, metadata) in seen {
                state.queue.push_unnamed(opened, &metadata);
            }
            match holder {
                Holder::Nothing => state.queue.set_holder(None),
                Holder::Held(identity) => state.queue.set_holder(Some(identity)),
                Holder::Another(another) => {
                    let (opened, metadata) = *another;
                    let identity = opened.identity();
                    state.queue.push(opened, &metadata, name);
                    state.queue.set_holder(Some(identity));
                }
            }
            break;
        }
        self.open_closed().await;
        self.warn_of_missed();
    }

    /// Opens the files that had the name and were moved before anybody looked.
    async fn look_at_moved(&self) {
        loop {
            let Some(name) = self.shared.state().queue.first_moved() else {
                break;
            };
            let path = self.shared.folder().join(&name);
            let opened = off_thread(&path, open_if_there).await.ok().flatten();
            // It may have been moved on before it was opened.
            self.drain().await;
            let mut state = self.shared.state();
            if state.queue.first_moved().as_ref() == Some(&name) {
                state.queue.take_moved(opened);
            }
        }
    }

    /// Finds out what has the name. A file that cannot be opened is tried again at the next look.
    async fn holder(&mut self) -> Holder {
        let path = &self.shared.path;
        let failed = |source| OpenError::File {
            path: path.clone(),
            source,
        };
        let found = match tokio::fs::metadata(path).await {
            Ok(metadata) => {
                let identity = Identity::from(&metadata);
                if self.shared.state().queue.is_held(identity) {
                    return Holder::Held(identity);
                }
                off_thread(path, open_if_there).await
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Holder::Nothing,
            Err(source) => Err(failed(source)),
        };
        match found {
            Ok(None) => Holder::Nothing,
            Ok(Some(another)) => {
                self.refused = None;
                Holder::Another(Box::new(another))
            }
            Err(error) => {
                let kind = if let OpenError::File { source, .. } = &error {
                    source.kind()
                } else {
                    io::ErrorKind::Other
                };
                if self.refused.replace(kind) != Some(kind) {
                    tracing::warn!("{error}; trying again");
                }
                Holder::Nothing
            }
        }
    }

    /// Opens files that were known by name only, as far as there is room.
    async fn open_closed(&self) {
        loop {
            let Some((identity, name)) = self.shared.state().queue.first_closed() else {
                break;
            };
            let opened = match &name {
                Some(name) => {
                    let path = self.shared.folder().join(name);
                    off_thread(&path, open_if_there).await.ok().flatten()
                }
                None => None,
            };
            self.drain().await;
            let mut state = self.shared.state();
            // It may have been renamed before it was opened.
            if state.queue.first_closed() == Some((identity, name)) {
                let opened = opened.map(|(opened, _)| opened);
                state.queue.reopen(identity, opened);
            }
        }
    }

    fn warn_of_missed(&mut self) {
        let missed = self.shared.state().queue.missed();
        if missed != self.missed {
            tracing::warn!(
                file = %self.shared.path.display(),
                "{} files that had the name were gone before they could be read, with {} bytes as far as is known",
                missed.files - self.missed.files,
                missed.bytes - self.missed.bytes
            );
            self.missed = missed;
        }
    }
}

/// What has happened since the folder was last asked.
#[derive(Debug, Default)]
struct Drained {
    /// Something happened to the name or to the file that has it.
    is_about_us: bool,
    /// Another file may have the name.
    is_other: bool,
}
