//! Programs written for Mosaik with only the name of the crate changed: streams.

use std::{convert::Infallible, string::FromUtf8Error, task::Poll};

use crate::common::{until, within};
use crate::programs::discover_all;
use futures::{SinkExt, StreamExt, future::try_join_all};
use mosaik_streams::{
    streams::{
        ConsumerDef, ProducerDef, StreamDef,
        producer::{self, BuilderError},
        status::{ChannelInfo, State},
    },
    *,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TryRecvError;

type TestResult = Result<(), Box<dyn std::error::Error>>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Trade(String);

/// Polls a future once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut context)
}

async fn nodes<const N: usize>() -> Result<[Network; N], network::NetworkError> {
    let network_id = NetworkId::random();
    let nodes = try_join_all((0..N).map(|_| Network::new(network_id))).await?;
    Ok(nodes.try_into().expect("as many as were asked for"))
}

#[tokio::test]
async fn every_consumer_gets_every_datum() -> TestResult {
    const COUNT: usize = 100;
    let [n0, n1, n2] = nodes().await?;
    n1.discovery().dial(n0.local().addr()).await;
    n2.discovery().dial(n0.local().addr()).await;
    let mut trades = n0.streams().produce::<Trade>();
    let mut c1 = n1.streams().consume::<Trade>();
    let mut c2 = n2.streams().consume::<Trade>();
    within("c1", c1.when().subscribed()).await;
    within("c2", c2.when().subscribed()).await;
    let send = async {
        for n in 0..COUNT {
            trades.send(Trade(format!("trade {n}"))).await.unwrap();
        }
    };
    let receive = async {
        for n in 0..COUNT {
            assert_eq!(c1.recv().await, Some(Trade(format!("trade {n}"))));
            assert_eq!(c2.next().await, Some(Trade(format!("trade {n}"))));
            assert_eq!(c1.stats().datums(), n + 1);
        }
    };
    within("all of them", async { futures::join!(send, receive) }).await;
    assert_eq!(c1.stats().datums(), COUNT);
    assert_eq!(c2.stats().datums(), COUNT);
    Ok(())
}

#[tokio::test]
async fn a_producer_that_is_only_told_of_syncs_catalogs_first() -> TestResult {
    let network_id = NetworkId::random();
    let config = discovery::Config::builder()
        .with_tags("tag1")
        .with_tags(["tag2", "tag3"]);
    let n0 = Network::builder(network_id)
        .with_discovery(config)
        .build()
        .await?;
    let _trades = n0.streams().produce::<Trade>();
    let n1 = Network::new(network_id).await?;
    n1.discovery().insert(n0.discovery().me());
    assert_eq!(n1.discovery().catalog().unsigned_peers().count(), 1);
    let c1 = n1.streams().consume::<Trade>();
    within("subscribed", c1.when().subscribed()).await;
    let catalog = n1.discovery().catalog();
    assert_eq!(catalog.signed_peers().count(), 1);
    let entry = catalog.get(&n0.local().id()).expect("it is known");
    for tag in ["tag1", "tag2", "tag3"] {
        assert!(entry.tags().contains(&tag.into()));
    }
    Ok(())
}

#[tokio::test]
async fn one_type_may_have_several_streams() -> TestResult {
    const DEFINED: StreamDef<Trade> = StreamDef::with_stream_id(unique_id!("defined"));
    const OUT: ProducerDef<Trade> = ProducerDef::new(Some(unique_id!("def")));
    const IN: ConsumerDef<Trade> = ConsumerDef::new(Some(unique_id!("def")));
    let [n0, n1] = nodes().await?;
    let s0 = n0.streams();
    let mut producers = [
        s0.producer::<Trade>().with_stream_id("one").build()?,
        s0.producer_of(DEFINED).build()?,
        OUT.open(&n0).build()?,
        s0.producer_of(StreamDef::default()).build()?,
    ];
    let s1 = n1.streams();
    let mut consumers = [
        s1.consumer::<Trade>().with_stream_id("one").build(),
        s1.consumer_of(DEFINED).build(),
        IN.open(&n1).build(),
        ConsumerDef::new(None).open(&n1).build(),
    ];
    assert_eq!(producers[1].stream_id(), unique_id!("defined"));
    assert_eq!(producers[3].stream_id(), Trade::derived_stream_id());
    n1.discovery().dial(n0.local().addr()).await;
    for (index, (producer, consumer)) in producers.iter_mut().zip(&mut consumers).enumerate() {
        assert_eq!(producer.stream_id(), consumer.stream_id());
        within("sent", producer.send(Trade(index.to_string()))).await?;
        let received = within("received", consumer.next()).await;
        assert_eq!(received, Some(Trade(index.to_string())));
    }
    Ok(())
}

