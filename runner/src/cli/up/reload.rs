//! Reloads: switching a node to the current content of its manifest.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{UpArgs, introduce};
use crate::{
    cli::{OutputArgs, load},
    components::Library,
    graph::{Graph, Loaded},
    topology::{
        ApplyError, FileWatch, Node, Receipt,
        report::{Outcome, Reload},
    },
};

/// The state needed for repeated reloads.
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

    /// Waits until a file that belongs to the manifest has changed. Cancel safe.
    pub(super) async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Switches the node to the current manifest. Mistakes are reported and change nothing.
    pub(super) async fn reload(&mut self, node: &mut Node) -> Reload {
        let reload = self.attempt(node).await;
        // A refused reload has loaded components and opened instances that do not run. Nothing else uses this library.
        self.library.retain(node.graph());
        match reload.outcome {
            Outcome::Applied => tracing::info!("{}", reload.text),
            Outcome::Unchanged => tracing::info!("{}", reload.text),
            // The mistakes have been reported with their locations.
            Outcome::Refused if reload.hash.is_none() => {
                tracing::error!("generation {} continues unchanged", reload.generation);
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
        let (hash, places) = (loaded.hash, loaded.places);
        match self.apply(node, loaded.graph).await {
            Ok(Some(receipt)) => {
                if !listened {
                    introduce(node);
                }
                receipt.report(at_ms, hash)
            }
            Ok(None) => {
                let text = format!("nothing has changed; generation {generation} continues");
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
                let part = match &error {
                    ApplyError::Build(error) => error.part(),
                    _ => None,
                };
                let place = part.and_then(|part| places.position(&part));
                let place = place.map_or_else(String::new, |place| format!(", at {place}"));
                let text = format!("generation {} continues: {error}{place}", node.generation());
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
                tracing::warn!("restarting: {reason}");
                node.restart(graph).await.map(Some)
            }
            outcome => outcome,
        }
    }

    /// Reads and checks the manifest, and starts to watch its files. Otherwise returns the mistakes, which have been
    /// reported.
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
                // A change of any named file may fix the mistakes. An unreadable manifest names no files.
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

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;
    use crate::{
        cli::{Color, LogFormat},
        components::BUILTINS,
        graph::Grants,
        operator::{Engine, EngineConfig},
        topology::Settings,
    };

    /// Returns a manifest with one operator, and with the additional operators in `more`.
    fn manifest(more: &str, read: &str) -> String {
        format!(
            "mosaik: v1\nstreams: {{raw: {{}}, out: {{}}}}\n\
             producers: {{count: {{from: {{generate: {{rate: 10}}}}, to: raw}}}}\n\
             operators:\n  pass: {{wasm: 'builtin:jq', from: raw, to: out, config: {{filter: .}}}}\n{more}\
             consumers: {{file: {{from: {read}, to: {{file: {{path: out.jsonl}}}}}}}}\n"
        )
    }

    fn holds(library: &Library, builtin: &str) -> bool {
        let found = BUILTINS.iter().find(|(name, _)| *name == builtin);
        let (_, code) = found.expect("it comes with the runner");
        let hash = blake3::hash(code).to_hex();
        library.get(&hash, &Grants::default()).is_some()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reload_opens_changed_operators_once_and_releases_what_it_does_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.yaml");
        fs::write(&path, manifest("", "out")).unwrap();
        let engine = Engine::new(EngineConfig::default()).unwrap();
        let library = Arc::new(Library::new(engine));
        let loaded = load::manifest(&path, &library).unwrap();
        let settings = Settings {
            manifest: path.clone(),
            state_folder: folder.path().join("state"),
            fresh: false,
            name: None,
        };
        let mut node = Node::start(loaded.graph, Arc::clone(&library), &settings)
            .await
            .unwrap();
        let args = UpArgs {
            manifest: path.clone(),
            no_watch: true,
            name: None,
            allow_restart: false,
            exit_when_done: false,
            fresh: false,
            threads: None,
            loss: crate::cli::up::LossArgs::default(),
        };
        let output = OutputArgs {
            log: LogFormat::Text,
            verbose: 0,
            quiet: true,
            color: Color::Never,
        };
        let shared = Arc::clone(&library);
        let mut reloader = Reloader::new(&args, output, shared, None, Instant::now());

        assert_eq!(library.opens(), 1, "the instance of the check runs");
        fs::write(
            &path,
            manifest("", "out").replace("out: {}", "out: {buffer_size: 9}"),
        )
        .unwrap();
        let reload = reloader.reload(&mut node).await;
        assert_eq!(reload.outcome, Outcome::Applied, "{reload:?}");
        assert_eq!(library.opens(), 1, "the operator is unchanged");
        let other = manifest("", "out").replace("filter: .", "filter: .n");
        fs::write(&path, &other).unwrap();
        let reload = reloader.reload(&mut node).await;
        assert_eq!(reload.outcome, Outcome::Applied, "{reload:?}");
        assert_eq!(
            (library.opens(), library.waiting()),
            (2, 0),
            "it is swapped for the instance of the check"
        );

        // The operators are inspected before the missing stream is found.
        let more = "  last: {wasm: 'builtin:sample', from: raw, to: out, config: {every: 2}}\n";
        fs::write(&path, manifest(more, "uot")).unwrap();
        assert!(load::manifest(&path, &library).is_err() && holds(&library, "sample"));
        let reload = reloader.reload(&mut node).await;
        assert_eq!(reload.outcome, Outcome::Refused, "{reload:?}");
        assert!(!holds(&library, "sample"), "nobody runs it");
        assert!(holds(&library, "jq"), "it runs");
        node.shutdown(Duration::from_secs(10)).await;
    }
}
