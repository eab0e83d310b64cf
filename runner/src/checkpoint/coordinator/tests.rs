//! Barriers through graphs: a checkpoint holds what every stage had done with the same records.

mod graph;
mod process;
mod random_graphs;
mod reloads;
mod worker;

use std::time::Duration;

use futures::FutureExt as _;
use mosaik_streams::{Frames, FramesConsumer, Network, Received, StreamId};
use tokio::task::JoinSet;

use super::*;
use crate::checkpoint::{Alignment, InstanceImage, Signal, SourceSignal, StageImage};

const DEADLINE: Duration = Duration::from_mins(1);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, future).await;
    done.unwrap_or_else(|_| panic!("{what} takes too long"))
}

async fn network() -> Network {
    Network::builder("checkpoints")
        .lazy(true)
        .build()
        .await
        .unwrap()
}

fn producer(network: &Network, stream: &str) -> FramesProducer {
    let builder = network.streams().producer_frames(StreamId::from(stream));
    builder.online_when(|c| c.minimum_of(0)).build().unwrap()
}

fn consumer(network: &Network, stream: &str) -> FramesConsumer {
    let builder = network.streams().consumer_frames(StreamId::from(stream));
    builder.with_local(true).build().unwrap()
}

/// A source of the numbers from 0 to `count`, each as one record. Stops after a last barrier.
async fn source(output: FramesProducer, mut line: Line, count: u64) {
    let mut next = 0;
    while next < count {
        line.opens().await;
        if let Some(SourceSignal::Begun(begun)) = line.source_signal().now_or_never() {
            line.pass(begun.number, position(next));
            if begun.is_last {
                return;
            }
            line.opens().await;
        }
        // Nothing else here waits, if nobody reads the stream.
        tokio::task::yield_now().await;
        output
            .send_frames(Frames::single(&next.to_be_bytes()))
            .await
            .unwrap();
        next += 1;
    }
    line.ends(position(next));
}

fn position(next: u64) -> StageImage {
    StageImage::Source {
        position: Some(next.into()),
        sent: 0,
        ended: false,
    }
}

/// Returns what comes next on any open input that the alignment does not hold.
async fn next_received(
    inputs: &mut [FramesConsumer],
    open: &[bool],
    alignment: &Alignment,
) -> (usize, Option<Received>) {
    let waits = inputs
        .iter_mut()
        .enumerate()
        .filter(|(input, _)| open[*input] && !alignment.holds(*input))
        .map(|(input, consumer)| Box::pin(async move { (input, consumer.recv_next(7).await) }));
    futures::future::select_all(waits).await.0
}

/// Adds up all records of its inputs, and passes them on. Its state is the sum and the number of records.
async fn stage(mut inputs: Vec<FramesConsumer>, output: Option<FramesProducer>, mut line: Line) {
    let mut open = vec![true; inputs.len()];
    let mut alignment = line.alignment();
    let (mut sum, mut count) = (0_u64, 0_u64);
    while open.contains(&true) {
        if let Some(number) = alignment.complete(&line, |input| open[input]) {
            alignment.release();
            line.pass(number, state(sum, count));
        }
        line.opens().await;
        let received = tokio::select! {
            received = next_received(&mut inputs, &open, &alignment) => received,
            signal = line.signal() => {
                match signal {
                    Signal::Begun(begun) => line.pass(begun.number, state(sum, count)),
                    Signal::Over => alignment.release_if_over(&line),
                }
                continue;
            }
        };
        match received {
            (_, Some(Received::Batch(batch))) => {
                for record in &batch {
                    sum += u64::from_be_bytes(record.try_into().unwrap());
                    count += 1;
                }
                if let Some(output) = &output {
                    output.send_frames(batch).await.unwrap();
                }
            }
            (input, Some(Received::Mark(number))) => alignment.arrive(&line, input, number),
            (input, None) => open[input] = false,
        }
    }
    line.ends(state(sum, count));
}

fn state(sum: u64, count: u64) -> StageImage {
    StageImage::Operator {
        read: Vec::new(),
        ended_ports: Vec::new(),
        key: None,
        component: String::new(),
        instances: vec![InstanceImage {
            version: 1,
            kept: count,
            entries: vec![(None, sum.to_be_bytes().to_vec())],
        }],
        ended: false,
    }
}

fn sum_and_count(image: &StageImage) -> (u64, u64) {
    let StageImage::Operator { instances, .. } = image else {
        panic!("{image:?}");
    };
    let sum = instances[0].entries[0].1.as_slice().try_into().unwrap();
    (u64::from_be_bytes(sum), instances[0].kept)
}

