//! [`Trail`]: the files that take a name one after the other, each opened and held when it does, however long the one
//! before it takes to be read.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
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
    state: Mutex<State>,
    /// Told by the watcher, with one change kept while nobody waits.
    changed: Arc<Notify>,
    /// Told to the reader after each look, likewise.
    looked: Notify,
}

#[derive(Debug)]
struct State {
    /// The file that is being read.
    current: Option<Identity>,
    /// Those that have taken its name since, in order.
    files: VecDeque<Opened>,
    look_interval: Duration,
    /// Whether to be told of changes at all.
    watches: bool,
    #[cfg(test)]
    looks: u64,
}

impl Trail {
    /// Starts to watch, and gives the file that has the name now.
    pub(super) async fn start(path: &Path) -> Result<(Self, Option<Opened>), OpenError> {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            state: Mutex::new(State {
                current: None,
                files: VecDeque::new(),
                look_interval: LOOK_INTERVAL,
                watches: true,
                #[cfg(test)]
                looks: 0,
            }),
            changed: Arc::default(),
            looked: Notify::new(),
        });
        // Watching begins before the first look, so that no change falls between the two.
        let watcher = shared.watch();
        let first = off_thread(path, open_if_there).await?;
        shared.state().current = first.as_ref().map(Opened::identity);
        let task = tokio::spawn(run(shared.clone(), watcher));
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

    /// The next file, which becomes the one that is read.
    pub(super) fn next(&self) -> Option<Opened> {
        let mut state = self.shared.state();
        let next = state.files.pop_front()?;
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

async fn run(shared: Arc<Shared>, mut watcher: Option<RecommendedWatcher>) {
    // Why the file cannot be opened, as was warned of last.
    let mut refused = None;
    loop {
        let interval = shared.state().look_interval;
        // Told of a change or not, a look is taken.
        let _ = timeout(interval, shared.changed.notified()).await;
        if !shared.state().watches {
            watcher = None;
        }
        #[cfg(test)]
        {
            shared.state().looks += 1;
        }
        if shared.look(&mut refused).await {
            // A folder that went away and came back has lost its watch, so every file that is opened gets a new one.
            drop(watcher.take());
            watcher = shared.watch();
        }
        shared.looked.notify_one();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_known(&self, identity: Identity) -> bool {
        let state = self.state();
        let last = state.files.back().map(Opened::identity);
        last.or(state.current) == Some(identity)
    }

    /// Opens the file that has taken the name, if another has; whether it did. One that cannot be opened is tried again at
    /// the next look.
    async fn look(&self, refused: &mut Option<io::ErrorKind>) -> bool {
        let found = match tokio::fs::metadata(&self.path).await {
            Ok(metadata) if self.is_known(Identity::from(&metadata)) => return false,
            Ok(_) if self.state().files.len() >= FILES_MAX => Err(OpenError::File {
                path: self.path.clone(),
                source: io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    format!("{FILES_MAX} files that had its name before are not read yet"),
                ),
            }),
            Ok(_) => off_thread(&self.path, open_if_there).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(source) => Err(OpenError::File {
                path: self.path.clone(),
                source,
            }),
        };
        match found {
            Ok(None) => false,
            Ok(Some(opened)) => {
                *refused = None;
                if self.is_known(opened.identity()) {
                    return false;
                }
                self.state().files.push_back(opened);
                true
            }
            Err(error) => {
                let kind = if let OpenError::File { source, .. } = &error {
                    source.kind()
                } else {
                    io::ErrorKind::Other
                };
                if refused.replace(kind) != Some(kind) {
                    tracing::warn!("{error}; trying again");
                }
                false
            }
        }
    }

    /// Watches the folder, for the file may not be there yet or come under another number. Without a watcher, looks are
    /// taken now and then.
    fn watch(&self) -> Option<RecommendedWatcher> {
        if !self.state().watches {
            return None;
        }
        let watched = watcher(&self.path, Arc::clone(&self.changed));
        watched
            .inspect_err(|error| {
                tracing::debug!(file = %self.path.display(), %error, "not told of changes; looking every {LOOK_INTERVAL:?}");
            })
            .ok()
    }
}

fn watcher(path: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path.file_name().map(ToOwned::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerned = event.is_ok_and(|event| {
            // Our own opening of the file is an event too, and would keep us looking for ever.
            let about_us = event
                .paths
                .iter()
                .any(|path| path.file_name() == name.as_deref());
            event.need_rescan() || (about_us && !matches!(event.kind, EventKind::Access(_)))
        });
        if concerned {
            changed.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
