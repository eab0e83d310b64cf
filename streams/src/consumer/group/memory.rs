//! The state that a consumer retains about each remote producer across connections.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{core::Core, feed::Feed, progress::Progress};
use crate::{
    PeerId,
    channel::{protocol::Epoch, queue::Source},
};

/// The maximum number of remembered producers. At the limit, one that is not connected is forgotten: records missed in
/// between are then not counted, and records that are sent again may be received twice.
const REMEMBERED_MAX: usize = 1024;

/// The position up to which a producer's records have been received, across all subscriptions to it.
#[derive(Debug, Clone, Default)]
pub(in crate::consumer) struct Memory {
    next: Option<(Epoch, u64)>,
    /// True if the producer may have filtered out records since the last subscription started. `next` is then too low.
    selects: bool,
}

impl Memory {
    /// What is known of a producer of an earlier process: the position in the log of a durable stream.
    pub(in crate::consumer) const fn at(log: Epoch, position: u64) -> Self {
        Self {
            next: Some((log, position)),
            selects: false,
        }
    }

    /// Starts a subscription at `position`. `selects` says that the producer filters. Returns the number of records
    /// that were missed since the last subscription, 0 if it is not known.
    pub(in crate::consumer) fn resume(
        &mut self,
        position: Option<(Epoch, u64)>,
        selects: bool,
    ) -> u64 {
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

    /// Notes that the producer may filter out records from now on.
    pub(in crate::consumer) const fn selected(&mut self) {
        self.selects = true;
    }

    /// Returns true if the producer announced its position.
    pub(in crate::consumer) const fn is_known(&self) -> bool {
        self.next.is_some()
    }

    /// The producer's incarnation, and the position after the last record received from it.
    pub(in crate::consumer) const fn received(&self) -> Option<(Epoch, u64)> {
        self.next
    }

    pub(in crate::consumer) fn advance(&mut self, count: usize) {
        if let Some((_, next)) = &mut self.next {
            *next += count as u64;
        }
    }
}

/// The memories of all remote producers.
#[derive(Default)]
pub(in crate::consumer) struct Memories(Mutex<HashMap<PeerId, Known>>);

/// The memory of one producer.
struct Known {
    feed: Arc<Feed>,
    /// `None` while a receiver uses it.
    memory: Option<Memory>,
}

/// The memory of one producer while a receiver uses it. Dropping it puts the memory back.
pub(in crate::consumer) struct Remembered<'a> {
    all: &'a Memories,
    peer: PeerId,
    pub(in crate::consumer) feed: Arc<Feed>,
    pub(in crate::consumer) memory: Memory,
}

impl Memories {
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the memory of a producer out for use. `new_feed` creates the feed of an unknown producer, whose memory is
    /// `new_memory`.
    pub(in crate::consumer) fn recall(
        &self,
        peer: PeerId,
        new_feed: impl FnOnce() -> Feed,
        new_memory: Memory,
    ) -> Remembered<'_> {
        let mut all = self.lock();
        if all.len() >= REMEMBERED_MAX && !all.contains_key(&peer) {
            let idle = all.iter().find(|(_, known)| known.memory.is_some());
            let idle = idle.map(|(peer, _)| *peer);
            idle.and_then(|idle| all.remove(&idle));
        }
        let known = all.entry(peer).or_insert_with(|| Known {
            feed: Arc::new(new_feed()),
            memory: Some(new_memory),
        });
        Remembered {
            all: self,
            peer,
            feed: known.feed.clone(),
            memory: known.memory.take().unwrap_or_default(),
        }
    }

    /// Returns every feed.
    pub(in crate::consumer) fn feeds(&self) -> Vec<Arc<Feed>> {
        let all = self.lock();
        all.values().map(|known| known.feed.clone()).collect()
    }

    /// Returns the feed of a source.
    pub(in crate::consumer) fn feed(&self, source: Source) -> Option<Arc<Feed>> {
        let all = self.lock();
        let mut feeds = all.values().map(|known| &known.feed);
        feeds.find(|feed| feed.source() == source).cloned()
    }

    /// Returns a consumer's progress on a source.
    pub(in crate::consumer) fn progress(
        &self,
        source: Source,
        core: &Core,
    ) -> Option<Arc<Progress>> {
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
        // The criteria change during a subscription, and then select every record again.
        memory.selected();
        memory.advance(3);
        assert_eq!(memory.resume(Some((epoch, 900)), false), 0);
        assert!(memory.is_known());
        // All records of this subscription are received.
        memory.advance(10);
        assert_eq!(memory.resume(Some((epoch, 915)), true), 5);
        // Some records of this one.
        memory.advance(2);
        assert_eq!(memory.resume(Some((epoch, 2000)), false), 0);
        assert_eq!(memory.resume(Some((epoch, 2001)), false), 1);
    }

    #[test]
    fn a_producer_that_comes_back_is_remembered_and_their_number_is_bounded() {
        let memories = Memories::default();
        let peer = SecretKey::generate().public();
        let mut first = memories.recall(peer, || Feed::new(7, peer), Memory::default());
        first.memory.resume(Some((Epoch([1; 16]), 5)), false);
        drop(first);
        let again = memories.recall(peer, || Feed::new(8, peer), Memory::default());
        assert_eq!(
            (again.feed.source(), again.memory.received()),
            (7, Some((Epoch([1; 16]), 5)))
        );
        for source in 0..REMEMBERED_MAX as u64 + 10 {
            let peer = SecretKey::generate().public();
            memories.recall(peer, || Feed::new(source, peer), Memory::default());
        }
        assert_eq!(memories.lock().len(), REMEMBERED_MAX);
        assert!(memories.feed(7).is_some(), "it is in use");
    }
}
