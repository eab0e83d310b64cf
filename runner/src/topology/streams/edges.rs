//! Opens and retunes the producers and consumers of the streams library from the streams and edges
//! of a graph.

use mosaik_streams::{
    EndpointAddr, FramesConsumer, FramesProducer, Network, PeerId, Requirements, Scope, Tag,
    consumer::{ConsumerControl, Taken},
    discovery::PeerEntry,
    durable::{DurableLog, SourcePosition},
    producer::ProducerControl,
    streams::{
        backoff::{ExponentialBackoff, ExponentialBackoffBuilder},
        producer::{DisconnectLagging, FramesBuilderError},
        status::ChannelConditions,
    },
};

use crate::declare::Bootstrap;
use crate::graph::{
    self, Condition, Difference, Edge, Guarded, Lagging, Requirement, StreamConfig, StreamName,
    StreamSettings,
};
use crate::stage::BATCH_DATUMS_MAX;
use crate::topology::StreamError;

// The largest batch size that a manifest may set equals the largest batch that a stage takes.
const _: () = assert!(graph::MAX_BATCH_SIZE == BATCH_DATUMS_MAX);

/// Opens this node's producer for a stream.
pub(in crate::topology) fn open_producer(
    network: &Network,
    name: &StreamName,
    stream: &StreamConfig,
    log: Option<DurableLog>,
) -> Result<FramesProducer, StreamError> {
    let settings = &stream.settings;
    let producer = network
        .streams()
        .producer_frames(stream.id)
        .with_label(name.as_str())
        .with_scope(scope(settings))
        .with_encoding(stream.encoding.clone())
        .with_buffer_size(settings.buffer_size)
        .with_buffer_bytes(settings.buffer_bytes)
        .with_linger(settings.linger)
        .with_max_consumers(settings.max_consumers.unwrap_or(usize::MAX))
        .disconnect_lagging(lagging(settings.disconnect_lagging))
        .online_when(producer_online_when(settings))
        .with_requirements(requirements(&settings.require.consumers));
    let built = match log {
        Some(log) => producer.with_log(log).build(),
        None => producer.build(),
    };
    built.map_err(|FramesBuilderError::AlreadyExists(_)| StreamError::HasProducer)
}

/// Name of a node's subscription to a stream: the same after each restart of the node, for any set
/// of stages that reads the stream.
const SUBSCRIPTION: &str = "stages";

/// Opens the subscription of a stage's input to a stream. All inputs that read a stream share one
/// subscription per remote node. After a restart of this node, the remote node resends the records
/// that not all of these inputs had processed.
pub(in crate::topology) fn open_consumer(
    network: &Network,
    stream: &StreamConfig,
    edge: &Edge,
    positions: Vec<SourcePosition>,
) -> Result<FramesConsumer, StreamError> {
    let settings = &stream.settings;
    network
        .streams()
        .consumer_frames(stream.id)
        .with_label(edge.stream.as_str())
        .with_shared_subscription(SUBSCRIPTION)
        .with_taken(Taken::WorkedOff)
        .with_start(edge.settings.start.unwrap_or_default())
        .with_positions(positions)
        .with_scope(scope(settings))
        .with_local(true)
        .with_encoding(stream.encoding.clone())
        .with_criteria((*edge.criteria).clone())
        .with_buffer_size(edge.buffer_size())
        .with_buffer_bytes(edge.buffer_bytes())
        .with_batch_size(edge.settings.batch_size)
        .with_backoff(backoff(settings))
        .online_when(consumer_online_when(edge))
        .with_requirements(requirements(&settings.require.producers))
        .build()
        .map_err(StreamError::Criteria)
}