#[tokio::test]
async fn a_type_may_bring_its_own_encoding() -> TestResult {
    struct Text(String);

    impl Datum for Text {
        type DecodeError = FromUtf8Error;
        type EncodeError = Infallible;

        fn encode(&self) -> Result<Bytes, Self::EncodeError> {
            Ok(Bytes::copy_from_slice(self.0.as_bytes()))
        }

        fn decode(bytes: &[u8]) -> Result<Self, Self::DecodeError> {
            Ok(Self(String::from_utf8(bytes.to_vec())? + ", decoded"))
        }
    }

    let [n0, n1] = nodes().await?;
    let mut p0 = n0.streams().produce::<Text>();
    let mut c1 = n1.streams().consume::<Text>();
    discover_all([&n0, &n1]).await;
    within("sent", p0.send(Text("text".into())))
        .await
        .map_err(|error| error.to_string())?;
    let text = within("received", c1.recv()).await.map(|text| text.0);
    assert_eq!(text.as_deref(), Some("text, decoded"));
    Ok(())
}

#[tokio::test]
async fn channels_count_what_goes_over_them() -> TestResult {
    let [n0, n1, n2] = nodes().await?;
    discover_all([&n0, &n1, &n2]).await;
    let mut p0 = n0.streams().produce::<Trade>();
    assert_eq!(p0.consumers().count(), 0);
    let mut c1 = n1.streams().consume::<Trade>();
    within("c1", c1.when().subscribed()).await;
    let of_producer = |channels: Vec<ChannelInfo>| {
        let channel = channels[0].clone();
        (channel.stats().datums(), channel.stats().bytes())
    };
    assert_eq!(of_producer(c1.producers().collect()), (0, 0));
    p0.send(Trade("test".into())).await?;
    assert_eq!(within("it", c1.next()).await, Some(Trade("test".into())));
    // Four letters and their length.
    assert_eq!(of_producer(p0.consumers().collect()), (1, 5));
    assert_eq!(of_producer(c1.producers().collect()), (1, 5));

    let mut c2 = n2.streams().consume::<Trade>();
    within("c2", c2.when().subscribed()).await;
    p0.send(Trade("data2".into())).await?;
    assert_eq!(within("it", c1.next()).await, Some(Trade("data2".into())));
    assert_eq!(within("it", c2.next()).await, Some(Trade("data2".into())));
    let channels: Vec<_> = p0.consumers().collect();
    for (node, expected) in [(&n1, (2, 11)), (&n2, (1, 6))] {
        let channel = channels
            .iter()
            .find(|channel| *channel.peer().id() == node.local().id())
            .expect("it is connected");
        let stats = channel.stats();
        assert_eq!((stats.datums(), stats.bytes()), expected);
        assert!(stats.uptime().is_some() && stats.to_string().contains("connected for"));
        assert_eq!(channel.producer_id(), &n0.local().id());
        assert_eq!(channel.stream_id(), p0.stream_id());
        assert_eq!(channel.state(), State::Connected);
    }
    assert_eq!((c1.stats().datums(), c1.stats().bytes()), (2, 11));
    assert!(c1.stats().uptime().is_some());
    drop(c1);
    let gone = channels.iter().find(|c| *c.peer().id() == n1.local().id());
    within("the end", gone.expect("as above").disconnected()).await;
    assert_eq!(gone.expect("as above").stats().uptime(), None);
    Ok(())
}

#[tokio::test]
async fn there_is_one_producer_of_a_stream() -> TestResult {
    let [n0] = nodes().await?;
    let first = n0
        .streams()
        .producer::<Trade>()
        .require(|_| false)
        .build()?;
    let built: Result<_, BuilderError<Trade>> = n0.streams().producer().build();
    let Err(BuilderError::AlreadyExists(existing)) = built else {
        panic!("there is one already");
    };
    assert_eq!(first.stream_id(), existing.stream_id());
    assert_eq!(
        n0.streams().produce::<Trade>().stream_id(),
        first.stream_id()
    );
    assert_eq!(first.config().stream_id, Trade::derived_stream_id());
    assert_eq!(first.config().network_id, n0.network_id());
    Ok(())
}

