//! The end of a sink, and its barriers.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use mosaik_streams::{Encoding, FramesProducer, Network, StreamId};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    checkpoint::{Checkpoints, Ledger, Outcome, SourceSignal, StageId},
    connector::{
        FileSink, Position, SinkConfig, SinkContext, SinkCounts, SinkError, Unwritten, open_sink,
    },
    stage::{Handoff, OnError, Retry},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn policy(on_error: OnError) -> SinkPolicy {
    SinkPolicy {
        retry: Retry {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(1),
            max_elapsed: None,
        },
        on_error,
    }
}

#[tokio::test]
async fn an_unwritten_batch_is_counted_as_undelivered() {
    let config = SinkConfig::new("file", FileSink::of("/dev/full".into()));
    let sink = open_sink(&config, SinkContext::new(Encoding::Text)).await;
    let counters = Arc::new(Counters::default());
    let abandon = CancellationToken::new();
    let (_policy, policy) = watch::channel(policy(OnError::Skip { explicit: true }));
    let handoff = Handoff::until(abandon.clone());
    let mut outlet = Outlet {
        transcoder: None,
        encoder: None,
        counters: Arc::clone(&counters),
        delivery: Delivery::new(
            "save".to_owned(),
            sink.unwrap(),
            policy,
            Arc::clone(&counters),
            handoff,
        ),
        line: Line::none(),
        next_line: NextLine::default(),
    };
    abandon.cancel();
    let batch: Frames = [b"one", b"two"].into_iter().collect();
    let end = outlet.take(batch).await;
    assert_eq!(end, Err(End::Stopped));
    let counts = counters.snapshot();
    assert_eq!((counts.datums_in, counts.inputs.undelivered), (2, 2));
    assert_eq!((counts.datums_out, counts.bytes_out), (0, 0));
}

/// Notes its records and each sync.
#[derive(Debug, Clone, Default)]
struct Noting(Arc<Mutex<Vec<String>>>);

impl Noting {
    fn note(&self, text: &str) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(text.to_owned());
    }

    fn notes(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join(" ")
    }

    async fn have(&self, notes: &str) {
        let reached = async {
            while self.notes() != notes {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let reached = timeout(PATIENCE, reached).await;
        reached.unwrap_or_else(|_| panic!("{} is not {notes}", self.notes()));
    }
}

impl Sink for Noting {
    fn write<'a>(&'a mut self, batch: &'a Frames) -> BoxFuture<'a, Result<(), Unwritten>> {
        for record in batch {
            self.note(std::str::from_utf8(record).unwrap());
        }
        Box::pin(async { Ok(()) })
    }

    fn give_up<'a>(&'a mut self, _: &'a Frames) -> BoxFuture<'a, usize> {
        Box::pin(async { 0 })
    }

    fn sync(&mut self) -> BoxFuture<'_, Result<Option<Position>, SinkError>> {
        self.note("sync");
        Box::pin(async { Ok(None) })
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async { Ok(()) })
    }

    fn counts(&self) -> SinkCounts {
        SinkCounts::default()
    }
}

fn producer(network: &Network, stream: &str) -> FramesProducer {
    let builder = network.streams().producer_frames(StreamId::from(stream));
    builder.online_when(|c| c.minimum_of(0)).build().unwrap()
}

/// A reload gives a running sink a stream of dead-letter records that another stage writes too.
#[tokio::test]
async fn a_sink_waits_behind_a_barrier_for_the_other_writers_of_its_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(folder.path()).unwrap();
    let checkpoints = Checkpoints::start(ledger, Duration::from_hours(1));
    let network = Network::builder("sinks").lazy(true).build().await.unwrap();
    let (records, dead) = (producer(&network, "s"), producer(&network, "dead"));
    let consumer = network.streams().consumer_frames(StreamId::from("s"));
    let id = |name: &str| (StageId::new(name.to_owned()), 1);
    let inputs = || [("s", false)];
    let (retune, policy_of_sink) = watch::channel(policy(OnError::Stop));
    let (notes, next_line) = (Noting::default(), NextLine::default());
    let stage = SinkStage {
        name: "save".to_owned(),
        input: Input {
            port: 0,
            shared: false,
            consumer: consumer.with_local(true).build().unwrap(),
        },
        sink: Box::new(notes.clone()),
        transcoder: None,
        policy: policy_of_sink,
        counters: Arc::default(),
        line: checkpoints.join(id("save"), inputs(), []),
        next_line: next_line.clone(),
    };
    let (_commands, commands) = mpsc::channel(1);
    let handoff = Handoff::until(CancellationToken::new());
    let sink = tokio::spawn(stage.run(Control { commands, handoff }));
    records.send_frames(Frames::single(b"a")).await.unwrap();
    notes.have("a").await;

    next_line.set(|| checkpoints.join(id("save"), inputs(), [("dead", dead.clone())]));
    retune.send_replace(policy(OnError::To(dead.clone())));
    let mut other = checkpoints.join(id("other"), [], [("dead", dead.clone())]);
    let taken = tokio::spawn(async move { checkpoints.take(false).await });
    let SourceSignal::Begun(begun) = timeout(PATIENCE, other.source_signal()).await.unwrap() else {
        panic!("the stream is not open");
    };
    notes.have("a sync").await;
    records.send_frames(Frames::single(b"b")).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(notes.notes(), "a sync");
    let (position, sent, ended) = (None, 0, false);
    let image = StageImage::Source {
        position,
        sent,
        ended,
    };
    other.pass(begun.number, image);
    notes.have("a sync b").await;
    let outcome = timeout(PATIENCE, taken).await.unwrap().unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");

    records.finish().await;
    let ended = timeout(PATIENCE, sink).await.unwrap().unwrap();
    assert_eq!(ended.end, End::Finished);
    // Its final state is durable too.
    assert_eq!(notes.notes(), "a sync b sync");
}