/// Applies the keys of a stream that differ to this node's producer.
pub(super) fn retune_producer(
    producer: &ProducerControl,
    changed: &[Difference],
    new: &StreamSettings,
) {
    let differs = |key| changed.iter().any(|difference| difference.is_of(key));
    if differs("buffer_size") || differs("buffer_bytes") {
        producer.set_buffer(new.buffer_size, new.buffer_bytes);
    }
    if differs("linger") {
        producer.set_linger(new.linger);
    }
    if differs("max_consumers") {
        producer.set_max_consumers(new.max_consumers.unwrap_or(usize::MAX));
    }
    if differs("disconnect_lagging") {
        producer.set_disconnect_lagging(lagging(new.disconnect_lagging));
    }
    if differs("online_when") {
        producer.set_online_when(producer_online_when(new));
    }
    if differs("require") {
        producer.set_requirements(requirements(&new.require.consumers));
    }
}

/// Applies the keys of a subscription and of its stream that differ to the subscription.
pub(super) fn retune_consumer(
    consumer: &ConsumerControl,
    (of_edge, new): (&[Difference], &Edge),
    (of_stream, stream): (&[Difference], &StreamSettings),
) {
    let differs = |changed: &[Difference], key| {
        let mut changed = changed.iter();
        changed.any(|difference| difference.is_of(key))
    };
    if differs(of_edge, "buffer_size") || differs(of_edge, "buffer_bytes") {
        consumer.set_buffer(new.buffer_size(), new.buffer_bytes());
    }
    if differs(of_edge, "batch_size") {
        consumer.set_batch_size(new.settings.batch_size);
    }
    if differs(of_edge, "criteria")
        && let Err(error) = consumer.set_criteria((*new.criteria).clone())
    {
        // The manifest check has already validated the criteria against the encoding.
        tracing::error!("criteria on stream {} are unchanged: {error}", new.stream);
    }
    if differs(of_edge, "online_when") {
        consumer.set_online_when(consumer_online_when(new));
    }
    if differs(of_stream, "backoff") {
        consumer.set_backoff(backoff(stream));
    }
    if differs(of_stream, "require") {
        consumer.set_requirements(requirements(&stream.require.producers));
    }
}

fn backoff(stream: &StreamSettings) -> ExponentialBackoff {
    ExponentialBackoffBuilder::default()
        .with_initial_interval(stream.backoff.initial)
        .with_max_interval(stream.backoff.max)
        .with_max_elapsed_time(Some(stream.backoff.max_elapsed))
        .build()
}

fn producer_online_when(
    stream: &StreamSettings,
) -> impl FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync + 'static {
    let condition = stream.online_when.producer.clone();
    // A log takes the records also while nobody reads it.
    let is_durable = stream.durable.is_some();
    move |channel| match condition {
        Some(condition) => apply(channel, &condition),
        None if is_durable => channel.minimum_of(0),
        None => channel,
    }
}

fn consumer_online_when(
    edge: &Edge,
) -> impl FnOnce(ChannelConditions) -> ChannelConditions + Send + Sync + 'static {
    let condition = edge.settings.online_when.clone();
    move |channel| match condition {
        Some(condition) => apply(channel, &condition),
        None => channel.minimum_of(0),
    }
}

fn requirements(of: &Requirement) -> Requirements {
    let mut requirements = Requirements::new();
    if !of.tags.is_empty() {
        requirements = requirements.require(carries(&of.tags));
    }
    for ticket in &of.tickets {
        requirements = requirements.require_ticket(ticket.validator().clone());
    }
    requirements
}

fn scope(stream: &StreamSettings) -> Scope {
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

/// Converts tag names to network tags.
pub(in crate::topology) fn tags<T: std::ops::Deref<Target = String>>(names: &[T]) -> Vec<Tag> {
    names.iter().map(|name| Tag::from(name.as_str())).collect()
}

/// Returns the addresses of the bootstrap nodes. The manifest check has already refused ids that
/// are not keys.
pub(in crate::topology) fn bootstrap<'a>(
    peers: impl IntoIterator<Item = &'a Bootstrap>,
) -> Vec<EndpointAddr> {
    let address = |peer: &Bootstrap| {
        Some(EndpointAddr::new(
            PeerId::from_bytes(peer.peer).ok()?,
            [peer.address],
        ))
    };
    peers.into_iter().filter_map(address).collect()
}
