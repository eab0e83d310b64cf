//! [`Order`]: lets several that work side by side hand on what they made in the order in which it came.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// Hands out turns, and lets them come one after the other.
#[derive(Debug)]
pub(super) struct Order {
    drawn: u64,
    over: Arc<Over>,
}

/// The turns that are over.
#[derive(Debug)]
struct Over {
    /// The first that is not.
    first: watch::Sender<u64>,
    /// Those after it that are, given up before they came.
    later: Mutex<BTreeSet<u64>>,
}

/// A place in the order. Dropping it lets the next turn come.
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

    /// The turn after all that were drawn before.
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
        // An error is impossible while this turn holds the sender.
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
    fn turns_come_in_the_order_they_were_drawn_whichever_is_over_first() {
        let mut order = Order::new();
        let (first, second, third) = (order.draw(), order.draw(), order.draw());
        let has_come = |turn: &Turn| turn.comes().now_or_never().is_some();
        assert!(has_come(&first) && !has_come(&second) && !has_come(&third));
        // One that fails gives its turn up before it comes.
        drop(second);
        assert!(!has_come(&third));
        drop(first);
        assert!(has_come(&third));
        drop(third);
        assert!(has_come(&order.draw()));
    }
}
