//! The policy for subscribers that do not keep up. No I/O.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::PeerId;

/// The maximum number of peers whose penalties are remembered. At the limit, the oldest penalty is forgotten.
const REMEMBERED_MAX: usize = 1024;
/// The first penalty of a peer that was disconnected for lagging. Doubles each time.
const FIRST_PENALTY: Duration = Duration::from_secs(1);
/// The maximum penalty.
const LONGEST_PENALTY: Duration = Duration::from_mins(1);
/// The time after a penalty without another disconnection, after which the next one starts at [`FIRST_PENALTY`].
const FORGIVEN_AFTER: Duration = Duration::from_mins(2);

/// The policy for remote subscribers whose queue is full. The producer always waits for consumers on its own node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DisconnectLagging {
    /// Neither disconnects nor waits: the subscriber misses the records that do not fit. Also `false`.
    Never,
    /// Disconnects a subscriber as soon as its queue is full. Also `true`; the default.
    #[default]
    AtOnce,
    /// Waits for subscribers, up to this total duration for the whole stream. The budget refills at a tenth of real
    /// time. When it is used up, the subscribers waited for are disconnected, and refused for 1 s to 60 s, longer each
    /// time.
    After(Duration),
    /// Waits without limit: the subscriber holds up the stream.
    Wait,
}

impl From<bool> for DisconnectLagging {
    fn from(at_once: bool) -> Self {
        if at_once { Self::AtOnce } else { Self::Never }
    }
}

impl From<Duration> for DisconnectLagging {
    fn from(budget: Duration) -> Self {
        Self::After(budget)
    }
}

/// The time that a stream may spend waiting.
#[derive(Debug)]
pub(super) struct Budget {
    most: Duration,
    left: Duration,
    counted_at: Instant,
}

impl Budget {
    pub(super) fn new(most: Duration, now: Instant) -> Self {
        Self {
            most,
            left: most,
            counted_at: now,
        }
    }

    /// Replaces the budget if the policy has changed, otherwise keeps it.
    pub(super) fn keep(budget: &mut Option<Self>, policy: DisconnectLagging, now: Instant) {
        match policy {
            DisconnectLagging::After(most) if budget.as_ref().is_none_or(|b| b.most != most) => {
                *budget = Some(Self::new(most, now));
            }
            DisconnectLagging::After(_) => {}
            _ => *budget = None,
        }
    }

    /// Returns the budget that is left, and refills it for the time since the last call.
    pub(super) fn left(&mut self, now: Instant) -> Duration {
        let refill = now.saturating_duration_since(self.counted_at) / 10;
        self.counted_at = now;
        self.left = self.left.saturating_add(refill).min(self.most);
        self.left
    }

    /// Takes the waiting time from `since` to `now` out of the budget.
    pub(super) fn spend(&mut self, since: Instant, now: Instant) {
        self.left = self
            .left
            .saturating_sub(now.saturating_duration_since(since));
        self.counted_at = now;
    }
}

/// The peers that were disconnected for lagging, and the ends of their penalties.
#[derive(Debug, Default)]
pub(super) struct Penalties(HashMap<PeerId, Penalty>);

#[derive(Debug)]
struct Penalty {
    length: Duration,
    until: Instant,
}

impl Penalties {
    pub(super) fn add(&mut self, peer: PeerId, now: Instant) {
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(&peer) {
            let oldest = self
                .0
                .iter()
                .min_by_key(|(_, penalty)| penalty.until)
                .map(|(peer, _)| *peer);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        let before = self
            .0
            .get(&peer)
            .filter(|penalty| penalty.until + FORGIVEN_AFTER > now);
        let length = before.map_or(FIRST_PENALTY, |penalty| {
            (penalty.length * 2).min(LONGEST_PENALTY)
        });
        self.0.insert(
            peer,
            Penalty {
                length,
                until: now + length,
            },
        );
    }

    pub(super) fn is_out(&self, peer: &PeerId, now: Instant) -> bool {
        self.0.get(peer).is_some_and(|penalty| penalty.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_budget_is_spent_and_refills_at_a_tenth() {
        let start = Instant::now();
        let mut budget = Budget::new(5 * SECOND, start);
        assert_eq!(budget.left(start + 9 * SECOND), 5 * SECOND);
        budget.spend(start + 9 * SECOND, start + 13 * SECOND);
        assert_eq!(budget.left(start + 13 * SECOND), SECOND);
        assert_eq!(budget.left(start + 23 * SECOND), 2 * SECOND);
        budget.spend(start + 23 * SECOND, start + 30 * SECOND);
        assert_eq!(budget.left(start + 30 * SECOND), Duration::ZERO);
        assert_eq!(budget.left(start + 300 * SECOND), 5 * SECOND);
    }

    #[test]
    fn a_budget_is_kept_while_its_policy_is() {
        use DisconnectLagging::{After, AtOnce, Never, Wait};
        let start = Instant::now();
        let (mut budget, spent) = (None, start + SECOND);
        for other in [AtOnce, Never, Wait] {
            Budget::keep(&mut budget, After(5 * SECOND), start);
            budget.as_mut().unwrap().spend(start, spent);
            Budget::keep(&mut budget, After(5 * SECOND), spent);
            assert_eq!(budget.as_mut().unwrap().left(spent), 4 * SECOND);
            Budget::keep(&mut budget, After(9 * SECOND), spent);
            assert_eq!(budget.as_mut().unwrap().left(spent), 9 * SECOND);
            Budget::keep(&mut budget, other, spent);
            assert!(budget.is_none());
        }
    }

    #[test]
    fn penalties_grow_end_and_are_forgiven() {
        let (peer, start) = (SecretKey::generate().public(), Instant::now());
        let mut penalties = Penalties::default();
        assert!(!penalties.is_out(&peer, start));
        penalties.add(peer, start);
        assert!(penalties.is_out(&peer, start) && !penalties.is_out(&peer, start + SECOND));
        penalties.add(peer, start + SECOND);
        assert!(
            penalties.is_out(&peer, start + 2 * SECOND)
                && !penalties.is_out(&peer, start + 3 * SECOND)
        );
        penalties.add(peer, start + 200 * SECOND);
        assert!(!penalties.is_out(&peer, start + 201 * SECOND));
    }

    #[test]
    fn no_more_than_so_many_peers_are_remembered() {
        let (mut penalties, start) = (Penalties::default(), Instant::now());
        for _ in 0..REMEMBERED_MAX + 3 {
            penalties.add(SecretKey::generate().public(), start);
        }
        assert_eq!(penalties.0.len(), REMEMBERED_MAX);
    }
}
