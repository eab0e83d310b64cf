//! Sinks that fail as the test says.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, PoisonError},
};

use futures::future::BoxFuture;
use mosaik_streams::Frames;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::connector::SinkCounts;

const PATIENCE: Duration = Duration::from_secs(20);
const FAST: Retry = Retry {
    initial: Duration::from_millis(1),
    max: Duration::from_millis(4),
    max_elapsed: None,
};
const SKIP: OnError = OnError::Skip { explicit: true };

/// The end of an attempt: the number of records written before an error.
type Attempt = (usize, SinkErrorKind);

#[derive(Debug, Default)]
struct Outside {
    written: Vec<String>,
    attempts: usize,
    /// The ends of the next attempts. Those after them succeed.
    script: VecDeque<Attempt>,
    /// The error of each sync.
    sync: Option<SinkErrorKind>,
}

/// Refuses records that begin with `bad`, and otherwise follows its script.
#[derive(Debug, Clone, Default)]
struct Scripted(Arc<Mutex<Outside>>);

impl Scripted {
    fn of(script: impl IntoIterator<Item = Attempt>) -> Self {
        let scripted = Self::default();
        scripted.outside().script = script.into_iter().collect();
        scripted
    }

    fn outside(&self) -> std::sync::MutexGuard<'_, Outside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Scripted {
    fn write<'a>(&'a mut self, batch: &'a Frames) -> BoxFuture<'a, Result<(), Unwritten>> {
        Box::pin(async {
            let mut outside = self.outside();
            outside.attempts += 1;
            let is_bad = batch.iter().any(|record| record.starts_with(b"bad"));
            let attempt = match outside.script.pop_front() {
                Some(attempt) => Some(attempt),
                None => is_bad.then_some((0, SinkErrorKind::Permanent)),
            };
            let written = attempt.map_or(batch.count(), |(written, _)| written);
            let texts = batch.iter().take(written);
            let texts = texts.map(|record| String::from_utf8(record.to_vec()).unwrap());
            outside.written.extend(texts);
            match attempt {
                None => Ok(()),
                Some((written, kind)) => Err(Unwritten {
                    written,
                    error: failure(kind),
                }),
            }
        })
    }

    fn give_up<'a>(&'a mut self, _: &'a Frames) -> BoxFuture<'a, usize> {
        Box::pin(async { 0 })
    }

    fn sync(&mut self) -> BoxFuture<'_, Result<Option<Position>, SinkError>> {
        Box::pin(async {
            let mut outside = self.outside();
            outside.attempts += 1;
            match outside.sync {
                Some(kind) => Err(failure(kind)),
                None => Ok(Some(outside.written.len().into())),
            }
        })
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async { Ok(()) })
    }

    fn counts(&self) -> SinkCounts {
        SinkCounts::default()
    }
}

fn failure(kind: SinkErrorKind) -> SinkError {
    let name = "outside".to_owned();
    match kind {
        SinkErrorKind::Closed => SinkError::Closed { name },
        kind => SinkError::Write {
            name,
            kind,
            source: io::ErrorKind::StorageFull.into(),
        },
    }
}

fn delivery(
    outside: &Scripted,
    retry: Retry,
    on_error: OnError,
) -> (Delivery, watch::Sender<SinkPolicy>) {
    let (sender, policy) = watch::channel(SinkPolicy { retry, on_error });
    let delivery = Delivery::new(
        "save".to_owned(),
        Box::new(outside.clone()),
        policy,
        Arc::default(),
        Handoff::until(CancellationToken::new()),
    );
    (delivery, sender)
}

async fn write(delivery: &mut Delivery, records: &[&str]) -> Result<(), End> {
    let records: Frames = records.iter().map(|record| record.as_bytes()).collect();
    delivery
        .counters
        .took(records.count(), records.payload_len());
    let rows = Rows::new(records.clone(), records);
    let written = timeout(PATIENCE, delivery.write(rows)).await.unwrap();
    let counts = delivery.counters.snapshot();
    assert_eq!(counts.inputs.total(), counts.datums_in, "{counts:?}");
    written
}

#[tokio::test]
async fn an_error_that_passes_is_retried_from_the_first_unwritten_record() {
    use SinkErrorKind::Passing;
    let outside = Scripted::of([(0, Passing), (2, Passing), (0, Passing)]);
    let (mut delivery, _policy) = delivery(&outside, FAST, OnError::Skip { explicit: false });
    write(&mut delivery, &["a", "b", "c", "d"]).await.unwrap();
    assert_eq!(outside.outside().written, ["a", "b", "c", "d"]);
    let counts = delivery.counters.snapshot();
    assert_eq!(
        (counts.datums_out, counts.bytes_out, counts.lost()),
        (4, 4, 0)
    );
    assert_eq!(delivery.counters.obstacle(), None);
}

#[tokio::test]
async fn the_time_for_attempts_begins_with_the_first_failure_and_ends_with_a_success() {
    use SinkErrorKind::Passing;
    let outside = Scripted::of([(0, Passing); 1000]);
    let retry = Retry {
        max_elapsed: Some(Duration::from_millis(50)),
        ..FAST
    };
    let (mut delivery, _policy) = delivery(&outside, retry, SKIP);
    write(&mut delivery, &["a", "b"]).await.unwrap();
    let attempts = std::mem::take(&mut outside.outside().attempts);
    assert!(attempts > 2, "{attempts}");
    assert!(delivery.counters.obstacle().is_some());
    // The time is over: the next records get an attempt each batch, without a pause.
    write(&mut delivery, &["c"]).await.unwrap();
    assert_eq!(outside.outside().attempts, 1);
    outside.outside().script.clear();
    write(&mut delivery, &["d"]).await.unwrap();
    assert_eq!(outside.outside().written, ["d"]);
    assert_eq!(delivery.counters.obstacle(), None);
    outside.outside().script.push_back((0, Passing));
    write(&mut delivery, &["e"]).await.unwrap();
    let counts = delivery.counters.snapshot();
    assert_eq!(
        (counts.inputs.failed, counts.inputs.answered, counts.lost()),
        (3, 2, 0)
    );
}

