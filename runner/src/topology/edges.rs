//! From what the graph says of streams and edges to producers and consumers of the streams library.

use mosaik_streams::{
    EndpointAddr, FramesConsumer, FramesProducer, Network, PeerId, Scope, Tag,
    discovery::PeerEntry,
    streams::{
        backoff::ExponentialBackoffBuilder,
        producer::{DisconnectLagging, FramesBuilderError},
        status::ChannelConditions,
    },
};

use crate::graph::{self, Condition, Edge, Guarded, Lagging, Requirement, StreamConfig};
use crate::manifest::Bootstrap;

/// Opens this node's end of a stream for writing.
pub(super) fn open_producer(
    network: &Network,
    stream: &StreamConfig,
) -> Result<FramesProducer, FramesBuilderError> {
    let mut builder = network
        .streams()
        .producer_frames(stream.id)
        .with_scope(scope(stream))
        .with_encoding(stream.encoding.clone())
        .with_buffer_size(stream.buffer_size)
        .with_buffer_bytes(stream.buffer_bytes)
        .disconnect_lagging(lagging(stream.disconnect_lagging));
    if let Some(max_consumers) = stream.max_consumers {
        builder = builder.with_max_consumers(max_consumers);
    }
    if let Some(condition) = stream.online_when.producer.clone() {
        builder = builder.online_when(move |channel| apply(channel, &condition));
    }
    let Requirement { tags, tickets } = &stream.require.consumers;
    if !tags.is_empty() {
        builder = builder.require(carries(tags));
    }
    for ticket in tickets {
        builder = builder.require_ticket(ticket.validator().clone());
    }
    builder.build()
}

/// Opens a subscription to a stream.
pub(super) fn open_consumer(
    network: &Network,
    stream: &StreamConfig,
    edge: &Edge,
) -> Result<FramesConsumer, String> {
    let backoff = ExponentialBackoffBuilder::default()
        .with_initial_interval(stream.backoff.initial)
        .with_max_interval(stream.backoff.max)
        .with_max_elapsed_time(Some(stream.backoff.max_elapsed))
        .build();
    let mut builder = network
        .streams()
        .consumer_frames(stream.id)
        .with_scope(scope(stream))
        .with_local(true)
        .with_encoding(stream.encoding.clone())
        .with_criteria((*edge.criteria).clone())
        .with_buffer_size(edge.buffer_size)
        .with_buffer_bytes(edge.buffer_bytes)
        .with_backoff(backoff);
    if let Some(condition) = edge.online_when.clone() {
        builder = builder.online_when(move |channel| apply(channel, &condition));
    }
    let Requirement { tags, tickets } = &stream.require.producers;
    if !tags.is_empty() {
        builder = builder.require(carries(tags));
    }
    for ticket in tickets {
        builder = builder.require_ticket(ticket.validator().clone());
    }
    builder.build().map_err(|error| error.to_string())
}

fn scope(stream: &StreamConfig) -> Scope {
    match stream.scope {
        graph::Scope::Node => Scope::Node,
        graph::Scope::Network => Scope::Network,
    }
}

fn lagging(lagging: Lagging) -> DisconnectLagging {
    match lagging {
        Lagging::Disconnect => DisconnectLagging::AtOnce,
        Lagging::Drop => DisconnectLagging::Never,
        Lagging::After(duration) => DisconnectLagging::After(duration),
        Lagging::Wait => DisconnectLagging::Wait,
    }
}

fn apply(channel: ChannelConditions, condition: &Condition) -> ChannelConditions {
    let channel = channel.minimum_of(condition.minimum_of);
    if condition.with_tags.is_empty() {
        channel
    } else {
        channel.with_tags(tags(&condition.with_tags))
    }
}

fn carries(names: &[Guarded<String>]) -> impl Fn(&PeerEntry) -> bool + Send + Sync + 'static {
    let wanted = tags(names);
    move |peer| wanted.iter().all(|tag| peer.tags().contains(tag))
}

/// Tags as they are on the network.
pub(super) fn tags<T: std::ops::Deref<Target = String>>(names: &[T]) -> Vec<Tag> {
    names.iter().map(|name| Tag::from(name.as_str())).collect()
}

/// The addresses of nodes to ask for the network. One whose id is no key was refused when the manifest was read.
pub(super) fn bootstrap<'a>(peers: impl IntoIterator<Item = &'a Bootstrap>) -> Vec<EndpointAddr> {
    let address = |peer: &Bootstrap| {
        Some(EndpointAddr::new(
            PeerId::from_bytes(peer.peer).ok()?,
            [peer.address],
        ))
    };
    peers.into_iter().filter_map(address).collect()
}
