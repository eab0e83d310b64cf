//! Prepares the start of a node: checks that the machine can run its stages, and joins its network
//! with a key and a listen address.

use mosaik_streams::{Network, SecretKey, discovery};

use super::{
    error::StartError,
    identity::{Names, kept_key},
    settings::Settings,
    streams::{bootstrap, tags},
};
use crate::{
    graph::{Graph, Stage},
    machine,
    manifest::shown_tickets,
};

/// Checks that the operating system provides enough threads and memory for the stages of a graph,
/// of whose operators `opened` instances exist already.
pub(super) fn check_machine(graph: &Graph, opened: usize) -> Result<(), StartError> {
    let instances: usize = graph.stages().map(Stage::instances).sum();
    let instances = instances.saturating_sub(opened);
    let threads = graph.stages().map(Stage::threads).sum();
    machine::check_instances(instances)
        .and_then(|()| machine::check_threads(threads))
        .map_err(|shortage| StartError::Machine(shortage.to_string()))
}

/// Creates the node's network. Binds its socket only if the graph shares streams.
pub(super) async fn join(graph: &Graph, settings: &Settings) -> Result<Network, StartError> {
    let key = match &graph.node.secret_key {
        Some(secret) => SecretKey::from_bytes(*secret.expose()),
        // A later generation may share a stream: the node must then have the same key after each
        // restart.
        None if graph.network.is_some() => {
            let name = graph.node.name.as_ref().map(ToString::to_string);
            let Settings {
                manifest,
                state_folder,
                name: given,
                ..
            } = settings.clone();
            // The file system may block.
            let keeping = move || {
                let names = Names {
                    given: given.as_deref(),
                    in_manifest: name.as_deref(),
                };
                kept_key(&state_folder, &manifest, names)
            };
            match tokio::task::spawn_blocking(keeping).await {
                Ok(Ok(key)) => key,
                Ok(Err(error)) if graph.is_networked() && !error.is_about_the_folder() => {
                    return Err(error.into());
                }
                Ok(Err(error)) if graph.is_networked() => {
                    tracing::warn!(
                        "this node will have another identity after its next start: {error}; set XDG_STATE_HOME to \
                         a folder that can be written, or give it a key: `node: {{secret_key: …}}`"
                    );
                    SecretKey::generate()
                }
                _ => SecretKey::generate(),
            }
        }
        None => SecretKey::generate(),
    };
    let discovery = discovery::Config::builder()
        .with_bootstrap(bootstrap(&graph.node.bootstrap))
        .with_generation(graph.node.protocol)
        .with_tags(tags(&graph.node.tags));
    let discovery = match settings.shown_name(graph) {
        Some(name) => discovery.with_name(name),
        None => discovery,
    };
    // A graph without a network shares nothing, so no other node ever sees this name.
    let name = graph
        .network
        .as_ref()
        .map_or("unshared", |name| name.as_str());
    let mut builder = Network::builder(name)
        .with_secret_key(key)
        .with_addresses(graph.node.listen.iter().copied())
        .with_discovery(discovery)
        .with_mdns_discovery(graph.node.mdns)
        .with_transport(graph.node.quic.into())
        .lazy(true);
    if !graph.node.advertise.is_empty() {
        builder = builder.with_advertised(graph.node.advertise.iter().copied());
    }
    let network = builder.build().await.map_err(StartError::Network)?;
    for ticket in shown_tickets(&graph.node.tickets) {
        network.discovery().add_ticket(ticket);
    }
    if graph.is_networked() {
        network.bind().await.map_err(StartError::Network)?;
    }
    Ok(network)
}
