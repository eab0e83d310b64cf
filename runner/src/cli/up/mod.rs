//! `mosaik-runner up`.

mod reload;
mod start;

use std::{
    io,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use futures::future::{Either, select};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{
    reload::Reloader,
    start::{Start, Started, serve, start},
};
use super::{
    Exit, OutputArgs,
    control::node_name,
    load,
    signals::{NOT_STARTED, SignalRequest, Signals},
};
use crate::{
    components::Library,
    control::Order,
    machine::Shortage,
    operator::Engine,
    topology::{DRAIN_DEADLINE, Node, Summary},
};

/// Maximum number of orders that wait while the node handles another one: 8. Further senders wait.
const ORDERS_MAX: usize = 8;
/// Maximum time for counting lost records on an immediate stop: 1.5 s. The process is ended after 2 s.
const AT_ONCE: Duration = Duration::from_millis(1500);

/// Run a manifest and reload it whenever it changes.
///
/// Data goes to stdout. The log, and a summary at the end, go to stderr. When all inputs have ended, a node without
/// shared streams exits. A node with shared streams keeps serving remote readers until it is stopped, unless
/// `--exit-when-done` is given. On Ctrl-C or SIGTERM, the node stops reading, processes the records in flight within
/// 30 s, and exits with 0, or with 5 if records were lost. A second signal, at least 1 s later, stops the node at once,
/// with exit code 3. A signal before the node has started exits with 0. SIGHUP reloads at once.
///
/// With `checkpoint` in the manifest, a stop is a pause: the next start goes on where this one stopped.
///
/// The commands `status`, `top`, `tap`, `explain`, `peers`, `plan`, `reload` and `down` control a running node.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  mosaik-runner up manifests/quickstart.yaml\n  mosaik-runner up pipeline.yaml --log json 2> node.log | head"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct UpArgs {
    /// Manifest to run.
    manifest: PathBuf,
    /// Do not reload when files change.
    #[arg(long)]
    no_watch: bool,
    /// Name of the node on this machine. Nodes with different names can run the same manifest, each with its own key.
    /// Without a name, a manifest runs once at a time.
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    name: Option<String>,
    /// Let a reload restart the node if a change requires it: to its key, its addresses or its network. A restart
    /// discards the state of operators and re-establishes connections.
    #[arg(long)]
    allow_restart: bool,
    /// Start without the last checkpoint, and discard it: sources read from the beginning, operators have empty state,
    /// and outputs are appended to.
    #[arg(long)]
    fresh: bool,
    /// Exit when all inputs have ended, even if streams are shared. This is the default without shared streams.
    #[arg(long)]
    exit_when_done: bool,
    /// Number of threads for connections, files and queues between stages, 1 to 512. Operators have their own threads.
    /// Default: one per core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
    #[command(flatten)]
    loss: LossArgs,
}

/// The exit code for lost records.
#[derive(Debug, Clone, Copy, Default, Args)]
struct LossArgs {
    /// Exit with 5 also for incomplete results, such as late or evicted records that an operator counts.
    #[arg(long, conflicts_with = "allow_loss")]
    strict: bool,
    /// Exit with 0 even if records were lost.
    #[arg(long)]
    allow_loss: bool,
}

impl LossArgs {
    /// Returns the exit code. A failed stage takes precedence over lost records.
    fn exit_of(self, summary: &Summary) -> Exit {
        let is_lost = summary.lost() > 0 || (self.strict && summary.incomplete() > 0);
        if summary.has_failures() {
            Exit::Failed
        } else if is_lost && !self.allow_loss {
            Exit::Lost
        } else {
            Exit::Success
        }
    }
}

