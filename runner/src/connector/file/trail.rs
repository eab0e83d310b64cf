//! [`Trail`]: the files that take a name one after the other, each opened and held when it does, however long the one
//! before it takes to be read.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{ModifyKind, RenameMode},
};
use tokio::{sync::Notify, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{
    off_thread,
    opened::{Identity, Opened, any_has_content, open_if_there},
};
use crate::connector::OpenError;

/// A look is taken so often even if the system tells of no change, as it cannot for a file behind a link or on a network.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Files that are held open until they are read: 64.
const FILES_MAX: usize = 64;

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
    /// Told by the watcher, with one change kept while nobody waits.
    changed: Notify,
    /// Told to the reader after each look, likewise.
    looked: Notify,
}

#[derive(Debug)]
struct State {
    /// The file that is being read.
    current: Option<Identity>,
    /// Those that have taken its name since, in order.
    files: VecDeque<Opened>,
    /// Those that were read before, and how far.
    left: VecDeque<(Identity, u64)>,
    /// Where files that had the name were moved, as the watcher tells.
    moved: VecDeque<PathBuf>,
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
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            shown: shown.to_owned(),
            state: Mutex::new(State {
                current: None,
                files: VecDeque::new(),
                left: VecDeque::new(),
                moved: VecDeque::new(),
                look_interval: LOOK_INTERVAL,
                watches: true,
                #[cfg(test)]
                looks: 0,
            }),
            changed: Notify::new(),
            looked: Notify::new(),
        });
        // Watching begins before the first look, so that no change falls between the two.
        let watched = Shared::watch(&shared);
        let first = off_thread(path, open_if_there).await?;
        shared.state().current = first.as_ref().map(Opened::identity);
        let task = tokio::spawn(run(shared.clone(), watched));
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

    /// The file that follows one that is read to its end, and becomes the one that is read.
    pub(super) fn next(&self, last: Option<Opened>) -> Option<Opened> {
        let mut state = self.shared.state();
        let next = state.files.pop_front()?;
        if let Some(last) = last {
            state.left.push_back((last.identity(), last.position()));
            if state.left.len() > FILES_MAX {
                state.left.pop_front();
            }
        }
        state.current = Some(next.identity());
        Some(next)
    }

    /// Whether any of the files that follow has content: whoever writes has moved on by then. Cancel safe.
    pub(super) async fn goes_on(&self) -> io::Result<bool> {
        let files = self
            .shared
            .state()
            .files
            .iter()
            .map(Opened::handle)
            .collect();
        any_has_content(files).await
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

/// A folder that is watched. One that went away and came back has lost its watch.
#[derive(Debug)]
struct Watched {
    folder: Option<Identity>,
    _watcher: RecommendedWatcher,
}

async fn run(shared: Arc<Shared>, mut watched: Option<Watched>) {
    // Why the file cannot be opened, as was warned of last.
    let mut refused = None;
    loop {
        let interval = shared.state().look_interval;
        // Told of a change or not, a look is taken.
        let _ = timeout(interval, shared.changed.notified()).await;
        if !shared.state().watches {
            watched = None;
        }
        #[cfg(test)]
        {
            shared.state().looks += 1;
        }
        shared.look(&mut refused).await;
        // What the watcher has yet to tell would be lost with it, so that it stays while it can tell.
        let folder = shared.folder_identity();
        if watched.as_ref().map(|watched| watched.folder) != Some(folder) {
            watched = Shared::watch(&shared);
            // Whatever happened in between.
            shared.look(&mut refused).await;
        }
        shared.looked.notify_one();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is being read, or will be.
    fn is_held(&self, identity: Identity) -> bool {
        let state = self.state();
        state.current == Some(identity)
            || state.files.iter().any(|file| file.identity() == identity)
    }

    /// How far it was read before, if it was.
    fn left_at(&self, identity: Identity) -> Option<u64> {
        let state = self.state();
        let mut left = state.left.iter().rev();
        left.find(|(left, _)| *left == identity)
            .map(|(_, position)| *position)
    }

    fn has_room(&self) -> bool {
        self.state().files.len() < FILES_MAX
    }

    /// Opens what has had the name since the last look.
    async fn look(&self, refused: &mut Option<io::ErrorKind>) {
        self.look_at_moved().await;
        self.look_at_name(refused).await;
    }

    /// Opens the files that had the name and were moved before anybody looked.
    async fn look_at_moved(&self) {
        while self.has_room() {
            let Some(path) = self.state().moved.pop_front() else {
                break;
            };
            // What cannot be opened, or is gone, nobody can read.
            let Ok(Some(opened)) = off_thread(&path, open_if_there).await else {
                continue;
            };
            let identity = opened.identity();
            if !self.is_held(identity) && self.left_at(identity).is_none() {
                self.state().files.push_back(opened);
            }
        }
    }

    /// Opens the file that has taken the name, if another has. One that cannot be opened is tried again at the next look.
    async fn look_at_name(&self, refused: &mut Option<io::ErrorKind>) {
        let failed = |source| OpenError::File {
            path: self.path.clone(),
            source,
        };
        let found = match tokio::fs::metadata(&self.path).await {
            Ok(metadata) if self.is_held(Identity::from(&metadata)) => return,
            Ok(_) if !self.has_room() => Err(failed(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{FILES_MAX} files that had its name before are not read yet"),
            ))),
            Ok(_) => off_thread(&self.path, open_if_there).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(source) => Err(failed(source)),
        };
        match found {
            Ok(None) => {}
            Ok(Some(mut opened)) => {
                *refused = None;
                let identity = opened.identity();
                // One that has got its name back is read on.
                let left_at = self.left_at(identity).unwrap_or_default();
                if !self.is_held(identity) && opened.go_on_at(left_at).is_ok() {
                    self.state().files.push_back(opened);
                }
            }
            Err(error) => {
                let kind = if let OpenError::File { source, .. } = &error {
                    source.kind()
                } else {
                    io::ErrorKind::Other
                };
                if refused.replace(kind) != Some(kind) {
                    let error = error.to_string();
                    let path = self.path.display().to_string();
                    tracing::warn!("{}; trying again", error.replace(&path, &self.shown));
                }
            }
        }
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

    /// Watches the folder, for the file may not be there yet or come under another number. Without a watcher, looks are
    /// taken now and then.
    fn watch(this: &Arc<Self>) -> Option<Watched> {
        let folder = this.folder_identity();
        folder?;
        let watched = watcher(this);
        watched
            .inspect_err(|error| {
                tracing::debug!(file = this.shown, %error, "not told of changes; looking every {LOOK_INTERVAL:?}");
            })
            .ok()
            .map(|watcher| Watched { folder, _watcher: watcher })
    }

    /// Whether an event is about the name. Where it was moved is kept.
    fn hears(&self, event: &notify::Event) -> bool {
        let name = self.path.file_name();
        let is_name = |path: &PathBuf| path.file_name() == name;
        if let (EventKind::Modify(ModifyKind::Name(RenameMode::Both)), [from, to]) =
            (event.kind, event.paths.as_slice())
        {
            let mut state = self.state();
            if let Some(moved) = state.moved.iter_mut().find(|moved| *moved == from) {
                moved.clone_from(to);
            } else if is_name(from) && state.moved.len() < FILES_MAX {
                state.moved.push_back(to.clone());
            }
        }
        // Our own opening of the file is an event too, and would keep us looking for ever.
        let is_about_us = event.paths.iter().any(is_name);
        event.need_rescan() || (is_about_us && !matches!(event.kind, EventKind::Access(_)))
    }
}

fn watcher(shared: &Arc<Shared>) -> notify::Result<RecommendedWatcher> {
    let told = Arc::downgrade(shared);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let (Ok(event), Some(shared)) = (event, told.upgrade())
            && shared.hears(&event)
        {
            shared.changed.notify_one();
        }
    })?;
    watcher.watch(shared.folder(), RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