#[tokio::test]
async fn a_record_that_cannot_be_written_costs_only_itself() {
    let outside = Scripted::default();
    let (mut delivery, _policy) = delivery(&outside, FAST, SKIP);
    let records = ["a", "b", "bad 1", "c", "d", "bad 2", "bad 3", "e"];
    write(&mut delivery, &records).await.unwrap();
    assert_eq!(outside.outside().written, ["a", "b", "c", "d", "e"]);
    let counts = delivery.counters.snapshot();
    assert_eq!(
        (
            counts.inputs.rejected,
            counts.inputs.answered,
            counts.lost()
        ),
        (3, 5, 0)
    );
}

#[tokio::test]
async fn without_a_policy_and_with_stop_a_permanent_error_fails_the_stage() {
    for on_error in [OnError::Skip { explicit: false }, OnError::Stop] {
        let outside = Scripted::of([(1, SinkErrorKind::Permanent)]);
        let (mut delivery, _policy) = delivery(&outside, FAST, on_error);
        let end = write(&mut delivery, &["a", "b", "c"]).await;
        let Err(End::Failed(reason)) = end else {
            panic!("{end:?}");
        };
        assert!(reason.starts_with("cannot write to outside: "), "{reason}");
        let counts = delivery.counters.snapshot().inputs;
        assert_eq!((counts.answered, counts.undelivered), (1, 2));
    }
    let outside = Scripted::of([(1, SinkErrorKind::Closed)]);
    let (mut delivery, _policy) = delivery(&outside, FAST, SKIP);
    assert_eq!(write(&mut delivery, &["a", "b"]).await, Err(End::Closed));
}

#[tokio::test]
async fn a_change_of_the_policy_ends_a_pause() {
    let outside = Scripted::of([(0, SinkErrorKind::Passing); 1000]);
    let slow = Retry {
        initial: Duration::from_hours(1),
        max: Duration::from_hours(1),
        max_elapsed: None,
    };
    let (mut delivery, policy) = delivery(&outside, slow, SKIP);
    let waits = tokio::spawn(async move { write(&mut delivery, &["a"]).await });
    while outside.outside().attempts == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let retry = Retry {
        max_elapsed: Some(Duration::ZERO),
        ..FAST
    };
    let on_error = SKIP;
    policy.send_replace(SinkPolicy { retry, on_error });
    timeout(PATIENCE, waits).await.unwrap().unwrap().unwrap();
    assert!(outside.outside().written.is_empty());
}

#[tokio::test]
async fn a_stage_that_must_end_gives_up_a_pause() {
    let outside = Scripted::of([(1, SinkErrorKind::Passing); 1000]);
    let slow = Retry {
        initial: Duration::from_hours(1),
        ..FAST
    };
    let (mut delivery, _policy) = delivery(
        &outside,
        Retry {
            max: Duration::from_hours(1),
            ..slow
        },
        SKIP,
    );
    let abandon = CancellationToken::new();
    delivery.handoff = Handoff::until(abandon.clone());
    let seen = outside.clone();
    let cancel = tokio::spawn(async move {
        while seen.outside().attempts == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        abandon.cancel();
    });
    assert_eq!(write(&mut delivery, &["a", "b"]).await, Err(End::Stopped));
    cancel.await.unwrap();
    let counts = delivery.counters.snapshot().inputs;
    assert_eq!((counts.answered, counts.undelivered), (1, 1));
}

#[tokio::test]
async fn a_failed_sync_ends_the_stage_and_is_not_retried() {
    let outside = Scripted::default();
    let (mut delivery, _policy) = delivery(&outside, FAST, SKIP);
    write(&mut delivery, &["a", "b"]).await.unwrap();
    assert_eq!(delivery.sync().await, Ok(Some(2.into())));
    for kind in [SinkErrorKind::Passing, SinkErrorKind::Permanent] {
        outside.outside().sync = Some(kind);
        outside.outside().attempts = 0;
        let end = delivery.sync().await;
        assert!(matches!(end, Err(End::Failed(_))), "{end:?}");
        assert_eq!(outside.outside().attempts, 1);
    }
    outside.outside().sync = Some(SinkErrorKind::Closed);
    assert_eq!(delivery.sync().await, Err(End::Closed));
}

fn misfits() -> [Misfit<'static>; 2] {
    [b"a", b"b"].map(|record| Misfit {
        record,
        reason: "no".to_owned(),
        code: "schema",
    })
}

#[tokio::test]
async fn records_that_do_not_fit_are_counted_by_the_policy() {
    for (on_error, lost) in [(OnError::Skip { explicit: false }, 2), (SKIP, 0)] {
        let (mut delivery, _policy) = delivery(&Scripted::default(), FAST, on_error);
        delivery.refuse(&misfits()).await.unwrap();
        let counts = delivery.counters.snapshot();
        assert_eq!((counts.inputs.invalid, counts.lost()), (2, lost));
    }
    let (mut delivery, _policy) = delivery(&Scripted::default(), FAST, OnError::Stop);
    let end = delivery.refuse(&misfits()).await;
    assert_eq!(end, Err(End::Failed("left out a record: no".to_owned())));
}
