//! The streams of a network: where producers and consumers are made, and where those of one node meet.
//!
//! A producer puts its stream into its node's entry; consumers find it in the catalog, connect under the protocol
//! `/mosaik/streams/1.0`, and say which datums they want. Each remote consumer has a queue and a sender of its own.
//! Dropping a handle ends what it stands for.
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

/// What streams need of their network.
pub(crate) struct Env {
    pub(crate) local_id: PeerId,
    pub(crate) network_id: NetworkId,
    pub(crate) discovery: Discovery,
    pub(crate) config: Config,
    /// Ends every task.
    pub(crate) cancel: CancellationToken,
    net: Arc<network::Core>,
    runtime: tokio::runtime::Handle,
}

impl Env {
    /// Runs a task, which the network's shutdown waits for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.net.tasks().spawn_on(task, &self.runtime);
    }

    /// The largest datum that other nodes may send, in bytes, unless a consumer takes less.
    pub(crate) fn max_frame_len(&self) -> usize {
        self.net.max_frame_len()
    }

    /// The most bytes that a connection holds until the peer has acknowledged them.
    pub(crate) fn send_window(&self) -> usize {
        self.net.send_window()
    }

    /// Dials a node under the protocol of streams, once this one is bound. Cancel safe.
    pub(crate) async fn connect(&self, peer: &PeerEntry) -> Result<Link, ConnectError> {
        let endpoint = self
            .net
            .wait_endpoint()
            .await
            .ok_or(ConnectError::EndpointClosed)?;
        endpoint.connect(peer.address(), protocol::ALPN).await
    }
}

/// The streams of a network. Clones are the same.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

impl Streams {
    /// Must run inside a Tokio runtime; its tasks run there.
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
        // Weak, because the network holds its handlers and the streams hold the network.
        let streams = Arc::downgrade(&inner);
        let accept = move |link: Link| match streams.upgrade() {
            Some(inner) => accept::accept(inner, link).boxed(),
            None => std::future::ready(()).boxed(),
        };
        if let Err(error) = net.register(protocol::ALPN, Arc::new(accept)) {
            tracing::error!(%error, "no node can subscribe to this one");
        }
        Self(inner)
    }

    /// Starts a producer of wire-format batches.
    pub fn producer_frames(&self, id: impl Into<StreamId>) -> FramesProducerBuilder {
        FramesProducerBuilder::new(self.0.clone(), id.into())
    }

    /// Starts a consumer of wire-format batches.
    pub fn consumer_frames(&self, id: impl Into<StreamId>) -> FramesConsumerBuilder {
        FramesConsumerBuilder::new(self.0.clone(), id.into())
    }

    /// Keeps subscriptions that consumers [share](FramesConsumerBuilder::with_shared_subscription) from dialling producers
    /// for as long as it lives, so that the consumers that are built meanwhile all get the first record. One that is connected
    /// already goes on.
    pub fn hold_subscriptions(&self) -> SubscriptionHold {
        self.0.hold_subscriptions()
    }

    /// A producer with all defaults; the existing one when there is one.
    pub fn produce<D: Datum>(&self) -> Producer<D> {
        match self.producer().build() {
            Ok(producer) | Err(producer::BuilderError::AlreadyExists(producer)) => producer,
        }
    }

    /// Starts a producer.
    pub fn producer<D: Datum>(&self) -> producer::Builder<D> {
        let frames = self
            .producer_frames(D::derived_stream_id())
            .with_lookup(Lookup::Datum(D::matches));
        producer::Builder::new(frames)
    }

    /// Starts the producer of a definition.
    pub fn producer_of<D: Datum>(&self, def: StreamDef<D>) -> producer::Builder<D> {
        let builder = self.producer();
        match def.stream_id {
            Some(id) => builder.with_stream_id(id),
            None => builder,
        }
    }

    /// A consumer with all defaults.
    pub fn consume<D: Datum>(&self) -> Consumer<D> {
        self.consumer().build()
    }

    /// Starts a consumer.
    pub fn consumer<D: Datum>(&self) -> consumer::Builder<D> {
        consumer::Builder::new(self.consumer_frames(D::derived_stream_id()))
    }

    /// Starts the consumer of a definition.
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
