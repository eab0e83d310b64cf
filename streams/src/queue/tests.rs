//! A queue keeps order and its bounds, whatever is done with it.

use std::convert::Infallible;

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
        steps in prop::collection::vec((0u32..3, 1u32..2000, 1usize..3000), 1..40),
        max_count in 1usize..2000, max_bytes in 1usize..20_000,
    ) {
        let queue = Queue::new(max_count, max_bytes);
        let (mut next, mut seen) = (0, Vec::new());
        for (what, amount, max_take) in steps {
            match what {
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
    // Those who hold room, one after the other, and send nothing more.
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
