//! `mosaik-runner up`.

use std::{
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::Context as _;
use clap::Args;
use futures::future::{Either, select};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Exit, OutputArgs, load};
use crate::{
    graph::Loaded,
    topology::{
        ApplyError, DRAIN_DEADLINE, FileWatch, Library, Node, Settings, Summary, state_folder,
    },
};

/// Runs a manifest, and moves to its new form whenever it changes.
///
/// Data goes to stdout, the log and a summary at the end to stderr. It ends by itself when all sources have ended;
/// else Ctrl-C or SIGTERM stops reading, works off what is under way within 30 s, and exits with 0. A second signal
/// stops at once. SIGHUP reloads at once.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner up manifests/quickstart.yaml\n  mosaik-runner up pipeline.yaml --log json 2> node.log | head"
)]
pub(super) struct UpArgs {
    /// The manifest.
    manifest: PathBuf,
    /// Leaves the node as it started, whatever becomes of its files.
    #[arg(long)]
    no_watch: bool,
}

pub(super) fn run(args: UpArgs, output: OutputArgs) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let library = load::library()?;
    let read_at = SystemTime::now();
    let Some(loaded) = load::graph(&args.manifest, &library, output) else {
        return Ok(Exit::Mistakes);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let summary = runtime.block_on(up(args, output, library, loaded, (started, read_at)));
    // A guest that loops or a read that blocks must not hold the process.
    runtime.shutdown_background();
    let summary = summary?;
    if !output.quiet {
        super::summary::show(&summary, output);
    }
    Ok(if summary.has_failures() {
        Exit::Failed
    } else {
        Exit::Success
    })
}

async fn up(
    args: UpArgs,
    output: OutputArgs,
    library: Arc<Library>,
    loaded: Loaded,
    (started, read_at): (Instant, SystemTime),
) -> anyhow::Result<Summary> {
    let mut signals = Signals::new()?;
    let settings = Settings {
        manifest: args.manifest.clone(),
        state_folder: state_folder(),
    };
    let mut watch = (!args.no_watch).then(|| FileWatch::since(read_at, loaded.files));
    let mut node = Node::start(loaded.graph, Arc::clone(&library), &settings).await?;
    introduce(&node);
    let stages = node.graph().stages().count();
    let s = if stages == 1 { "" } else { "s" };
    tracing::info!(
        "generation 1 runs {stages} stage{s}, ready in {:.0?}",
        started.elapsed()
    );

    loop {
        // Triggered when: all stages have ended; a watched file changed; a signal came.
        tokio::select! {
            () = node.done() => break,
            () = changed(watch.as_mut()) => {}
            signal = signals.next() => if signal == Told::Stop {
                tracing::info!("stopping; once more to stop at once");
                break;
            }
        }
        let mut stop = false;
        {
            let mut reload = pin!(reload(&mut node, &args, output, &library, watch.as_mut()));
            // Triggered when: the reload is done; a signal came meanwhile.
            while let Either::Right((signal, _)) = select(&mut reload, pin!(signals.next())).await {
                anyhow::ensure!(
                    !(stop && signal == Told::Stop),
                    "stopped at once, in the middle of a reload"
                );
                stop |= signal == Told::Stop;
                if stop {
                    tracing::info!("stopping after the reload; once more to stop at once");
                }
            }
        }
        if stop {
            break;
        }
    }
    tokio::select! {
        summary = node.shutdown(DRAIN_DEADLINE) => Ok(summary),
        () = signals.stop() => anyhow::bail!("stopped at once, before everything was worked off"),
    }
}

/// Moves the node to what the manifest says now. Whatever is wrong is shown, and changes nothing.
async fn reload(
    node: &mut Node,
    args: &UpArgs,
    output: OutputArgs,
    library: &Arc<Library>,
    watch: Option<&mut FileWatch>,
) {
    let read_at = SystemTime::now();
    let (path, shelf) = (args.manifest.clone(), Arc::clone(library));
    // Compiling blocks.
    let loaded = match tokio::task::spawn_blocking(move || load::manifest(&path, &shelf)).await {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(
                "generation {} goes on: the new one could not be read: {error}",
                node.generation()
            );
            return;
        }
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            // Mending any file that it names now may help; a manifest that cannot be read names none.
            if let (Some(watch), [_, ..]) = (watch, mistakes.files()) {
                watch.retarget(read_at, mistakes.files().iter().cloned());
            }
            load::show(&mistakes, output);
            tracing::error!("generation {} goes on as it was", node.generation());
            return;
        }
    };
    load::show(&loaded.warnings, output);
    if let Some(watch) = watch {
        watch.retarget(read_at, loaded.files);
    }
    let listened = node.address().is_some();
    match node.apply(loaded.graph).await {
        Ok(Some(receipt)) => {
            if !listened {
                introduce(node);
            }
            tracing::info!("{receipt}");
        }
        Ok(None) => tracing::info!(
            "nothing has changed; generation {} goes on",
            node.generation()
        ),
        Err(error @ ApplyError::Incomplete(_)) => {
            tracing::error!("generation {}: {error}", node.generation());
        }
        Err(error) => tracing::error!("generation {} goes on: {error}", node.generation()),
    }
}

async fn changed(watch: Option<&mut FileWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Says who the node is and where it listens, once it does.
fn introduce(node: &Node) {
    if let Some(address) = node.address() {
        let addrs: Vec<_> = address.addrs.iter().map(ToString::to_string).collect();
        tracing::info!("peer {:?} listens on {}", address.id, addrs.join(", "));
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Reload,
    Stop,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
        }
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
