//! What a consumer remembers of each producer on another node while it is not connected to it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{core::Core, feed::Feed, progress::Progress};
use crate::{PeerId, queue::Source, streams::protocol::Epoch};

/// Producers that are remembered. Beyond, one that is not connected is forgotten: what was missed of it is not known then,
/// and what is sent again may come twice.
const REMEMBERED_MAX: usize = 1024;

/// How far a producer's records have been received, over all subscriptions to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    next: Option<(Epoch, u64)>,
    /// Whether the producer may have sorted datums out since the last subscription started. `next` then says too little.
    selects: bool,
}

impl Memory {
    /// A subscription starts at this place, at which the producer sorts datums out or not; how many went by unheard, as
    /// far as that can be told.
    pub(super) fn resume(&mut self, position: Option<(Epoch, u64)>, selects: bool) -> u64 {
        let known = self.next.filter(|_| !self.selects);
        let missed = match (known, position) {
            (Some((before, next)), Some((epoch, position))) if before == epoch => {
                position.saturating_sub(next)
            }
            _ => 0,
        };
        (self.next, self.selects) = (position, selects);
        missed
    }

    /// From here on the producer may sort datums out.
    pub(super) const fn selected(&mut self) {
        self.selects = true;
    }

    /// Whether the producer said where its stream was.
    pub(super) const fn is_known(&self) -> bool {
        self.next.is_some()
    }

    /// The producer's life, and the position behind the last record that was received of it.
    pub(super) const fn received(&self) -> Option<(Epoch, u64)> {
        self.next
    }

    pub(super) fn advance(&mut self, count: usize) {
        if let Some((_, next)) = &mut self.next {
            *next += count as u64;
        }
    }
}

/// What is remembered of all producers on other nodes.
#[derive(Default)]
pub(super) struct Memories(Mutex<HashMap<PeerId, Known>>);

/// What is remembered of one.
struct Known {
    feed: Arc<Feed>,
    /// `None` while it is being taken care of.
    memory: Option<Memory>,
}

/// One producer, for as long as it is being taken care of.
pub(super) struct Remembered<'a> {
    all: &'a Memories,
    peer: PeerId,
    pub(super) feed: Arc<Feed>,
    pub(super) memory: Memory,
}

impl Memories {
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes care of a producer. `new_feed` makes its feed if it is not known.
    pub(super) fn recall(&self, peer: PeerId, new_feed: impl FnOnce() -> Feed) -> Remembered<'_> {
        let mut all = self.lock();
        if all.len() >= REMEMBERED_MAX && !all.contains_key(&peer) {
            let idle = all.iter().find(|(_, known)| known.memory.is_some());
            let idle = idle.map(|(peer, _)| *peer);
            idle.and_then(|idle| all.remove(&idle));
        }
        let known = all.entry(peer).or_insert_with(|| Known {
            feed: Arc::new(new_feed()),
            memory: None,
        });
        Remembered {
            all: self,
            peer,
            feed: known.feed.clone(),
            memory: known.memory.take().unwrap_or_default(),
        }
    }

    /// Every feed.
    pub(super) fn feeds(&self) -> Vec<Arc<Feed>> {
        let all = self.lock();
        all.values().map(|known| known.feed.clone()).collect()
    }

    /// The feed of this source.
    pub(super) fn feed(&self, source: Source) -> Option<Arc<Feed>> {
        let all = self.lock();
        let mut feeds = all.values().map(|known| &known.feed);
        feeds.find(|feed| feed.source() == source).cloned()
    }

    /// What a consumer has taken of this source.
    pub(super) fn progress(&self, source: Source, core: &Core) -> Option<Arc<Progress>> {
        self.feed(source)?.progress(core)
    }
}

impl Drop for Remembered<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.all.lock().get_mut(&self.peer) {
            known.memory = Some(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn what_was_missed_is_known_within_one_life_of_the_producer() {
        let (first, second) = (Epoch([1; 16]), Epoch([2; 16]));
        let mut memory = Memory::default();
        assert_eq!(memory.resume(Some((first, 100)), false), 0);
        memory.advance(20);
        assert_eq!(memory.resume(Some((first, 125)), false), 5);
        memory.advance(1);
        assert_eq!(memory.resume(Some((first, 126)), false), 0);
        assert_eq!(memory.resume(Some((second, 9000)), false), 0);
        assert_eq!(memory.resume(None, false), 0);
    }

    #[test]
    fn what_the_producer_sorted_out_is_not_missed() {
        let epoch = Epoch([1; 16]);
        let mut memory = Memory::default();
        memory.resume(Some((epoch, 100)), false);
        memory.advance(20);
        // Others are wanted in the middle of a subscription, and then all again.
        memory.selected();
        memory.advance(3);
        assert_eq!(memory.resume(Some((epoch, 900)), false), 0);
        assert!(memory.is_known());
        // All of this subscription is heard.
        memory.advance(10);
        assert_eq!(memory.resume(Some((epoch, 915)), true), 5);
        // Of this one a part.
        memory.advance(2);
        assert_eq!(memory.resume(Some((epoch, 2000)), false), 0);
        assert_eq!(memory.resume(Some((epoch, 2001)), false), 1);
    }

    #[test]
    fn a_producer_that_comes_back_is_remembered_and_their_number_is_bounded() {
        let memories = Memories::default();
        let peer = SecretKey::generate().public();
        let mut first = memories.recall(peer, || Feed::new(7));
        first.memory.resume(Some((Epoch([1; 16]), 5)), false);
        drop(first);
        let again = memories.recall(peer, || Feed::new(8));
        assert_eq!(
            (again.feed.source(), again.memory.received()),
            (7, Some((Epoch([1; 16]), 5)))
        );
        for source in 0..REMEMBERED_MAX as u64 + 10 {
            memories.recall(SecretKey::generate().public(), || Feed::new(source));
        }
        assert_eq!(memories.lock().len(), REMEMBERED_MAX);
        assert!(memories.feed(7).is_some(), "it is in use");
    }
}
