//! The connections that have come in and have not said anything yet: how many there may be, and who goes when there are
//! more. No I/O.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// The seats for connections that have not said anything yet.
///
/// When all are taken, the one that has been silent longest loses its own: whoever means to speak does so within a few
/// round trips, so that no number of silent connections keeps it out.
#[derive(Debug)]
pub(super) struct Pending {
    max: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    /// By age; cancelled when the seat is lost.
    taken: BTreeMap<u64, CancellationToken>,
}

/// A connection's seat, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    pending: Arc<Pending>,
    number: u64,
    lost: CancellationToken,
}

/// To find out what became of a seat.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pending: Arc<Pending>,
    number: u64,
    lost: CancellationToken,
}

impl Pending {
    /// At least one seat.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            seats: Mutex::default(),
        })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many seats there are.
    pub(super) const fn max(&self) -> usize {
        self.max
    }

    /// How many seats are taken.
    pub(super) fn len(&self) -> usize {
        self.seats().taken.len()
    }

    /// Takes a seat, in the place of the one taken longest ago when there is no other.
    pub(super) fn sit(self: &Arc<Self>) -> Seat {
        let lost = CancellationToken::new();
        let mut seats = self.seats();
        let displaced = if seats.taken.len() >= self.max {
            seats.taken.pop_first()
        } else {
            None
        };
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, lost.clone());
        drop(seats);
        if let Some((_, displaced)) = displaced {
            displaced.cancel();
        }
        Seat {
            pending: self.clone(),
            number,
            lost,
        }
    }
}

impl Seat {
    pub(super) fn watch(&self) -> Watched {
        Watched {
            pending: self.pending.clone(),
            number: self.number,
            lost: self.lost.clone(),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pending.seats().taken.remove(&self.number);
    }
}

impl Watched {
    /// Resolves when the seat is lost, or still taken once `time_is_up`; never when it was given up before. Cancel safe.
    pub(super) async fn silent(&self, time_is_up: impl Future<Output = ()>) {
        tokio::select! {
            // Triggered when another connection takes the seat.
            () = self.lost.cancelled() => {}
            // Triggered when the time to speak is over.
            () = time_is_up => {
                let is_taken = self.pending.seats().taken.contains_key(&self.number);
                if !is_taken {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_one_silent_longest_makes_room() {
        let all = Pending::new(2);
        let (first, second) = (all.sit(), all.sit());
        let (one, two) = (first.watch(), second.watch());
        assert_eq!(one.silent(pending()).now_or_never(), None);
        let third = all.sit();
        assert_eq!(
            (all.len(), one.silent(pending()).now_or_never()),
            (2, Some(()))
        );
        assert_eq!(two.silent(pending()).now_or_never(), None);
        // Whoever has spoken is in nobody's way, and loses nothing any more.
        drop(second);
        let _fourth = all.sit();
        assert_eq!(third.watch().silent(pending()).now_or_never(), None);
        assert_eq!(two.silent(ready(())).now_or_never(), None);
        assert_eq!(third.watch().silent(ready(())).now_or_never(), Some(()));
        drop((first, third));
        assert_eq!(all.len(), 1);
    }
}
