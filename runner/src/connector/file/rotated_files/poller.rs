//! [`Poller`]: the task that discovers the files that take the path.

use std::{fs::Metadata, io, sync::Arc};

use tokio::time::{Instant, sleep_until};

use super::{Shared, queue::Missed, watch::Watch};
use crate::connector::{
    OpenError,
    file::{
        off_thread,
        opened::{Identity, Opened, open_if_there},
    },
};

/// Maximum number of times that a check restarts because another file has taken the path: 64.
const ROUNDS_MAX: usize = 64;

/// Discovers the files that take the path.
#[derive(Debug)]
pub(super) struct Poller {
    shared: Arc<Shared>,
    /// The watched folder. A folder that is removed and re-created has lost its watch.
    watched: Option<(Identity, Watch)>,
    /// Reason that the file cannot be opened, as of the last warning.
    refused: Option<io::ErrorKind>,
    /// Missed files for which a warning has been logged.
    missed: Missed,
}

/// The file that has the path.
enum Holder {
    Nothing,
    /// A file that is being read or is queued.
    Held(Identity),
    Another(Box<(Opened, Metadata)>),
}

impl Poller {
    pub(super) fn new(shared: Arc<Shared>, watched: Option<(Identity, Watch)>) -> Self {
        // Files that were gone at the start have been reported.
        let missed = shared.state().queue.missed();
        Self {
            shared,
            watched,
            refused: None,
            missed,
        }
    }

    pub(super) async fn run(mut self) {
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
                // Events from before the new watch are lost, so check again.
                self.look().await;
            }
            self.shared.looked.notify_one();
        }
    }

    /// Waits until a check is due.
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

    /// Processes the events of the folder.
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

    /// Opens the files that have had the path since the last check, in order.
    pub(super) async fn look(&mut self) {
        // Files that had the path during this check and were replaced.
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
            let mut state = self.shared.state();
            for (opened, metadata) in seen {
                state.queue.push(opened, &metadata, None);
            }
            let holder = match holder {
                Holder::Nothing => None,
                Holder::Held(identity) => Some(identity),
                Holder::Another(another) => {
                    let (opened, metadata) = *another;
                    let identity = opened.identity();
                    state.queue.push(opened, &metadata, None);
                    Some(identity)
                }
            };
            state.queue.set_holder(holder);
            break;
        }
        self.open_closed().await;
        self.warn_of_missed();
    }

    /// Opens the files that had the path and were renamed before they were opened.
    async fn look_at_moved(&self) {
        loop {
            let Some(name) = self.shared.state().queue.first_moved() else {
                break;
            };
            let path = self.shared.folder().join(&name);
            let opened = off_thread(&path, open_if_there).await.ok().flatten();
            // The file may have been renamed again before it was opened.
            self.drain().await;
            let mut state = self.shared.state();
            if state.queue.first_moved().as_ref() == Some(&name) {
                state.queue.take_moved(opened);
            }
        }
    }

    /// Determines the file that has the path. A file that cannot be opened is retried at the next check.
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
                    tracing::warn!("{}; retrying", self.shared.shown_in(&error));
                }
                Holder::Nothing
            }
        }
    }

    /// Opens files that were known only by name, as far as the limit allows.
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
            // The file may have been renamed before it was opened.
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
                file = self.shared.shown,
                "{} rotated files were deleted before they were read, with {} bytes as far as known",
                missed.files - self.missed.files,
                missed.bytes - self.missed.bytes
            );
            self.missed = missed;
        }
    }
}

/// Summary of the folder's events since the last call.
#[derive(Debug, Default)]
struct Drained {
    /// An event concerned the path or the file that has it.
    is_about_us: bool,
    /// Another file may have the path.
    is_other: bool,
}
