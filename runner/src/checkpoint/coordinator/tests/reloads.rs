//! Stages that start, change or end while a checkpoint is under way.

use super::*;
use crate::checkpoint::line::Event;

#[tokio::test]
async fn a_writer_that_passes_a_barrier_late_does_not_hold_up_the_next_one() {
    let network = network().await;
    let (output, gate) = (producer(&network, "a"), Arc::new(Gate::default()));
    let mut late = gate.join(output.clone());
    let mut early = gate.join(output);
    // The first barrier is given up.
    early.pass(1);
    early.pass(2);
    late.pass(1);
    late.pass(2);
    assert!(early.is_open(1) && late.is_open(1));
}

#[tokio::test]
async fn a_stage_does_not_hear_of_a_checkpoint_that_began_before_it() {
    let begun = |number| Begun {
        number,
        is_last: false,
    };
    let (begins, given_up) = (watch::Sender::new(begun(5)), watch::Sender::new(0));
    let (notes, _incoming) = mpsc::unbounded_channel();
    let watches = (begins.subscribe(), given_up.subscribe());
    let stage = (StageId::new("late"), 1);
    let mut line = Line::new(stage, watches, notes, (Vec::new(), Vec::new()));
    assert_eq!(line.source_signal().now_or_never(), None);
    begins.send_replace(begun(6));
    let heard = line.source_signal().now_or_never();
    assert_eq!(heard, Some(SourceSignal::Begun(begun(6))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writers_of_a_stream_that_lacks_a_complete_barrier_go_on() {
    let network = network().await;
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(folder.path()).unwrap();
    let checkpoints = Checkpoints::start(ledger, Duration::from_hours(1));
    // Nothing reads it.
    let output = producer(&network, "a");
    let join = |name| checkpoints.join((StageId::new(name), 1), [], [("a", output.clone())]);
    let (mut one, mut other) = (join("one"), join("other"));
    let _not_taken_over_yet = join("one");
    let taking = tokio::spawn({
        let checkpoints = checkpoints.clone();
        async move { checkpoints.take(false).await }
    });
    for line in [&mut one, &mut other] {
        let SourceSignal::Begun(begun) = within("a barrier", line.source_signal()).await else {
            panic!("it is open");
        };
        line.pass(begun.number, position(1));
    }
    let outcome = within("the outcome", taking).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    within("the stream", other.opens()).await;
}

#[test]
fn a_new_line_of_a_stage_that_has_ended_does_not_lose_its_state() {
    let (mut members, stage) = (Members::default(), StageId::new("short"));
    members.join(stage.clone(), 1);
    let note = |members: &mut Members, event| {
        let (stage, start) = (stage.clone(), 1);
        let note = Note {
            stage,
            start,
            event,
        };
        take(members, None, note);
    };
    note(&mut members, Event::Ended(position(3)));
    members.join(stage.clone(), 1);
    note(&mut members, Event::Left);
    assert_eq!(members.missing(), None);
    let images = Round::new(1).complete(&members).unwrap();
    assert_eq!(images[&stage], position(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_are_added_do_not_wait_for_a_checkpoint_and_are_in_each_one() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = Ledger::open(folder.path()).unwrap();
    let checkpoints = Checkpoints::start(ledger, Duration::from_hours(1));
    let join = |name: &str| checkpoints.join((StageId::new(name), 1), [], []);
    // It waits for the stage that is added, and answers nothing.
    let mut waiting = join("waiting");
    let taking = tokio::spawn({
        let checkpoints = checkpoints.clone();
        async move { checkpoints.take(false).await }
    });
    let begun = within("a barrier", waiting.source_signal()).await;
    assert!(matches!(begun, SourceSignal::Begun(_)), "{begun:?}");
    let added = Stages::from([(StageId::new("added"), position(7))]);
    within("the stage", checkpoints.add(added, Stages::new())).await;
    let outcome = within("the outcome", taking).await.unwrap();
    assert!(matches!(outcome, Outcome::GivenUp { .. }), "{outcome:?}");

    // It has not started yet.
    let taking = tokio::spawn({
        let checkpoints = checkpoints.clone();
        async move { checkpoints.take(false).await }
    });
    let SourceSignal::Begun(begun) = within("a barrier", waiting.source_signal()).await else {
        panic!("it is open");
    };
    waiting.pass(begun.number, position(1));
    let outcome = within("the outcome", taking).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    assert_eq!(checkpoints.last()[&StageId::new("added")], position(7));
}