fn number(image: &StageImage) -> u64 {
    match image {
        StageImage::Source { position, .. } => position.as_ref().unwrap().as_u64().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Two sources write `a`, and one writes `b`. One stage joins `a` and `b` into `c`, one copies `a` to `d`, and the last
/// one reads `c`, `d` and `b`. Returns the images of all checkpoints that were taken.
async fn run(folder: &std::path::Path, counts: [u64; 3]) -> Vec<BTreeMap<StageId, StageImage>> {
    let network = network().await;
    let (ledger, _) = Ledger::open(folder).unwrap();
    let checkpoints = Checkpoints::start(ledger, Duration::from_hours(1));
    let mut tasks = JoinSet::new();
    let line = |name: &'static str, inputs: &[&str], output: Option<(&str, &FramesProducer)>| {
        let outputs = output.map(|(stream, producer)| (stream, producer.clone()));
        let inputs = inputs.iter().map(|stream| (*stream, true));
        checkpoints.join((StageId::new(name), 1), inputs, outputs)
    };
    let outputs = ["a", "b", "c", "d"].map(|stream| producer(&network, stream));
    let [a, b, c, d] = outputs;
    let read = |stream| consumer(&network, stream);
    tasks.spawn(stage(
        vec![read("c"), read("d"), read("b")],
        None,
        line("last", &["c", "d", "b"], None),
    ));
    tasks.spawn(stage(
        vec![read("a"), read("b")],
        Some(c.clone()),
        line("join", &["a", "b"], Some(("c", &c))),
    ));
    tasks.spawn(stage(
        vec![read("a")],
        Some(d.clone()),
        line("copy", &["a"], Some(("d", &d))),
    ));
    let sources = [("one", "a", &a), ("two", "a", &a), ("three", "b", &b)];
    for ((name, stream, output), count) in sources.into_iter().zip(counts) {
        tasks.spawn(source(
            output.clone(),
            line(name, &[], Some((stream, output))),
            count,
        ));
    }
    let mut taken = Vec::new();
    for pause in [0, 1, 3, 0, 7, 2, 5, 1] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let outcome = within("a checkpoint", checkpoints.take(false)).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
        taken.push(checkpoints.last());
    }
    let outcome = within("the last one", checkpoints.take(true)).await;
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    taken.push(checkpoints.last());
    tasks.shutdown().await;
    taken
}

fn sum_to(next: u64) -> u64 {
    (0..next).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stage_has_done_the_same_records_in_a_checkpoint() {
    for counts in [[u64::MAX; 3], [3000, u64::MAX, 500], [2000, 1000, u64::MAX]] {
        let folder = tempfile::tempdir().unwrap();
        let taken = run(folder.path(), counts).await;
        let mut before = [0; 3];
        for images in &taken {
            let [one, two, three] =
                ["one", "two", "three"].map(|name| number(&images[&StageId::new(name)]));
            assert!(
                [one, two, three]
                    .iter()
                    .zip(before)
                    .all(|(now, before)| *now >= before)
            );
            before = [one, two, three];
            let (a, b) = (sum_to(one) + sum_to(two), sum_to(three));
            let join = sum_and_count(&images[&StageId::new("join")]);
            assert_eq!(join, (a + b, one + two + three), "join");
            assert_eq!(
                sum_and_count(&images[&StageId::new("copy")]),
                (a, one + two),
                "copy"
            );
            let last = sum_and_count(&images[&StageId::new("last")]);
            assert_eq!(last, (2 * (a + b), 2 * (one + two + three)), "last");
        }
        assert!(before.iter().sum::<u64>() > 0, "something was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_starts_or_fails_gives_a_checkpoint_up_and_a_successor_mends_it() {
    let network = network().await;
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(folder.path()).unwrap();
    let checkpoints = Checkpoints::start(ledger, Duration::from_hours(1));
    let id = StageId::new("source");
    let output = producer(&network, "a");
    let join = |start| checkpoints.join((id.clone(), start), [], [("a", output.clone())]);

    // It does not answer, and another stage starts meanwhile.
    let silent = join(1);
    let asking = tokio::spawn({
        let checkpoints = checkpoints.clone();
        async move { checkpoints.take(false).await }
    });
    within("a barrier", async {
        while checkpoints.shared.begun.borrow().number == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let other = checkpoints.join((StageId::new("other"), 1), [], []);
    let outcome = within("the outcome", asking).await.unwrap();
    assert!(matches!(outcome, Outcome::GivenUp { .. }), "{outcome:?}");
    other.ends(position(0));
    checkpoints.leave(StageId::new("other"), 1);

    // It fails.
    drop(silent);
    checkpoints.leave(id.clone(), 1);
    let outcome = within("the outcome", checkpoints.take(false)).await;
    assert_eq!(outcome, given_up("source has failed".to_owned()));

    // A late end of the first one does not end its successor.
    let next = join(2);
    checkpoints.leave(id.clone(), 1);
    let running = tokio::spawn(source(output.clone(), next, u64::MAX));
    let outcome = within("the outcome", checkpoints.take(true)).await;
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    within("the source", running).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_handle_the_ledger_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(folder.path()).unwrap();
    let checkpoints = Checkpoints::start(ledger, Duration::from_hours(1));
    let line = checkpoints.join((StageId::new("source"), 1), [], []);
    assert!(matches!(
        Ledger::open(folder.path()),
        Err(LedgerError::InUse { .. })
    ));
    drop(checkpoints);
    within("the end of the coordinator", async {
        while Ledger::open(folder.path()).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(line);
}
