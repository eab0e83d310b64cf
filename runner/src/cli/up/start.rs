//! Starts a node from the command line, with its control socket.

use std::{sync::Arc, time::SystemTime};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::UpArgs;
use crate::{
    cli::{OutputArgs, load, with_causes},
    components::Library,
    control::{Address, Claim, Load, Order, Server, SocketError},
    files,
    operator::Engine,
    topology::{FileWatch, Node, Settings, state_folder},
};

/// A started node, with the other resources of its process.
pub(super) struct Started {
    pub(super) node: Node,
    pub(super) watch: Option<FileWatch>,
    /// `None` if the node has no control socket.
    pub(super) claim: Option<Claim>,
}

/// The outcome of a start.
pub(super) enum Start {
    /// The node runs.
    Running(Box<Started>),
    /// The manifest has mistakes, which have been reported.
    Mistakes,
    /// A part of the manifest cannot be started, which has been reported with its location.
    Refused,
}

/// Reads the manifest and starts its node.
pub(super) async fn start(
    args: &UpArgs,
    output: OutputArgs,
    library: &Arc<Library>,
) -> anyhow::Result<Start> {
    let claim = claim(args).await?;
    let read_at = SystemTime::now();
    let (path, shared) = (args.manifest.clone(), Arc::clone(library));
    // Compiling blocks.
    let loaded = tokio::task::spawn_blocking(move || load::graph(&path, &shared, output));
    let Some(loaded) = loaded.await.context("the manifest could not be read")?? else {
        return Ok(Start::Mistakes);
    };
    let settings = Settings {
        manifest: args.manifest.clone(),
        state_folder: state_folder(),
        fresh: args.fresh,
        name: args.name.clone(),
    };
    let watch = (!args.no_watch).then(|| FileWatch::since(read_at, loaded.files));
    let node = match Node::start(loaded.graph, Arc::clone(library), &settings).await {
        Ok(node) => node,
        Err(error) => {
            let part = error.part();
            let placed = part.and_then(|part| loaded.places.error(&part, &error.to_string()));
            let Some(placed) = placed else {
                return Err(error.into());
            };
            load::show(&placed, output);
            return Ok(Start::Refused);
        }
    };
    Ok(Start::Running(Box::new(Started { node, watch, claim })))
}

/// Claims the manifest, or the name, for this process. Returns `None` if no claim is possible here; the node runs
/// nevertheless.
///
/// # Errors
/// Another node has the claim.
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
            no_claim(&error.into());
            Ok(None)
        }
        Err(error) => {
            no_claim(&error);
            Ok(None)
        }
    }
}

/// Warns about the features that need a folder for sockets.
fn no_claim(error: &anyhow::Error) {
    tracing::warn!(
        "{NOT_REACHED}, and nothing keeps a second `up` from running the same manifest: {}; set XDG_RUNTIME_DIR to a \
         folder that this user can write to",
        with_causes(error)
    );
}

const NOT_REACHED: &str = "`status`, `reload`, `down` and similar commands cannot reach this node";

/// Starts the control socket. If that fails, the node runs without it.
pub(super) fn serve(
    args: &UpArgs,
    claim: Claim,
    node: &Node,
    engine: Engine,
    orders: mpsc::Sender<Order>,
) -> Option<Server> {
    let manifest = std::path::absolute(&args.manifest).unwrap_or_else(|_| args.manifest.clone());
    // Each plan has its own library, dropped with the answer. Thus the node does not keep components that may never
    // run, and a reload does not remove components that the plan needs. Running code is shared through the engine.
    let load: Load =
        Arc::new(move |path| load::manifest(path, &Library::for_checks(engine.clone())));
    let who = (manifest, args.name.clone());
    match Server::start(claim, who, node.observer(), load, orders) {
        Ok(server) => Some(server),
        Err(error) => {
            tracing::warn!("{NOT_REACHED}: {}", with_causes(&error.into()));
            None
        }
    }
}
