//! `mosaik-runner up`.

mod reload;

use std::{
    io,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::Context as _;
use clap::Args;
use futures::future::{Either, select};
use tokio::sync::mpsc;

use self::reload::Reloader;
use super::{
    Exit, OutputArgs,
    control::node_name,
    load,
    signals::{NOT_STARTED, Signals, Told},
};
use crate::{
    control::{Address, Claim, Load, Order, Server, SocketError},
    files,
    machine::Shortage,
    operator::Engine,
    topology::{DRAIN_DEADLINE, FileWatch, Library, Node, Settings, Summary, state_folder},
};

/// Orders that wait while the node is busy with another; whoever orders more waits.
const ORDERS_MAX: usize = 8;

/// Runs a manifest, and moves to its new form whenever it changes.
///
/// Data goes to stdout, the log and a summary at the end to stderr. It ends by itself when all sources have ended;
/// else Ctrl-C or SIGTERM stops reading, works off what is under way within 30 s, and exits with 0. A second one, a
/// second later or more, stops at once. Before the node has started, the first one ends the process with 0. SIGHUP
/// reloads at once.
///
/// While it runs, `status`, `top`, `tap`, `explain`, `peers`, `plan`, `reload` and `down` speak to it.
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
    /// What the node is called on this machine. Without a name, one node runs a manifest; with names, several do.
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    name: Option<String>,
    /// Lets a reload stop the node and start it anew, where only that can bring about what has changed: its key, its
    /// addresses, its network. What operators remember is lost then, and connections are made anew.
    #[arg(long)]
    allow_restart: bool,
    /// Threads for connections, files and the hand-over between stages, 1 to 512; operators have their own. Default: one
    /// for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
}

/// How it came to its end.
enum Outcome {
    /// The manifest has mistakes, which were shown.
    Mistakes,
    /// A signal ended the start.
    NotStarted,
    /// The node ran.
    Ran(Summary),
}

pub(super) fn run(
    args: UpArgs,
    output: OutputArgs,
    signals: io::Result<Option<Signals>>,
) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let signals = match signals.and_then(|signals| signals.map_or_else(Signals::install, Ok)) {
        Ok(signals) => signals,
        Err(error) => {
            let shortage = Shortage::of(&error).unwrap_or_else(Shortage::of_threads);
            anyhow::bail!("{shortage}");
        }
    };
    let engine = load::engine()?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(threads.into());
    }
    let runtime = runtime.enable_all().build().context("cannot start")?;
    let outcome = runtime.block_on(up(args, output, engine, signals, started));
    // A guest that loops or a read that blocks must not hold the process.
    runtime.shutdown_background();
    let summary = match outcome? {
        Outcome::Mistakes => return Ok(Exit::Mistakes),
        Outcome::NotStarted => {
            tracing::info!("{NOT_STARTED}");
            return Ok(Exit::Success);
        }
        Outcome::Ran(summary) => summary,
    };
    if !output.quiet {
        super::summary::show(&summary, output);
    }
    Ok(if summary.has_failures() {
        Exit::Failed
    } else {
        Exit::Success
    })
}

/// A node that has started, and what its process holds beside it.
struct Started {
    node: Node,
    watch: Option<FileWatch>,
    /// None if the node cannot be asked.
    claim: Option<Claim>,
}

/// Reads the manifest and starts its node. `None` if the manifest has mistakes, which were shown.
async fn start(
    args: &UpArgs,
    output: OutputArgs,
    library: &Arc<Library>,
) -> anyhow::Result<Option<Started>> {
    let claim = claim(args).await?;
    let read_at = SystemTime::now();
    let (path, shared) = (args.manifest.clone(), Arc::clone(library));
    // Compiling blocks.
    let loaded = tokio::task::spawn_blocking(move || load::graph(&path, &shared, output));
    let Some(loaded) = loaded.await.context("the manifest could not be read")?? else {
        return Ok(None);
    };
    let settings = Settings {
        manifest: args.manifest.clone(),
        state_folder: state_folder(),
    };
    let watch = (!args.no_watch).then(|| FileWatch::since(read_at, loaded.files));
    let node = Node::start(loaded.graph, Arc::clone(library), &settings).await?;
    Ok(Some(Started { node, watch, claim }))
}

