//! A queue keeps order and bounds under all operations.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::FutureExt;
use proptest::prelude::*;

use super::*;

fn numbered(range: std::ops::Range<u32>) -> Frames {
    range.map(u32::to_be_bytes).collect()
}

fn numbers(frames: &Frames) -> Vec<u32> {
    frames
        .iter()
        .map(|datum| u32::from_be_bytes(datum.try_into().unwrap()))
        .collect()
}

proptest! {
    #[test]
    fn order_and_bounds_hold_whatever_is_done(
        steps in prop::collection::vec((0u32..5, 1u32..2000, 1usize..3000), 1..60),
        max_count in 1usize..2000, max_bytes in 1usize..20_000,
    ) {
        let queue = Queue::new(max_count, max_bytes);
        let (mut next, mut seen) = (0, Vec::new());
        let (mut put, mut discarded) = (Vec::new(), 0);
        for (what, amount, max_take) in steps {
            match what {
                3 => {
                    queue.put_mark(u64::from(next)).unwrap();
                    put.push(next as usize);
                }
                4 => match queue.try_take_item(max_take) {
                    Some(Item::Batch(_, frames)) => {
                        prop_assert!(frames.count() <= max_take);
                        seen.extend(numbers(&frames));
                        prop_assert!(put[discarded..].first().is_none_or(|mark| *mark >= seen.len()));
                    }
                    Some(Item::Mark(mark)) => {
                        prop_assert_eq!((mark, put[discarded]), (seen.len() as u64, seen.len()));
                        discarded += 1;
                    }
                    None => {}
                },
                0 => {
                    let mut frames = numbered(next..next + amount);
                    queue.put(1, &mut frames).unwrap();
                    next += amount - u32::try_from(frames.count()).unwrap();
                }
                1 => {
                    let datum = next.to_be_bytes();
                    let put = queue.put_datum(false, 4, |bytes| {
                        bytes.extend_from_slice(&datum);
                        Ok::<_, Infallible>(())
                    });
                    next += u32::from(put.is_ok());
                }
                _ => {
                    discarded = put.iter().filter(|mark| **mark <= seen.len()).count();
                    if let Some((_, frames)) = queue.try_take(max_take) {
                        prop_assert!(frames.count() <= max_take);
                        seen.extend(numbers(&frames));
                    }
                }
            }
            let (count, bytes) = queue.held();
            prop_assert!(count <= max_count && (bytes <= max_bytes + 8 || count == 1));
            prop_assert_eq!(count + seen.len(), next as usize);
        }
        queue.close();
        let all = queue.take_all().now_or_never().unwrap().unwrap_or_default();
        for chunk in all.batches {
            seen.extend(numbers(&Frames::from_wire(chunk, 4).unwrap()));
        }
        prop_assert_eq!(seen, (0..next).collect::<Vec<_>>());
    }
}

#[test]
fn a_datum_larger_than_the_bound_enters_an_empty_queue_alone() {
    let queue = Queue::new(10, 8);
    let mut frames: Frames = [vec![1; 100], vec![2; 100]].iter().collect();
    queue.put(0, &mut frames).unwrap();
    assert_eq!((queue.held().0, frames.count()), (1, 1));
    assert!(queue.room_for(1).now_or_never().is_none());
    assert_eq!(queue.try_take(9).unwrap().1.count(), 1);
    assert_eq!(queue.room_for(1).now_or_never(), Some(Ok(())));
}

#[test]
fn batches_of_different_sources_are_not_joined() {
    let queue = Queue::new(10, 1000);
    for source in [1, 1, 2] {
        queue.put(source, &mut numbered(0..1)).unwrap();
    }
    let taken: Vec<_> = std::iter::from_fn(|| queue.try_take(9))
        .map(|(s, f)| (s, f.count()))
        .collect();
    assert_eq!(taken, [(1, 2), (2, 1)]);
}