#[tokio::test]
async fn conditions_are_met_and_unmet_as_consumers_come_and_go() -> TestResult {
    let [n0, n1, n2] = nodes().await?;
    let p1 = n1.streams().produce::<Trade>();
    discover_all([&n0, &n1, &n2]).await;
    let mut one = p1.when().subscribed();
    let mut two = p1.when().subscribed().minimum_of(2);
    let mut not_two = two.clone().unmet();
    let none = p1.when().unsubscribed();
    assert_eq!(poll_once(&mut one), Poll::Pending);
    assert_eq!(poll_once(&mut two), Poll::Pending);
    assert_eq!(poll_once(&mut not_two.clone()), Poll::Ready(()));
    assert_eq!(poll_once(&mut none.clone()), Poll::Ready(()));

    let _c0 = n0.streams().consume::<Trade>();
    within("one", &mut one).await;
    assert!(one == true && two == false && not_two.is_condition_met());
    let _c2 = n2.streams().consume::<Trade>();
    within("two", &mut two).await;
    assert!(one == true && two == true && not_two == false && none == false);
    // A clone starts over.
    assert_eq!(poll_once(&mut two.clone()), Poll::Ready(()));
    assert_eq!(poll_once(&mut not_two), Poll::Pending);

    drop(n2);
    within("one again", &mut not_two).await;
    assert!(two == false && true == not_two);
    // It resolves again when it is met again.
    let n3 = Network::new(*n1.network_id()).await?;
    discover_all([&n0, &n1, &n3]).await;
    let _c3 = n3.streams().consume::<Trade>();
    within("two again", &mut two).await;
    assert!(!not_two.is_condition_met());
    Ok(())
}

#[tokio::test]
async fn nothing_is_taken_while_the_producer_is_offline() -> TestResult {
    let [n0, n1] = nodes().await?;
    let mut producer = n0.streams().produce::<Trade>();
    let offline = || Err(producer::Error::Offline(Trade("early".into())));
    assert_eq!(producer.try_send(Trade("early".into())), offline());
    {
        let mut waiting = producer.send(Trade("held".into()));
        assert!(matches!(poll_once(&mut waiting), Poll::Pending));
    }
    discover_all([&n0, &n1]).await;
    let mut c1 = n1.streams().consume::<Trade>();
    assert!(matches!(c1.try_recv(), Err(TryRecvError::Empty)));
    within("online", producer.when().online()).await;
    within("subscribed", c1.when().subscribed()).await;
    assert_eq!(producer.consumers().count(), 1);
    within("sent", producer.send(Trade("now".into()))).await?;
    assert_eq!(
        within("received", c1.next()).await,
        Some(Trade("now".into()))
    );
    drop(c1);
    within("offline", producer.when().offline()).await;
    assert_eq!(producer.consumers().count(), 0);
    assert_eq!(producer.try_send(Trade("early".into())), offline());
    Ok(())
}

#[tokio::test]
async fn a_consumer_says_when_there_is_nothing_and_when_there_never_will_be() -> TestResult {
    let [n0] = nodes().await?;
    let mut consumer = n0.streams().consume::<Trade>();
    assert!(consumer.is_online());
    assert!(matches!(consumer.try_recv(), Err(TryRecvError::Empty)));
    let is_over = consumer.when().offline();
    n0.shutdown().await;
    assert_eq!(within("the end", consumer.recv()).await, None);
    assert!(matches!(
        consumer.try_recv(),
        Err(TryRecvError::Disconnected)
    ));
    drop(consumer);
    within("what is gone is offline", is_over).await;
    Ok(())
}

#[tokio::test]
async fn a_producer_takes_no_more_consumers_than_it_says() -> TestResult {
    let [n0, n1, n2, n3] = nodes().await?;
    let producer = n0
        .streams()
        .producer::<Trade>()
        .with_max_consumers(2)
        .build()?;
    assert_eq!(producer.config().max_consumers, 2);
    let consumers = [&n1, &n2, &n3].map(|node| node.streams().consume::<Trade>());
    discover_all([&n0, &n1, &n2, &n3]).await;
    within("two", producer.when().subscribed().minimum_of(2)).await;
    assert_eq!(producer.consumers().count(), 2);
    let inside: Vec<_> = producer.consumers().map(|c| *c.peer().id()).collect();
    let (leaving, staying): (Vec<_>, Vec<_>) = consumers
        .into_iter()
        .zip([&n1, &n2, &n3])
        .partition(|(_, node)| node.local().id() == inside[0]);
    drop(leaving);
    until("the third is let in", || {
        let now: Vec<_> = producer.consumers().map(|c| *c.peer().id()).collect();
        now.len() == 2 && !now.contains(&inside[0])
    })
    .await;
    drop(staying);
    Ok(())
}

