//! One channel: a producer and a consumer that are, or are about to be, connected.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::Stats;
use crate::{Criteria, PeerId, StreamId, discovery::PeerEntry};

/// A peer that has acknowledged nothing for this long, though something was sent to it, is silent: 2 s.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(2);

/// How far a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Dialling, or waiting to be admitted.
    Connecting,
    /// Datums flow when there are any.
    Connected,
    /// Over; it does not come back, though its successor may.
    Terminated,
}

/// Tells channels of one process apart, and what stands for several of them; never used twice.
pub(crate) fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One channel, as either side sees it. Clones show the same, live.
#[derive(Debug, Clone)]
pub struct ChannelInfo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    generation: u64,
    stream_id: StreamId,
    criteria: Criteria,
    producer_id: PeerId,
    consumer_id: PeerId,
    peer: PeerEntry,
    stats: Stats,
    state: watch::Receiver<State>,
    /// Since when the peer is known to be silent.
    silent: Mutex<Option<Instant>>,
    consumers: AtomicU16,
}

/// The side of a channel that knows how it is. When it is dropped the channel is terminated.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) info: ChannelInfo,
    state: watch::Sender<State>,
}

impl Channel {
    pub(crate) fn new(
        stream_id: StreamId,
        criteria: Criteria,
        (producer_id, consumer_id): (PeerId, PeerId),
        peer: PeerEntry,
        state: State,
    ) -> Self {
        let counts = Stats::new();
        counts.set_connected(state == State::Connected);
        let (state, watcher) = watch::channel(state);
        let inner = Inner {
            generation: next_generation(),
            stream_id,
            criteria,
            producer_id,
            consumer_id,
            peer,
            stats: counts,
            state: watcher,
            silent: Mutex::default(),
            consumers: AtomicU16::new(1),
        };
        Self {
            info: ChannelInfo(Arc::new(inner)),
            state,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.info.0.generation
    }

    /// The peer does not acknowledge what is sent to it, or does again.
    pub(crate) fn set_silent(&self, is_silent: bool) {
        *self.info.silent() = is_silent.then(Instant::now);
    }

    /// So many consumers of the peer share it.
    pub(crate) fn set_consumers(&self, consumers: u16) {
        self.info.0.consumers.store(consumers, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, state: State) {
        self.info.0.stats.set_connected(state == State::Connected);
        self.state.send_replace(state);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.set(State::Terminated);
    }
}

impl ChannelInfo {
    /// Tells it from every other channel of this process, before and after it.
    pub fn number(&self) -> u64 {
        self.0.generation
    }

    /// The stream.
    pub fn stream_id(&self) -> &StreamId {
        &self.0.stream_id
    }

    /// What the consumer wants.
    pub fn criteria(&self) -> &Criteria {
        &self.0.criteria
    }

    /// The node that produces.
    pub fn producer_id(&self) -> &PeerId {
        &self.0.producer_id
    }

    /// The node that consumes.
    pub fn consumer_id(&self) -> &PeerId {
        &self.0.consumer_id
    }

    /// The other side as it was known when the channel was made; this node itself on a channel within it.
    pub fn peer(&self) -> &PeerEntry {
        &self.0.peer
    }

    /// Whether both sides are this node.
    pub fn is_local(&self) -> bool {
        self.0.producer_id == self.0.consumer_id
    }

    /// How far it is now.
    pub fn state(&self) -> State {
        *self.0.state.borrow()
    }

    /// To follow how far it is.
    pub fn state_watcher(&self) -> &watch::Receiver<State> {
        &self.0.state
    }

    /// What has gone over it.
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Whether datums flow when there are any.
    pub fn is_connected(&self) -> bool {
        self.state() == State::Connected
    }

    /// Whether the other side has acknowledged nothing for 2 s though data was sent to it: its process is stopped, or the
    /// network is cut. The connection stands until QUIC gives it up, and the channel does not count for being online. Known
    /// of consumers on other nodes.
    pub fn is_silent(&self) -> bool {
        self.silent().is_some()
    }

    /// For how long the other side has acknowledged nothing, if it is silent.
    pub fn silent_for(&self) -> Option<Duration> {
        let since = *self.silent();
        since.map(|since| since.elapsed() + SILENT_AFTER)
    }

    fn silent(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of consumers that share it, as their node reports it to the producer: each counts for being online. 1 at a
    /// consumer.
    pub fn consumers(&self) -> usize {
        self.0.consumers.load(Ordering::Relaxed).into()
    }

    /// Resolves when it is over. Cancel safe.
    pub fn disconnected(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let mut state = self.0.state.clone();
        async move {
            // An error means that its sender is gone, and it set the state before it went.
            let _ = state.wait_for(|state| *state == State::Terminated).await;
        }
    }
}