/// The outcome of the run.
enum Outcome {
    /// The manifest has mistakes, which have been reported.
    Mistakes,
    /// A part of the manifest could not be started, which has been reported.
    Refused,
    /// A signal ended the start.
    NotStarted,
    /// The node ran.
    Ran(Summary),
    /// The node ran, and a second signal stopped it at this point.
    Cut(Summary, &'static str),
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
    let loss = args.loss;
    let outcome = runtime.block_on(up(args, output, engine, signals, started));
    // A looping guest or a blocked read must not delay the exit.
    runtime.shutdown_background();
    let (summary, cut) = match outcome? {
        Outcome::Mistakes => return Ok(Exit::Mistakes),
        Outcome::Refused => return Ok(Exit::Failed),
        Outcome::NotStarted => {
            tracing::info!("{NOT_STARTED}");
            return Ok(Exit::Success);
        }
        Outcome::Ran(summary) => (summary, None),
        Outcome::Cut(summary, point) => (summary, Some(point)),
    };
    let exit = if cut.is_some() {
        Exit::Failed
    } else {
        loss.exit_of(&summary)
    };
    if !output.quiet {
        super::summary::show(&summary, output, exit);
    }
    if let Some(point) = cut {
        anyhow::bail!("stopped at once, {point}");
    }
    Ok(exit)
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
        // Triggered when a signal requests a stop.
        () = signals.stop() => return Ok(Outcome::NotStarted),
        // Triggered when the node runs, or has failed to start.
        start = start(&args, output, &library) => start?,
    };
    let Started {
        mut node,
        watch,
        claim,
    } = match start {
        Start::Running(started) => *started,
        Start::Mistakes => return Ok(Outcome::Mistakes),
        Start::Refused => return Ok(Outcome::Refused),
    };
    signals.node_runs();
    let (ordering, mut orders) = mpsc::channel(ORDERS_MAX);
    // Answers until the node has ended.
    let server = claim.and_then(|claim| serve(&args, claim, &node, engine, ordering));
    introduce(&node);
    let stages = node.graph().stages().count();
    let s = if stages == 1 { "" } else { "s" };
    tracing::info!(
        "generation 1 runs {stages} stage{s}, ready in {:.0?}",
        started.elapsed()
    );
    let observer = node.observer();
    let mut reloader = Reloader::new(&args, output, library, watch, started);

    // Whether all stages have ended and the node stays up.
    let mut has_ended = false;
    loop {
        // The client that waits for the outcome of a reload.
        let mut asked = None;
        // Triggered when: all stages have ended; a watched file changed; a client sent an order to the socket; a signal
        // arrived.
        tokio::select! {
            () = node.done(), if !has_ended => {
                if args.exit_when_done || !node.is_a_service() {
                    break;
                }
                tracing::info!(
                    "all inputs have ended; the node continues to serve its peers until it is stopped"
                );
                has_ended = true;
                continue;
            }
            () = reloader.changed() => {}
            Some(order) = orders.recv() => match order {
                Order::Reload(reply) => asked = Some(reply),
                Order::Down => {
                    tracing::info!("stopping on request");
                    break;
                }
            },
            signal = signals.next() => if signal == SignalRequest::Stop {
                tracing::info!("stopping; a second signal, 1 s from now or later, stops at once");
                break;
            }
        }
        // The reload may start stages.
        has_ended = false;
        let mut stop = false;
        let reload = {
            let mut reload = pin!(reloader.reload(&mut node));
            loop {
                // Triggered when the reload is done; when a signal arrives in the meantime.
                let signal = match select(&mut reload, pin!(signals.next())).await {
                    Either::Left((reload, _)) => break reload,
                    Either::Right((signal, _)) => signal,
                };
                if stop && signal == SignalRequest::Stop {
                    return Ok(Outcome::Cut(
                        observer.summary(),
                        "in the middle of a reload",
                    ));
                }
                stop |= signal == SignalRequest::Stop;
                if stop {
                    tracing::info!(
                        "stopping after the reload; a second signal, 1 s from now or later, stops at once"
                    );
                }
            }
        };
        if let Some(reply) = asked {
            // The client may have disconnected.
            let _ = reply.send(reload);
        }
        if stop {
            break;
        }
    }
    drop(orders);
    let hurry = CancellationToken::new();
    let mut ending = pin!(node.shutdown_unless(DRAIN_DEADLINE, &hurry));
    let outcome = tokio::select! {
        // Triggered when all records are processed, or the time limit has passed.
        summary = &mut ending => Outcome::Ran(summary),
        // Triggered when a second signal arrives.
        () = signals.stop() => {
            hurry.cancel();
            let summary = timeout(AT_ONCE, ending).await;
            let summary = summary.unwrap_or_else(|_| observer.summary());
            Outcome::Cut(summary, "before everything was processed")
        }
    };
    drop(server);
    Ok(outcome)
}

/// Logs the identity of the node and its addresses, once it listens.
fn introduce(node: &Node) {
    if let Some(address) = node.address() {
        let addrs: Vec<_> = address.addrs.iter().map(ToString::to_string).collect();
        tracing::info!("peer {:?} listens on {}", address.id, addrs.join(", "));
    }
}
