//! A file read from its start and then followed, like `tail -F`.
//!
//! It is waited for while it is missing. When another file takes its name, what was still written to the old one is read
//! first, until the new one has content: whoever writes has moved on by then. When it is cut short in place, it is read
//! from its start again. Where either happens, a last line without an end counts as whole.
//!
//! Where reading stood is not kept over a restart: a new follower starts at the start. A file that is replaced twice while nobody takes its
//! datums, or cut short and grown past where reading stood between two looks, is not seen in between.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mosaik_streams::Frames;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    sync::Notify,
};

use super::{format_of, off_thread, open_regular, read::tokio_file};
use crate::{
    connector::{OpenError, SourceContext, SourceCounts, SourceError, intake::Intake},
    manifest::connector::FileSource,
};

/// A look is taken so often even if the system tells of no change, as it cannot for a file behind a link or on a network.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Follows a file.
#[derive(Debug)]
pub(in crate::connector) struct Follower {
    path: PathBuf,
    intake: Intake,
    /// The file being read; none while it is waited for.
    current: Option<Opened>,
    /// The file that has taken the name of the current one, read once it has content.
    next: Option<Opened>,
    /// The current file is read to its end a last time, then left for the next.
    leaving: bool,
    /// The current file was cut short: reading goes on at its start.
    rewinding: bool,
    /// Told by the watcher, with one change kept while nobody waits.
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// Whether to be told of changes at all.
    watching: bool,
    look_interval: Duration,
    /// Why the file cannot be opened, as was warned of last.
    refused: Option<io::ErrorKind>,
    #[cfg(test)]
    pub(super) looks: u64,
}

#[derive(Debug)]
struct Opened {
    file: File,
    identity: Identity,
    /// Bytes read so far.
    position: u64,
}

/// A file's device and number there; no other has them while it is held open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

/// What a look at the end of the current file has found.
enum Found {
    /// There is more to read.
    More,
    /// The content has ended: what it left is handed out.
    End,
    Nothing,
}

impl Follower {
    pub(in crate::connector) async fn open(
        config: &FileSource,
        context: &SourceContext,
    ) -> Result<Self, OpenError> {
        let mut follower = Self {
            path: config.path.clone(),
            intake: Intake::new(
                config.path.display().to_string(),
                format_of(config),
                context,
            )?,
            current: None,
            next: None,
            leaving: false,
            rewinding: false,
            changed: Arc::default(),
            watcher: None,
            watching: true,
            look_interval: LOOK_INTERVAL,
            refused: None,
            #[cfg(test)]
            looks: 0,
        };
        // Watching begins before the first look, so that no change falls between the two.
        follower.watch();
        follower.current = off_thread(&config.path, open_if_there).await?;
        if follower.current.is_none() {
            tracing::info!(file = %config.path.display(), "waiting for the file, which is not there yet");
        }
        Ok(follower)
    }

    pub(in crate::connector) async fn next(&mut self) -> Result<Frames, SourceError> {
        loop {
            if let Some(batch) = self.intake.cut()? {
                return Ok(batch);
            }
            if self.read().await? {
                continue;
            }
            match self.look().await? {
                Found::More => {}
                Found::End => {
                    if let Some(batch) = self.intake.finish()? {
                        return Ok(batch);
                    }
                }
                Found::Nothing => {
                    tokio::select! {
                        // Triggered when the watcher tells of a change to the file.
                        () = self.changed.notified() => {}
                        // Triggered when nothing was told for a while.
                        () = tokio::time::sleep(self.look_interval) => {}
                    }
                }
            }
        }
    }

    pub(in crate::connector) fn counts(&self) -> SourceCounts {
        self.intake.counts()
    }

    /// Reads a chunk; whether there was any.
    async fn read(&mut self) -> Result<bool, SourceError> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        if self.rewinding {
            current
                .file
                .rewind()
                .await
                .map_err(|error| self.intake.read_error(error))?;
            current.position = 0;
            self.rewinding = false;
        }
        match current.file.read_buf(self.intake.buffer()).await {
            Ok(read) => {
                current.position += read as u64;
                Ok(read > 0)
            }
            Err(error) => Err(self.intake.read_error(error)),
        }
    }

    /// Finds out what is next, after all that was there is read.
    async fn look(&mut self) -> Result<Found, SourceError> {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        if self.leaving {
            self.leaving = false;
            self.current = self.next.take();
            self.watch();
            return Ok(Found::End);
        }
        if let Some(current) = &self.current {
            let len_bytes = current
                .file
                .metadata()
                .await
                .map_err(|error| self.intake.read_error(error))?
                .len();
            if len_bytes < current.position {
                self.rewinding = true;
                return Ok(Found::End);
            }
            if len_bytes > current.position {
                return Ok(Found::More);
            }
        }
        self.look_at_name().await;
        if self.current.is_none() {
            self.current = self.next.take();
            return Ok(if self.current.is_some() {
                Found::More
            } else {
                Found::Nothing
            });
        }
        if let Some(next) = &self.next {
            let metadata = next
                .file
                .metadata()
                .await
                .map_err(|error| self.intake.read_error(error))?;
            if metadata.len() > 0 {
                self.leaving = true;
                return Ok(Found::More);
            }
        }
        Ok(Found::Nothing)
    }

    /// Opens the file that has taken the name, if another has. One that cannot be opened is tried again at the next look.
    async fn look_at_name(&mut self) {
        let known = self
            .next
            .as_ref()
            .or(self.current.as_ref())
            .map(|opened| opened.identity);
        let found = match tokio::fs::metadata(&self.path).await {
            Ok(metadata) if known == Some(Identity::from(&metadata)) => return,
            Ok(_) => off_thread(&self.path, open_if_there).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(source) => Err(OpenError::File {
                path: self.path.clone(),
                source,
            }),
        };
        match found {
            Ok(None) => {}
            Ok(Some(opened)) => {
                self.refused = None;
                if known != Some(opened.identity) {
                    self.next = Some(opened);
                }
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
            }
        }
    }

    /// Watches the folder, for the file may not be there yet or come under another number. Without a watcher, looks are
    /// taken now and then.
    fn watch(&mut self) {
        // A folder that went away and came back has lost its watch, so every file that is opened gets a new one.
        self.watcher = None;
        if !self.watching {
            return;
        }
        let watched = watcher(&self.path, Arc::clone(&self.changed));
        self.watcher = watched
            .inspect_err(|error| {
                tracing::debug!(file = %self.path.display(), %error, "not told of changes; looking every {LOOK_INTERVAL:?}");
            })
            .ok();
    }

    #[cfg(test)]
    pub(super) fn look_every(&mut self, interval: Duration) {
        self.look_interval = interval;
    }

    /// Stops to be told of changes, now and later.
    #[cfg(test)]
    pub(super) fn stop_watching(&mut self) {
        self.watching = false;
        self.watch();
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

fn open_if_there(path: &Path) -> Result<Option<Opened>, OpenError> {
    let failed = |source| OpenError::File {
        path: path.to_owned(),
        source,
    };
    match open_regular(path) {
        Ok(file) => {
            let identity = Identity::from(&file.metadata().map_err(failed)?);
            Ok(Some(Opened {
                file: tokio_file(file),
                identity,
                position: 0,
            }))
        }
        Err(OpenError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
