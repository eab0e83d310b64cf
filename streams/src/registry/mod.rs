//! The streams of a node: creates producers and consumers, connects those of the same stream, and answers remote
//! consumers.

mod accept;
mod definition;
mod slots;

use std::sync::Arc;

use futures::FutureExt;

pub use self::definition::StreamDef;
pub(crate) use self::definition::value;
use self::slots::Registry;
use crate::{
    Datum, StreamId,
    channel::{env::Env, filter::Lookup, hold::SubscriptionHold},
    consumer::{self, Consumer, FramesConsumerBuilder},
    net::Link,
    producer::{self, FramesProducerBuilder, Producer},
};
/// The streams of a network. Clones are handles to the same state.
#[derive(Clone)]
pub struct Streams(Arc<Registry>);

impl Streams {
    /// Accepts the streams protocol from now on.
    pub(crate) fn new(env: Arc<Env>) -> Self {
        let registry = Arc::new(Registry::new(env));
        // Weak, because the node owns its handlers, and the streams own the node.
        let streams = Arc::downgrade(&registry);
        let accept = move |link: Link| match streams.upgrade() {
            Some(registry) => accept::accept(registry, link).boxed(),
            None => std::future::ready(()).boxed(),
        };
        registry.env.accept(Arc::new(accept));
        Self(registry)
    }

    /// Returns a builder for a producer of wire-format batches.
    pub fn producer_frames(&self, id: impl Into<StreamId>) -> FramesProducerBuilder {
        FramesProducerBuilder::new(self.0.env.clone(), self.0.clone(), id.into())
    }

    /// Returns a builder for a consumer of wire-format batches.
    pub fn consumer_frames(&self, id: impl Into<StreamId>) -> FramesConsumerBuilder {
        FramesConsumerBuilder::new(self.0.env.clone(), self.0.clone(), id.into())
    }

    /// Prevents [shared](FramesConsumerBuilder::with_shared_subscription) subscriptions from dialling until the returned
    /// value is dropped, so that all consumers built in the meantime receive the first record. Connected subscriptions are
    /// not affected.
    pub fn hold_subscriptions(&self) -> SubscriptionHold {
        self.0.env.holds.hold()
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
