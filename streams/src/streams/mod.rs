//! The streams of a network: creates producers and consumers, and connects those on the same node.
//!
//! A producer announces its stream in its node's entry. Consumers find it in the catalog, connect with the protocol
//! `/mosaik/streams/1.0`, and send their criteria. Each remote consumer has its own queue and sender. Dropping the last
//! handle ends a producer or consumer. A record is a value of a type that implements [`Datum`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mosaik_streams::{Network, discovery, futures::SinkExt};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct PriceUpdate {
//!     symbol: String,
//!     cents: u64,
//! }
//!
//! let one = Network::new("markets").await?;
//! let mut producer = one.streams().produce::<PriceUpdate>();
//!
//! let known = discovery::Config::builder().with_bootstrap(one.local().addr());
//! let two = Network::builder("markets").with_discovery(known).build().await?;
//! let mut consumer = two.streams().consume::<PriceUpdate>();
//!
//! producer.when().online().await;
//! producer.send(PriceUpdate { symbol: "ETH".into(), cents: 320_000 }).await?;
//! let update = consumer.recv().await.ok_or("the stream has ended")?;
//! assert_eq!((update.symbol.as_str(), update.cents), ("ETH", 320_000));
//! # Ok(())
//! # }
//! ```

mod accept;
pub mod backoff;
mod config;
mod definition;
mod format;
pub(crate) mod protocol;
mod refusal;
mod registry;
pub(crate) mod side;

use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

pub(crate) use accept::HANDSHAKE_TIMEOUT;
pub use config::{Config, ConfigBuilder, ConfigError, ConfigError as ConfigBuilderError, Scope};
pub use definition::{
    ConsumerDef, ConsumerOf, ProducerDef, ProducerOf, StreamConsumer, StreamDef, StreamProducer,
};
pub use format::Format;
pub use refusal::{FormatMismatch, NoCapacity, NotAllowed, StreamNotFound, TooSlow};
pub(crate) use registry::Inner;
pub use registry::SubscriptionHold;

use crate::{
    Datum, NetworkId, PeerId,
    consumer::FramesConsumerBuilder,
    discovery::{Discovery, PeerEntry},
    filter::Lookup,
    network::{self, ConnectError, Link},
    producer::FramesProducerBuilder,
};
pub use crate::{
    StreamId,
    consumer::{self, Consumer},
    criteria::Criteria,
    network::CloseReason,
    producer::{self, Producer},
    status,
};

/// The services of the network that streams use.
pub(crate) struct Env {
    pub(crate) local_id: PeerId,
    pub(crate) network_id: NetworkId,
    pub(crate) discovery: Discovery,
    pub(crate) config: Config,
    /// Cancelled to stop every task.
    pub(crate) cancel: CancellationToken,
    net: Arc<network::Core>,
    runtime: tokio::runtime::Handle,
}

impl Env {
    /// Spawns a task that the network's shutdown waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.net.tasks().spawn_on(task, &self.runtime);
    }

    /// Returns the maximum length in bytes of a record from other nodes, unless a consumer sets a lower one.
    pub(crate) fn max_frame_len(&self) -> usize {
        self.net.max_frame_len()
    }

    /// Returns the maximum number of unacknowledged bytes per connection.
    pub(crate) fn send_window(&self) -> usize {
        self.net.send_window()
    }

    /// Dials a node with the streams protocol, once this node is bound. Cancel safe.
    pub(crate) async fn connect(&self, peer: &PeerEntry) -> Result<Link, ConnectError> {
        let endpoint = self
            .net
            .wait_endpoint()
            .await
            .ok_or(ConnectError::EndpointClosed)?;
        endpoint.connect(peer.address(), protocol::ALPN).await
    }
}

/// The streams of a network. Clones are handles to the same state.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

impl Streams {
    /// Must be called inside a Tokio runtime, which runs its tasks.
    pub(crate) fn new(net: &Arc<network::Core>, config: Config) -> Self {
        let inner = Arc::new(Inner::new(Env {
            local_id: net.local().id(),
            network_id: *net.local().network_id(),
            discovery: net.discovery().clone(),
            config,
            cancel: net.cancel().clone(),
            net: net.clone(),
            runtime: tokio::runtime::Handle::current(),
        }));
        // Weak, because the network owns its handlers, and the streams own the network.
        let streams = Arc::downgrade(&inner);
        let accept = move |link: Link| match streams.upgrade() {
            Some(inner) => accept::accept(inner, link).boxed(),
            None => std::future::ready(()).boxed(),
        };
        if let Err(error) = net.register(protocol::ALPN, Arc::new(accept)) {
            tracing::error!(%error, "failed to register the streams protocol; other nodes cannot subscribe");
        }
        Self(inner)
    }

    /// Returns a builder for a producer of wire-format batches.
    pub fn producer_frames(&self, id: impl Into<StreamId>) -> FramesProducerBuilder {
        FramesProducerBuilder::new(self.0.clone(), id.into())
    }

    /// Returns a builder for a consumer of wire-format batches.
    pub fn consumer_frames(&self, id: impl Into<StreamId>) -> FramesConsumerBuilder {
        FramesConsumerBuilder::new(self.0.clone(), id.into())
    }

    /// Prevents [shared](FramesConsumerBuilder::with_shared_subscription) subscriptions from dialling until the returned
    /// value is dropped, so that all consumers built in the meantime receive the first record. Connected subscriptions are
    /// not affected.
    pub fn hold_subscriptions(&self) -> SubscriptionHold {
        self.0.hold_subscriptions()
    }

    /// Creates a producer with default settings, or returns a handle to the existing one.
    pub fn produce<D: Datum>(&self) -> Producer<D> {
        match self.producer().build() {
            Ok(producer) | Err(producer::BuilderError::AlreadyExists(producer)) => producer,
        }
    }

    /// Returns a builder for a producer of typed records.
    pub fn producer<D: Datum>(&self) -> producer::Builder<D> {
        let frames = self
            .producer_frames(D::derived_stream_id())
            .with_lookup(Lookup::Datum(D::matches));
        producer::Builder::new(frames)
    }

    /// Returns a builder for the producer of a definition.
    pub fn producer_of<D: Datum>(&self, def: StreamDef<D>) -> producer::Builder<D> {
        let builder = self.producer();
        match def.stream_id {
            Some(id) => builder.with_stream_id(id),
            None => builder,
        }
    }

    /// Creates a consumer with default settings.
    pub fn consume<D: Datum>(&self) -> Consumer<D> {
        self.consumer().build()
    }

    /// Returns a builder for a consumer of typed records.
    pub fn consumer<D: Datum>(&self) -> consumer::Builder<D> {
        consumer::Builder::new(self.consumer_frames(D::derived_stream_id()))
    }

    /// Returns a builder for the consumer of a definition.
    pub fn consumer_of<D: Datum>(&self, def: StreamDef<D>) -> consumer::Builder<D> {
        let builder = self.consumer();
        match def.stream_id {
            Some(id) => builder.with_stream_id(id),
            None => builder,
        }
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("network", &self.0.env.network_id)
            .finish_non_exhaustive()
    }
}