#[test]
fn reserved_room_is_there_for_who_reserved_it() {
    let queue = Queue::new(2, 1000);
    for _ in 0..2 {
        assert_eq!(queue.reserve().now_or_never(), Some(Ok(())));
    }
    assert!(queue.reserve().now_or_never().is_none());
    let mut frames = numbered(0..1);
    queue.put(0, &mut frames).unwrap();
    assert_eq!(frames.count(), 1);
    assert!(
        queue
            .put_datum(true, 9, |_| Ok::<_, Infallible>(()))
            .is_ok()
    );
    queue.release();
    queue.put(0, &mut frames).unwrap();
    assert!(frames.is_empty());
}

#[test]
fn a_datum_that_is_too_large_leaves_no_trace() {
    let queue = Queue::new(2, 1000);
    let write = |bytes: &mut BytesMut| {
        bytes.extend_from_slice(b"12345");
        Ok::<_, Infallible>(())
    };
    assert!(matches!(
        queue.put_datum(false, 4, write),
        Err(PutError::TooLarge)
    ));
    assert_eq!(queue.held(), (0, 0));
    assert!(queue.put_datum(false, 5, write).is_ok());
}

#[test]
fn closing_lets_out_what_is_in_and_abandoning_does_not() {
    let queue = Queue::new(10, 1000);
    queue.put(0, &mut numbered(0..3)).unwrap();
    queue.close();
    assert_eq!(queue.put(0, &mut numbered(0..1)), Err(Closed));
    assert_eq!(queue.taken(3).now_or_never(), None);
    assert_eq!(queue.try_take(2).unwrap().1.count(), 2);
    assert_eq!(queue.abandon(), 1);
    assert_eq!(queue.taken(3).now_or_never(), Some(()));
    assert!(queue.take_all().now_or_never().unwrap().is_none());
}

#[test]
fn room_for_the_next_one_is_kept_while_there_is_more_than_enough() {
    let queue = Queue::new(8, 1000);
    let put = |reserved| {
        queue
            .put_datum(reserved, 9, |bytes| {
                bytes.extend_from_slice(b"x");
                Ok::<_, Infallible>(())
            })
            .unwrap()
    };
    assert!(!put(false), "nothing was kept for it before");
    // Handles that hold reserved room, one after the other, and send nothing more.
    let mut kept = 0;
    while queue.try_reserve() {
        if !put(true) {
            break;
        }
        kept += 1;
    }
    assert!(kept > 0);
    queue.try_take(usize::MAX);
    let (mut free, taken) = (0, queue.held().0);
    while queue.try_reserve() {
        free += 1;
    }
    assert_eq!(taken, 0);
    assert!(
        free >= 4,
        "{free} of 8 are left for others, {kept} are kept"
    );
}

/// The target of a bypass, and the counts reported to it.
#[derive(Debug)]
struct Onward {
    queue: Queue,
    passed: AtomicU64,
}

impl Next for Onward {
    fn queue(&self) -> &Queue {
        &self.queue
    }

    fn source(&self) -> Source {
        7
    }

    fn passed(&self, count: usize, len: usize) {
        assert_eq!(len, count * 4, "of bytes without headers");
        self.passed.fetch_add(count as u64, Ordering::Relaxed);
    }
}

fn onward(max_count: usize) -> Arc<Onward> {
    Arc::new(Onward {
        queue: Queue::new(max_count, 1 << 20),
        passed: AtomicU64::new(0),
    })
}

/// Too large to be merged.
const LARGE: u32 = 600;

