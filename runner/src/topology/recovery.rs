//! [`Recovery`]: opens the checkpoints of a node, and lets its stages go on from the last one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::SystemTime,
};

use mosaik_streams::durable::LogPosition;

use super::{
    build::{Parts, PartsOf, partitioning_of},
    error::{BuildError, BuildReason, StartError, StreamError},
    identity::{node_hash, state_folder},
    settings::Settings,
    stages::stage_id,
    streams::log_id,
};
use crate::{
    checkpoint::{
        Checkpoints, Discarded, Image, LastCheckpoint, Ledger, LedgerError, Owner, StageImage,
        Stages as Noted,
    },
    files,
    graph::{CheckpointConfig, Graph, StageKey, StatePolicy, StreamName},
    stage::RestoredState,
};

/// The checkpoints of a node that is about to start.
#[derive(Debug)]
pub(super) struct Recovery(Option<Opened>);

#[derive(Debug)]
struct Opened {
    ledger: Ledger,
    config: CheckpointConfig,
    image: Option<Image>,
    /// The checkpoint that an earlier process left.
    last: Option<LastCheckpoint>,
}

/// Returns the folder of a node's checkpoints.
pub(crate) fn checkpoint_folder(config: &CheckpointConfig, settings: &Settings) -> PathBuf {
    if let Some(path) = &config.path {
        return path.clone();
    }
    let manifest = files::canonicalize(&settings.manifest);
    let manifest = manifest.unwrap_or_else(|_| settings.manifest.clone());
    let name = node_hash(&manifest, settings.name.as_deref()).to_hex();
    in_state_folder(&settings.state_folder).join(&name[..16])
}

/// Returns the folder that holds the folders of checkpoints of all nodes without a `checkpoint.path`.
pub(crate) fn checkpoints_folder() -> PathBuf {
    in_state_folder(&state_folder())
}

fn in_state_folder(state_folder: &Path) -> PathBuf {
    state_folder.join("checkpoints")
}

/// Returns the description of the node for lists of checkpoints.
fn owner(graph: &Graph, settings: &Settings) -> Owner {
    let manifest = files::canonicalize(&settings.manifest);
    let network = graph
        .network
        .as_ref()
        .filter(|network| !network.is_secret());
    Owner {
        manifest: manifest.unwrap_or_else(|_| settings.manifest.clone()),
        name: settings.name.clone(),
        network: network.map(ToString::to_string),
    }
}

/// Returns the folder of the logs of a node's durable streams.
pub(super) fn logs_folder(graph: &Graph, settings: &Settings) -> PathBuf {
    let config = graph.checkpoint.clone().unwrap_or_default();
    checkpoint_folder(&config, settings).join("streams")
}

impl Recovery {
    /// Opens the checkpoints, if the graph has any. With `settings.fresh`, the last one is discarded.
    ///
    /// # Errors
    /// The ledger cannot be opened.
    pub(super) async fn open(graph: &Graph, settings: &Settings) -> Result<Self, StartError> {
        let Some(config) = graph.checkpoint.clone() else {
            return Ok(Self(None));
        };
        let (folder, fresh) = (checkpoint_folder(&config, settings), settings.fresh);
        let owner = owner(graph, settings);
        let opening = tokio::task::spawn_blocking(move || {
            if fresh {
                discard(&folder)?;
            }
            let opened = Ledger::open(&folder)?;
            if let Err(error) = owner.write(&folder) {
                tracing::debug!("{}: {error}", folder.display());
            }
            Ok::<_, LedgerError>(opened)
        });
        let opened = opening
            .await
            .map_err(|error| StartError::Machine(error.to_string()))?;
        let (ledger, image) = opened?;
        if let Some(image) = &image {
            let age = SystemTime::now()
                .duration_since(image.taken)
                .unwrap_or_default();
            tracing::info!(
                "goes on from checkpoint {}, taken {age:.0?} ago",
                image.number
            );
        }
        Ok(Self(Some(Opened {
            last: image.as_ref().map(|image| LastCheckpoint {
                number: image.number,
                taken: image.taken,
                state_bytes: image.state_bytes(),
                took: None,
            }),
            ledger,
            config,
            image,
        })))
    }

    /// Returns the positions at which the logs of durable streams go on. Those that the last checkpoint does not hold go
    /// on at their end.
    ///
    /// # Errors
    /// The checkpoint holds something else under the name of a log.
    pub(super) fn log_positions(
        &self,
        graph: &Graph,
    ) -> Result<BTreeMap<StreamName, LogPosition>, StartError> {
        let image = self.0.as_ref().and_then(|opened| opened.image.as_ref());
        let mut positions = BTreeMap::new();
        for (name, stream) in &graph.streams {
            let noted = image.and_then(|image| image.stages.get(&log_id(name)));
            let Some(noted) = noted.filter(|_| stream.settings.durable.is_some()) else {
                continue;
            };
            let at = match noted {
                StageImage::Log { log, position, .. } => log.parse().ok().zip(Some(*position)),
                _ => None,
            };
            let (log, position) = at.ok_or_else(|| StartError::Stream {
                stream: name.clone(),
                reason: StreamError::NoPosition,
            })?;
            positions.insert(name.clone(), LogPosition { log, position });
        }
        Ok(positions)
    }

