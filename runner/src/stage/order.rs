//! [`Order`]: makes concurrent workers hand on their output in the order of their input.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// Issues turns and releases them one after the other.
#[derive(Debug)]
pub(super) struct Order {
    drawn: u64,
    over: Arc<Over>,
}

/// The turns that are over.
#[derive(Debug)]
struct Over {
    /// The first turn that is not over.
    first: watch::Sender<u64>,
    /// Later turns that are already over, because they were given up before they came.
    later: Mutex<BTreeSet<u64>>,
}

/// A position in the order. Dropping it releases the next turn.
#[derive(Debug)]
pub(super) struct Turn {
    number: u64,
    over: Arc<Over>,
}

impl Order {
    pub(super) fn new() -> Self {
        let over = Over {
            first: watch::Sender::new(0),
            later: Mutex::default(),
        };
        Self {
            drawn: 0,
            over: Arc::new(over),
        }
    }

    /// Returns the turn after all those issued before.
    pub(super) fn draw(&mut self) -> Turn {
        let number = self.drawn;
        self.drawn += 1;
        Turn {
            number,
            over: self.over.clone(),
        }
    }
}

impl Turn {
    /// Waits until all turns before this one are over. Cancel safe.
    pub(super) async fn comes(&self) {
        let mut first = self.over.first.subscribe();
        // The channel cannot close while this turn holds the sender.
        let _ = first.wait_for(|first| *first >= self.number).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let later = self.over.later.lock();
        let mut later = later.unwrap_or_else(PoisonError::into_inner);
        later.insert(self.number);
        self.over.first.send_if_modified(|first| {
            let before = *first;
            while later.remove(first) {
                *first += 1;
            }
            *first != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn turns_keep_their_order_regardless_of_completion() {
        let mut order = Order::new();
        let (first, second, third) = (order.draw(), order.draw(), order.draw());
        let has_come = |turn: &Turn| turn.comes().now_or_never().is_some();
        assert!(has_come(&first) && !has_come(&second) && !has_come(&third));
        // A worker that fails gives up its turn before it comes.
        drop(second);
        assert!(!has_come(&third));
        drop(first);
        assert!(has_come(&third));
        drop(third);
        assert!(has_come(&order.draw()));
    }
}
