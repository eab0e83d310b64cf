//! [`Problem`]: configuration mistakes detected in contact with other nodes. Each is logged once. No I/O.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::store::Refusal;
use crate::PeerId;

/// The maximum number of remembered problems. Further ones are not reported.
const PROBLEMS_MAX: usize = 64;
/// The time for which a problem counts as current after it was last seen.
const CURRENT_FOR: Duration = Duration::from_mins(2);
/// The minimum time between two warnings about the same problem.
const QUIET_FOR: Duration = Duration::from_mins(10);

/// A configuration mistake, detected in contact with another node. Formats as a sentence that names the setting to
/// change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// Another running node has this node's secret key.
    OwnKeyShared,
    /// Two running nodes have this peer's secret key.
    KeyShared(PeerId),
    /// A configured node has another id.
    WrongId {
        /// The dialled address.
        addr: SocketAddr,
        /// The configured id.
        expected: PeerId,
        /// The actual id, unproven.
        found: PeerId,
    },
    /// A configured node belongs to another network.
    OtherNetwork(PeerId),
    /// A node of another network dialled this one.
    Foreign(PeerId),
    /// The entry of a node that dialled this one was refused, so it is not in the catalog.
    Refused(PeerId, Refusal),
}

impl Problem {
    /// Returns the node concerned, unless it is this one.
    pub const fn peer(&self) -> Option<PeerId> {
        match self {
            Self::OwnKeyShared => None,
            Self::KeyShared(peer)
            | Self::OtherNetwork(peer)
            | Self::Foreign(peer)
            | Self::Refused(peer, _) => Some(*peer),
            Self::WrongId { expected, .. } => Some(*expected),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnKeyShared => f.write_str(
                "another running node has this node's secret key; give each node a key of its own",
            ),
            Self::KeyShared(peer) => write!(
                f,
                "two running nodes have the secret key of {peer}; give each node a key of its own"
            ),
            Self::WrongId {
                addr,
                expected,
                found,
            } => write!(
                f,
                "the node at {addr} is {found}, not {expected}; correct the id in `bootstrap`"
            ),
            Self::OtherNetwork(peer) => write!(
                f,
                "bootstrap node {peer} is on another network; give both nodes the same `network` name"
            ),
            Self::Foreign(peer) => write!(
                f,
                "node {peer} of another network dialled this one; if it belongs here, give both the same `network` name"
            ),
            Self::Refused(peer, refusal @ (Refusal::Stale | Refusal::FutureDated)) => write!(
                f,
                "the entry of {peer} is refused because {refusal}; set the clock of that node or of this one"
            ),
            Self::Refused(peer, refusal) => {
                write!(f, "the entry of {peer} is refused because {refusal}")
            }
        }
    }
}

/// The problems of a node, at most [`PROBLEMS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Problems(BTreeMap<Problem, Noted>);

#[derive(Debug, Clone, Copy)]
struct Noted {
    seen: Option<Instant>,
    warned: Instant,
}

impl Problems {
    /// Notes that a problem was seen. Returns true if a warning is due.
    pub(super) fn note(&mut self, problem: Problem, now: Instant) -> bool {
        if let Some(noted) = self.0.get_mut(&problem) {
            let is_news = !noted.is_current(now) && now.duration_since(noted.warned) >= QUIET_FOR;
            noted.seen = Some(now);
            if is_news {
                noted.warned = now;
            }
            return is_news;
        }
        if self.0.len() >= PROBLEMS_MAX {
            self.0.retain(|_, noted| noted.is_current(now));
        }
        if self.0.len() >= PROBLEMS_MAX {
            return false;
        }
        let (seen, warned) = (Some(now), now);
        self.0.insert(problem, Noted { seen, warned });
        true
    }

    /// Notes that a peer was added to the catalog over a direct connection.
    pub(super) fn reached(&mut self, peer: &PeerId) {
        for (problem, noted) in &mut self.0 {
            let is_over = match problem {
                Problem::WrongId { expected, .. } => expected == peer,
                Problem::OtherNetwork(other)
                | Problem::Foreign(other)
                | Problem::Refused(other, _) => other == peer,
                Problem::OwnKeyShared | Problem::KeyShared(_) => false,
            };
            if is_over {
                noted.seen = None;
            }
        }
    }

    /// Returns the current problems.
    pub(super) fn current(&self, now: Instant) -> Vec<Problem> {
        let current = self.0.iter().filter(|(_, noted)| noted.is_current(now));
        current.map(|(problem, _)| *problem).collect()
    }
}

impl Noted {
    fn is_current(&self, now: Instant) -> bool {
        self.seen
            .is_some_and(|seen| now.saturating_duration_since(seen) < CURRENT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn a_problem_is_warned_of_once_and_current_until_it_is_over() {
        let start = Instant::now();
        let peer = SecretKey::generate().public();
        let problem = Problem::OtherNetwork(peer);
        let mut problems = Problems::default();
        assert!(problems.note(problem, start));
        assert!(!problems.note(problem, start + CURRENT_FOR));
        assert_eq!(problems.current(start + CURRENT_FOR), [problem]);
        problems.reached(&peer);
        assert_eq!(problems.current(start + CURRENT_FOR), []);
        assert!(
            !problems.note(problem, start + CURRENT_FOR),
            "so soon again"
        );
        assert!(problems.note(problem, start + QUIET_FOR + CURRENT_FOR));
        assert_eq!(problems.current(start + QUIET_FOR * 9), []);
    }

    #[test]
    fn only_so_many_are_remembered_and_old_ones_make_room() {
        let start = Instant::now();
        let mut problems = Problems::default();
        let mut stranger = |at| problems.note(Problem::Foreign(SecretKey::generate().public()), at);
        assert!((0..PROBLEMS_MAX).all(|_| stranger(start)));
        assert!(!stranger(start));
        assert!(stranger(start + CURRENT_FOR));
        assert_eq!(problems.0.len(), 1);
    }
}
