//! The macros of `mosaik-streams` where it has another name: here it is called `feeds`.

use feeds::{Network, ProducerOf, StreamConsumer, StreamProducer, declare};

declare::stream!(
    /// Readings of a thermometer.
    pub Temperatures = f64, "temperatures",
    online_when: |c| c.minimum_of(0),
    require: |peer| peer.tags().contains(&feeds::tag!("trusted")),
    local: true,
);
feeds::stream!(pub(crate) producer Alarms = String);

const TEMPERATURES: feeds::StreamId = feeds::unique_id!("temperatures");

#[tokio::test]
async fn definitions_work_under_any_name() {
    let network = Network::builder("house").lazy(true).build().await.unwrap();
    let alarms: ProducerOf<Alarms> = Alarms::producer(&network);
    assert_eq!(
        alarms.stream_id(),
        feeds::StreamId::from("alloc::string::String")
    );
    let producer = Temperatures::online_producer(&network).await;
    let mut consumer = Temperatures::online_consumer(&network).await;
    assert_eq!(*consumer.stream_id(), TEMPERATURES);
    producer.try_send(21.5).unwrap();
    assert_eq!(consumer.recv().await, Some(21.5));
}
