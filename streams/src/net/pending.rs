//! Limits the number of incoming connections that have not sent a frame yet, and selects the one to close at the limit.
//! No I/O.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// The seats for connections that have not sent a frame yet.
///
/// When all seats are taken, the connection that has been silent longest loses its seat. A legitimate peer sends a
/// frame within a few round trips, so silent connections cannot lock it out.
#[derive(Debug)]
pub(super) struct Pending {
    max: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    /// Ordered by age. The token is cancelled when the seat is lost.
    taken: BTreeMap<u64, CancellationToken>,
}

/// The seat of a connection. Dropping it frees the seat.
#[derive(Debug)]
pub(super) struct Seat {
    pending: Arc<Pending>,
    number: u64,
    lost: CancellationToken,
}

/// Observes a seat.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pending: Arc<Pending>,
    number: u64,
    lost: CancellationToken,
}

impl Pending {
    /// Creates at least one seat.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            seats: Mutex::default(),
        })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of seats.
    pub(super) const fn max(&self) -> usize {
        self.max
    }

    /// Returns the number of taken seats.
    pub(super) fn len(&self) -> usize {
        self.seats().taken.len()
    }

    /// Takes a seat. If all are taken, takes the one that was taken longest ago.
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
    /// Resolves when the seat is lost, or is still taken once `time_is_up` resolves. Never resolves if the seat was
    /// given up before. Cancel safe.
    pub(super) async fn silent(&self, time_is_up: impl Future<Output = ()>) {
        tokio::select! {
            // Triggered when another connection takes the seat.
            () = self.lost.cancelled() => {}
            // Triggered when the time limit is reached.
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
        // A connection that has sent a frame holds no seat and can no longer lose it.
        drop(second);
        let _fourth = all.sit();
        assert_eq!(third.watch().silent(pending()).now_or_never(), None);
        assert_eq!(two.silent(ready(())).now_or_never(), None);
        assert_eq!(third.watch().silent(ready(())).now_or_never(), Some(()));
        drop((first, third));
        assert_eq!(all.len(), 1);
    }
}