    /// Lets the stages go on from the last checkpoint. Those that it does not hold start from the beginning. `new_logs`
    /// are the logs of durable streams that it does not hold.
    ///
    /// # Errors
    /// A stage cannot go on.
    pub(super) async fn restore(
        &mut self,
        parts: &mut PartsOf<'_>,
        new_logs: Noted,
    ) -> Result<(), StartError> {
        let Some(opened) = &mut self.0 else {
            return Ok(());
        };
        let last = opened.image.take();
        let mut images = last.map(|image| image.stages).unwrap_or_default();
        let mut new = Vec::new();
        for (key, parts) in parts {
            match images.remove(&stage_id(key)) {
                None => new.push((key, parts)),
                Some(image) => {
                    let restored = restore(image, parts).await;
                    restored.map_err(BuildError::of(key))?;
                }
            }
        }
        let mut new = first_images(new).await?;
        new.extend(new_logs);
        if !new.is_empty() {
            opened.ledger.add(new, Noted::new())?;
        }
        Ok(())
    }

    /// Starts to take checkpoints.
    pub(super) fn start(self) -> Option<Checkpoints> {
        let Opened {
            ledger,
            config,
            last,
            ..
        } = self.0?;
        let checkpoints = Checkpoints::start(ledger, config.every);
        if let Some(last) = last {
            checkpoints.continue_from(last);
        }
        Some(checkpoints)
    }
}

/// Returns the state of sources and sinks that have done nothing yet, for a checkpoint. A crash before their first
/// barrier then goes back to here.
///
/// # Errors
/// A sink cannot be synced.
pub(super) async fn first_images<'p, 'g: 'p>(
    parts: impl IntoIterator<Item = (&'p StageKey, &'p mut Parts<'g>)>,
) -> Result<Noted, BuildError> {
    let mut images = Noted::new();
    for (key, parts) in parts {
        let image = match parts {
            Parts::Source { reading, .. } => reading.first_image(),
            Parts::Sink { sink, .. } => {
                let synced = sink.sync().await;
                let token = synced.map_err(BuildError::of(key))?;
                StageImage::Sink {
                    token,
                    read: Vec::new(),
                    ended: false,
                }
            }
            // An operator without a state starts without one again.
            Parts::Operator { .. } => continue,
        };
        images.insert(stage_id(key), image);
    }
    Ok(images)
}

async fn restore(image: StageImage, parts: &mut Parts<'_>) -> Result<(), BuildReason> {
    match (image, parts) {
        (StageImage::Source { position, sent, .. }, Parts::Source { reading, .. }) => {
            let Some(position) = position else {
                return Ok(());
            };
            Ok(reading.resume(&position, sent).await?)
        }
        (
            image @ StageImage::Operator { .. },
            Parts::Operator {
                operator,
                instances,
                restored,
                read,
                ..
            },
        ) => {
            if let StageImage::Operator { read: noted, .. } = &image {
                read.clone_from(noted);
            }
            let is_other = !image.is_of_component(&operator.info.hash);
            if is_other && operator.settings.state == StatePolicy::Reset {
                return Ok(());
            }
            let partitioning = partitioning_of(operator);
            let mut taken = std::mem::take(instances);
            // Restoring runs the guest, so it must not run on a thread that does I/O.
            let restoring = tokio::task::spawn_blocking(move || {
                let state = RestoredState::restore(&image, &mut taken, &partitioning);
                (taken, state)
            });
            let (taken, state) = restoring.await.map_err(BuildReason::RestoringEnded)?;
            *instances = taken;
            *restored = Some(state?);
            Ok(())
        }
        (
            StageImage::Sink {
                token, read: noted, ..
            },
            Parts::Sink { sink, read, .. },
        ) => {
            *read = noted;
            match token {
                Some(token) => Ok(sink.resume(&token).await?),
                // The sink cannot take back what it has written.
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Discards the checkpoints in a folder, for a start without them.
fn discard(folder: &Path) -> Result<(), LedgerError> {
    match Ledger::discard(folder)? {
        Discarded::Nothing => {}
        Discarded::Checkpoint(number) => {
            tracing::warn!("discarded checkpoint {number}: `--fresh` starts without it");
        }
        Discarded::Unreadable { renamed, reason } => {
            tracing::warn!("renamed to {}: {reason}", renamed.display());
        }
    }
    Ok(())
}