#[tokio::test]
async fn being_online_may_depend_on_tags() -> TestResult {
    let [n0, n1] = nodes().await?;
    let producer = n0
        .streams()
        .producer::<Trade>()
        .online_when(|c| c.with_tags("desk").minimum_of(2))
        .build()?;
    // The same from the other side: one of the peers with both tags.
    let consumer = n1
        .streams()
        .consumer::<Trade>()
        .online_when(|c| c.with_tags(["feed", "fast"]))
        .build();
    discover_all([&n0, &n1]).await;
    within("subscribed", producer.when().subscribed()).await;
    assert!(!producer.is_online() && !consumer.is_online());
    let tagged = || {
        Network::builder(*n0.network_id())
            .with_discovery(discovery::Config::builder().with_tags("desk"))
            .build()
    };
    let (n2, n3) = (tagged().await?, tagged().await?);
    let consumers = [&n2, &n3].map(|node| node.streams().consume::<Trade>());
    discover_all([&n0, &n2, &n3]).await;
    within("online", producer.when().online()).await;
    assert_eq!(producer.consumers().count(), 3);
    drop(n3);
    within("offline", producer.when().offline()).await;
    drop(consumers);
    Ok(())
}

#[tokio::test]
async fn a_producer_that_is_no_longer_eligible_is_left() -> TestResult {
    let network_id = NetworkId::random();
    let n0 = Network::new(network_id).await?;
    let trusted = || {
        Network::builder(network_id)
            .with_discovery(discovery::Config::builder().with_tags(["trusted"]))
            .build()
    };
    let (n1, n2) = (trusted().await?, trusted().await?);
    let consumer = n0
        .streams()
        .consumer::<Trade>()
        .require(|peer| peer.tags().contains(&"trusted".into()))
        .online_when(|c| c.minimum_of(2))
        .build();
    let _producers = [&n1, &n2].map(|node| node.streams().produce::<Trade>());
    discover_all([&n0, &n1, &n2]).await;
    within("both", consumer.when().online()).await;
    n1.discovery().remove_tags("trusted");
    n0.discovery().feed(n1.discovery().me());
    within("one left", consumer.when().offline()).await;
    let left: Vec<_> = consumer.producers().map(|c| *c.producer_id()).collect();
    assert_eq!(left, [n2.local().id()]);
    Ok(())
}

#[tokio::test]
async fn what_nobody_wants_is_given_back() -> TestResult {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Lot {
        number: u64,
    }
    let lot = |number| Lot { number };
    let [n0] = nodes().await?;
    let (sink, mut undelivered) = tokio::sync::mpsc::unbounded_channel();
    let mut producer = n0
        .streams()
        .producer::<Lot>()
        .online_when(|c| c.minimum_of(0))
        .with_undelivered_sink(sink)
        .build()?;
    producer.send(lot(1)).await?;
    assert_eq!(within("it", undelivered.recv()).await, Some(lot(1)));
    // With subscribers, it receives the records that the criteria of none select.
    let mut odd = n0
        .streams()
        .consumer::<Lot>()
        .with_criteria(Criteria::field("number").one_of([3, 5]))
        .with_local(true)
        .build();
    within("subscribed", producer.when().subscribed()).await;
    for number in 2..6 {
        producer.send(lot(number)).await?;
    }
    assert_eq!(within("it", odd.recv()).await, Some(lot(3)));
    assert_eq!(within("it", odd.recv()).await, Some(lot(5)));
    assert_eq!(within("it", undelivered.recv()).await, Some(lot(2)));
    assert_eq!(within("it", undelivered.recv()).await, Some(lot(4)));
    assert_eq!(producer.stats().dropped.nobody, 0);
    // Without a receiver they are dropped and counted.
    drop((odd, undelivered));
    within("unsubscribed", producer.when().unsubscribed()).await;
    producer.send(lot(6)).await?;
    until("it is counted", || producer.stats().dropped.nobody == 1).await;
    Ok(())
}
