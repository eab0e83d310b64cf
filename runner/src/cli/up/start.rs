//! From the command line to a node that runs and can be asked.

use std::{sync::Arc, time::SystemTime};

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::UpArgs;
use crate::{
    cli::{OutputArgs, load, with_causes},
    control::{Address, Claim, Load, Order, Server, SocketError},
    files,
    operator::Engine,
    topology::{FileWatch, Library, Node, Settings, state_folder},
};

/// A node that has started, and what its process holds beside it.
pub(super) struct Started {
    pub(super) node: Node,
    pub(super) watch: Option<FileWatch>,
    /// None if the node cannot be asked.
    pub(super) claim: Option<Claim>,
}

/// How a start went.
pub(super) enum Start {
    /// The node runs.
    Running(Box<Started>),
    /// The manifest has mistakes, which were shown.
    Mistakes,
    /// A part of the manifest cannot be started, which was shown with its place.
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
            no_claim(&error.into());
            Ok(None)
        }
        Err(error) => {
            no_claim(&error);
            Ok(None)
        }
    }
}

/// Warns of what does not work without a folder for sockets.
fn no_claim(error: &anyhow::Error) {
    tracing::warn!(
        "{NOT_REACHED}, and nothing keeps a second `up` from running the same manifest: {}; set XDG_RUNTIME_DIR to a \
         folder that this user can write to",
        with_causes(error)
    );
}

const NOT_REACHED: &str = "`status`, `reload`, `down` and the like do not reach this node";

/// Listens for those who ask. A node that cannot be asked runs all the same.
pub(super) fn serve(
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
            tracing::warn!("{NOT_REACHED}: {}", with_causes(&error.into()));
            None
        }
    }
}