/// Claims the manifest, or the name, for this process. `None` if that is not possible here: the node runs all the same.
///
/// # Errors
/// Another node has it.
async fn claim(args: &UpArgs) -> anyhow::Result<Option<Claim>> {
    let (manifest, name) = (args.manifest.clone(), args.name.clone());
    let claiming = move || {
        files::in_time(move || {
            Claim::take(&match name {
                Some(name) => Address::of_name(&name),
                None => Address::of_manifest(&manifest),
            })
        })
    };
    let claimed = tokio::task::spawn_blocking(claiming).await?;
    match claimed.context("the folder of control sockets") {
        Ok(Ok(claim)) => Ok(Some(claim)),
        Ok(Err(taken @ SocketError::Taken { .. })) => Err(taken.into()),
        Ok(Err(error)) => {
            cannot_be_asked(&error.into());
            Ok(None)
        }
        Err(error) => {
            cannot_be_asked(&error);
            Ok(None)
        }
    }
}

fn cannot_be_asked(error: &anyhow::Error) {
    tracing::warn!("this node cannot be asked or told anything: {error:#}");
}

async fn up(
    args: UpArgs,
    output: OutputArgs,
    engine: Engine,
    mut signals: Signals,
    started: Instant,
) -> anyhow::Result<Outcome> {
    let library = Arc::new(Library::new(engine.clone()));
    let start = tokio::select! {
        biased;
        // Triggered when a signal asks to stop.
        () = signals.stop() => return Ok(Outcome::NotStarted),
        // Triggered when the node runs, or cannot.
        start = start(&args, output, &library) => start?,
    };
    let Some(Started {
        mut node,
        watch,
        claim,
    }) = start
    else {
        return Ok(Outcome::Mistakes);
    };
    signals.node_runs();
    let (ordering, mut orders) = mpsc::channel(ORDERS_MAX);
    // It answers until the node has ended.
    let server = claim.and_then(|claim| serve(&args, claim, &node, engine, ordering));
    introduce(&node);
    let stages = node.graph().stages().count();
    let s = if stages == 1 { "" } else { "s" };
    tracing::info!(
        "generation 1 runs {stages} stage{s}, ready in {:.0?}",
        started.elapsed()
    );
    let mut reloader = Reloader::new(&args, output, library, watch, started);

    loop {
        // Who waits for the outcome of a reload.
        let mut asked = None;
        // Triggered when: all stages have ended; a watched file changed; somebody asks at the socket; a signal came.
        tokio::select! {
            () = node.done() => break,
            () = reloader.changed() => {}
            Some(order) = orders.recv() => match order {
                Order::Reload(reply) => asked = Some(reply),
                Order::Down => {
                    tracing::info!("stopping, as told");
                    break;
                }
            },
            signal = signals.next() => if signal == Told::Stop {
                tracing::info!("stopping; once more to stop at once");
                break;
            }
        }
        let mut stop = false;
        let reload = {
            let mut reload = pin!(reloader.reload(&mut node));
            loop {
                // Triggered when the reload is done; a signal came meanwhile.
                let signal = match select(&mut reload, pin!(signals.next())).await {
                    Either::Left((reload, _)) => break reload,
                    Either::Right((signal, _)) => signal,
                };
                anyhow::ensure!(
                    !(stop && signal == Told::Stop),
                    "stopped at once, in the middle of a reload"
                );
                stop |= signal == Told::Stop;
                if stop {
                    tracing::info!("stopping after the reload; once more to stop at once");
                }
            }
        };
        if let Some(reply) = asked {
            // Whoever asked may have gone.
            let _ = reply.send(reload);
        }
        if stop {
            break;
        }
    }
    drop(orders);
    let summary = tokio::select! {
        summary = node.shutdown(DRAIN_DEADLINE) => Ok(summary),
        () = signals.stop() => Err(anyhow::anyhow!("stopped at once, before everything was worked off")),
    };
    drop(server);
    summary.map(Outcome::Ran)
}

/// Listens for those who ask. A node that cannot be asked runs all the same.
fn serve(
    args: &UpArgs,
    claim: Claim,
    node: &Node,
    engine: Engine,
    orders: mpsc::Sender<Order>,
) -> Option<Server> {
    let manifest = std::path::absolute(&args.manifest).unwrap_or_else(|_| args.manifest.clone());
    // What is asked about has a library of its own, let go of with the answer: neither does the node keep what it may
    // never run, nor does a reload meanwhile let go of what the answer needs. Code that runs is shared by the engine.
    let load: Load = Arc::new(move |path| load::manifest(path, &Library::new(engine.clone())));
    let who = (manifest, args.name.clone());
    match Server::start(claim, who, node.observer(), load, orders) {
        Ok(server) => Some(server),
        Err(error) => {
            cannot_be_asked(&error.into());
            None
        }
    }
}

/// Says who the node is and where it listens, once it does.
fn introduce(node: &Node) {
    if let Some(address) = node.address() {
        let addrs: Vec<_> = address.addrs.iter().map(ToString::to_string).collect();
        tracing::info!("peer {:?} listens on {}", address.id, addrs.join(", "));
    }
}
