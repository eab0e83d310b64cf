//! Moving to what the manifest says now.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{UpArgs, introduce};
use crate::{
    cli::{OutputArgs, load},
    graph::{Graph, Loaded},
    topology::{
        ApplyError, FileWatch, Library, Node, Receipt,
        report::{Outcome, Reload},
    },
};

/// What it takes to reload, again and again.
pub(super) struct Reloader {
    manifest: PathBuf,
    output: OutputArgs,
    library: Arc<Library>,
    watch: Option<FileWatch>,
    allow_restart: bool,
    started: Instant,
}

impl Reloader {
    pub(super) fn new(
        args: &UpArgs,
        output: OutputArgs,
        library: Arc<Library>,
        watch: Option<FileWatch>,
        started: Instant,
    ) -> Self {
        Self {
            manifest: args.manifest.clone(),
            output,
            library,
            watch,
            allow_restart: args.allow_restart,
            started,
        }
    }

    /// Waits until a file that the manifest is made of has changed. Cancel safe.
    pub(super) async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Moves the node to what the manifest says now. Whatever is wrong is shown, and changes nothing.
    pub(super) async fn reload(&mut self, node: &mut Node) -> Reload {
        let reload = self.attempt(node).await;
        match reload.outcome {
            Outcome::Applied => tracing::info!("{}", reload.text),
            Outcome::Unchanged => tracing::info!("{}", reload.text),
            // Mistakes were shown with their places.
            Outcome::Refused if reload.hash.is_none() => {
                tracing::error!("generation {} goes on as it was", reload.generation);
            }
            Outcome::Refused | Outcome::Incomplete => tracing::error!("{}", reload.text),
        }
        node.observer().note(reload.clone());
        reload
    }

    async fn attempt(&mut self, node: &mut Node) -> Reload {
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let generation = node.generation();
        let loaded = match self.read().await {
            Ok(loaded) => loaded,
            Err(text) => return Reload::refused(at_ms, generation, None, text),
        };
        let listened = node.address().is_some();
        let hash = loaded.hash;
        match self.apply(node, loaded.graph).await {
            Ok(Some(receipt)) => {
                if !listened {
                    introduce(node);
                }
                Reload::applied(at_ms, hash, &receipt)
            }
            Ok(None) => {
                let text = format!("nothing has changed; generation {generation} goes on");
                Reload {
                    outcome: Outcome::Unchanged,
                    ..Reload::refused(at_ms, generation, Some(hash), text)
                }
            }
            Err(error @ ApplyError::Incomplete(_)) => {
                let text = format!("generation {}: {error}", node.generation());
                Reload {
                    outcome: Outcome::Incomplete,
                    ..Reload::refused(at_ms, node.generation(), Some(hash), text)
                }
            }
            Err(error) => {
                let text = format!("generation {} goes on: {error}", node.generation());
                Reload::refused(at_ms, node.generation(), Some(hash), text)
            }
        }
    }

    async fn apply(&self, node: &mut Node, graph: Graph) -> Result<Option<Receipt>, ApplyError> {
        if !self.allow_restart {
            return node.apply(graph).await;
        }
        match node.apply(graph.clone()).await {
            Err(ApplyError::NeedsRestart(reason)) => {
                tracing::warn!("starting anew: {reason}");
                node.restart(graph).await.map(Some)
            }
            outcome => outcome,
        }
    }

    /// Reads and checks the manifest, and has its files watched from now on. Else what is wrong, which was shown.
    async fn read(&mut self) -> Result<Loaded, String> {
        let read_at = SystemTime::now();
        let (path, library) = (self.manifest.clone(), Arc::clone(&self.library));
        // Compiling blocks.
        let loaded = tokio::task::spawn_blocking(move || load::manifest(&path, &library)).await;
        match loaded {
            Ok(Ok(loaded)) => {
                load::show(&loaded.warnings, self.output);
                if let Some(watch) = &mut self.watch {
                    watch.retarget(read_at, loaded.files.iter().cloned());
                }
                Ok(loaded)
            }
            Ok(Err(mistakes)) => {
                // Mending any file that it names now may help; a manifest that cannot be read names none.
                if let (Some(watch), [_, ..]) = (&mut self.watch, mistakes.files()) {
                    watch.retarget(read_at, mistakes.files().iter().cloned());
                }
                load::show(&mistakes, self.output);
                Err(mistakes.render(false).trim_end().to_owned())
            }
            Err(error) => {
                let text = format!("the manifest could not be read: {error}");
                tracing::error!("{text}");
                Err(text)
            }
        }
    }
}