proptest! {
    /// As used by a producer and its worker.
    #[test]
    fn nothing_overtakes_and_nothing_is_lost_where_batches_cut_through(
        steps in prop::collection::vec((0u32..6, 1u32..2 * LARGE), 1..60),
        (max_count, next_max_count) in (1usize..4000, 1usize..4000),
    ) {
        let (queue, next) = (Queue::new(max_count, 1 << 20), onward(next_max_count));
        let (mut sent, mut passed, mut moved, mut seen) = (0, 0, 0, Vec::new());
        // Records that the worker has taken and the next queue has no room for yet.
        let mut rest = Frames::default();
        for (what, amount) in steps {
            match what {
                0 => {
                    let mut frames = numbered(sent..sent + amount);
                    queue.put(0, &mut frames).unwrap();
                    sent += amount - u32::try_from(frames.count()).unwrap();
                }
                1 => if queue.put_whole(0, &numbered(sent..sent + amount)).unwrap() {
                    sent += amount;
                },
                2 => {
                    let datum = sent.to_be_bytes();
                    let put = queue.put_datum(false, 4, |bytes| {
                        bytes.extend_from_slice(&datum);
                        Ok::<_, Infallible>(())
                    });
                    sent += u32::from(put.is_ok());
                }
                // The worker goes to sleep and wakes up.
                3 if rest.is_empty() => queue.start_bypass(next.clone()),
                4 => {
                    passed += queue.suspend_bypass();
                    if rest.is_empty() && let Some((_, frames)) = queue.try_take(usize::MAX) {
                        moved += frames.count() as u64;
                        rest = frames;
                    }
                    next.queue.put(7, &mut rest).unwrap();
                }
                _ => if let Some((source, frames)) = next.queue.try_take(usize::MAX) {
                    prop_assert_eq!(source, 7);
                    seen.extend(numbers(&frames));
                },
            }
            prop_assert!(queue.held().0 <= max_count.max(2 * LARGE as usize));
            prop_assert_eq!(queue.put_so_far().0, u64::from(sent));
        }
        passed += queue.suspend_bypass();
        prop_assert_eq!(next.passed.load(Ordering::Relaxed), passed);
        prop_assert_eq!(u64::from(sent), passed + moved + queue.held().0 as u64);
        while let Some((_, frames)) = next.queue.try_take(usize::MAX) {
            seen.extend(numbers(&frames));
            next.queue.put(7, &mut rest).unwrap();
        }
        seen.extend(numbers(&rest));
        while let Some((_, frames)) = queue.try_take(usize::MAX) {
            seen.extend(numbers(&frames));
        }
        prop_assert_eq!(seen, (0..sent).collect::<Vec<_>>());
    }
}

#[test]
fn large_batches_cut_through_and_small_ones_are_gathered() {
    let (queue, next) = (Queue::new(10_000, 1 << 20), onward(1000));
    queue.start_bypass(next.clone());
    queue.put(0, &mut numbered(0..LARGE)).unwrap();
    assert_eq!((queue.held().0, next.queue.held().0), (0, 600));
    // The next queue has room for 400 of these.
    let mut frames = numbered(LARGE..2 * LARGE);
    queue.put(0, &mut frames).unwrap();
    assert!(frames.is_empty());
    assert_eq!((queue.held().0, next.queue.held().0), (200, 1000));
    assert_eq!(queue.suspend_bypass(), 1000);
    assert_eq!(queue.suspend_bypass(), 0, "they were counted");

    next.queue.try_take(usize::MAX);
    queue.start_bypass(next.clone());
    queue.put(0, &mut numbered(0..LARGE)).unwrap();
    assert_eq!(queue.held().0, 800, "what is held goes first");
    while queue.try_take(usize::MAX).is_some() {}
    queue.start_bypass(next);
    queue.put(0, &mut numbered(0..1)).unwrap();
    queue.put(0, &mut numbered(1..LARGE)).unwrap();
    assert_eq!(queue.held().0, 600);
}

#[test]
fn a_next_queue_that_is_closed_takes_nothing() {
    let (queue, next) = (Queue::new(10_000, 1 << 20), onward(10_000));
    queue.start_bypass(next.clone());
    next.queue.close();
    queue.put(0, &mut numbered(0..LARGE)).unwrap();
    assert_eq!((queue.held().0, queue.suspend_bypass()), (600, 0));
    assert_eq!(queue.put_whole(0, &numbered(0..LARGE)), Ok(true));
    assert_eq!(queue.held().0, 1200);
}
