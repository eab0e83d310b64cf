//! Handles implement the auto traits that threads and error types require.

use mosaik_streams::{
    Consumer, FramesConsumer, FramesProducer, Network, Producer,
    streams::{
        producer::{BuilderError, Error, FramesBuilderError},
        status::{ChannelConditions, ChannelInfo, When},
    },
};

/// A record type with as few traits as possible, not even `Sync`.
struct Opaque(std::cell::Cell<u8>);

const fn is_shared<T: Send + Sync + Unpin + 'static>() {}
const fn is_an_error<T: std::error::Error + Send + Sync + 'static>() {}

/// Checked at compile time.
const _: () = {
    is_shared::<Producer<Opaque>>();
    is_shared::<Consumer<Opaque>>();
    is_shared::<FramesProducer>();
    is_shared::<FramesConsumer>();
    is_shared::<Network>();
    is_shared::<When>();
    is_shared::<ChannelConditions>();
    is_shared::<ChannelInfo>();
    is_an_error::<BuilderError<Opaque>>();
    is_an_error::<FramesBuilderError>();
    is_an_error::<Error<u64>>();
};

#[test]
fn handles_are_debug_whatever_the_datum() {
    let builder_error: Option<BuilderError<Opaque>> = None;
    let error: Option<Error<Opaque>> = Some(Error::Full(Opaque(7.into())));
    assert_eq!(
        format!("{builder_error:?} {error:?}"),
        "None Some(Full(..))"
    );
    assert_eq!(error.and_then(Error::into_datum).unwrap().0.get(), 7);
}
