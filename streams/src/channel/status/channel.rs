//! [`Channel`]: a connection of a producer and a consumer, established or in progress.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::stats::Stats;
use crate::{Criteria, PeerId, StreamId, peer::PeerEntry};

/// The time without an acknowledgement of sent data after which a peer is silent: 2 s.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(2);

/// The state of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Dialling, or waiting to be admitted.
    Connecting,
    /// Established.
    Connected,
    /// Ended. A new connection gets a new channel.
    Terminated,
}

/// Returns a number that is unique in this process, to identify channels and groups of them.
pub(crate) fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The channels of a producer or consumer.
pub(super) type Channels = Arc<Vec<ChannelInfo>>;

/// A channel, as seen by either side. Clones refer to the same, current state.
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
    /// The time since which the peer is known to be silent.
    silent: Mutex<Option<Instant>>,
    consumers: AtomicU16,
}

/// The writable side of a channel. Dropping it terminates the channel.
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

    /// Sets whether the peer fails to acknowledge sent data.
    pub(crate) fn set_silent(&self, is_silent: bool) {
        *self.info.silent() = is_silent.then(Instant::now);
    }

    /// Sets the number of the peer's consumers that share the channel.
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
    /// Returns a number that is unique among all channels of this process, past and future.
    pub fn number(&self) -> u64 {
        self.0.generation
    }

    /// Returns the stream id.
    pub fn stream_id(&self) -> &StreamId {
        &self.0.stream_id
    }

    /// Returns the criteria of the consumer.
    pub fn criteria(&self) -> &Criteria {
        &self.0.criteria
    }

    /// Returns the id of the producing node.
    pub fn producer_id(&self) -> &PeerId {
        &self.0.producer_id
    }

    /// Returns the id of the consuming node.
    pub fn consumer_id(&self) -> &PeerId {
        &self.0.consumer_id
    }

    /// Returns the peer's entry when the channel was created. On a local channel, the peer is this node.
    pub fn peer(&self) -> &PeerEntry {
        &self.0.peer
    }

    /// Returns true if both sides are this node.
    pub fn is_local(&self) -> bool {
        self.0.producer_id == self.0.consumer_id
    }

    /// Returns the current state.
    pub fn state(&self) -> State {
        *self.0.state.borrow()
    }

    /// Returns a watch on the state.
    pub fn state_watcher(&self) -> &watch::Receiver<State> {
        &self.0.state
    }

    /// Returns the counters of the channel.
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Returns true if the channel is established.
    pub fn is_connected(&self) -> bool {
        self.state() == State::Connected
    }

    /// Returns true if the peer has not acknowledged data for 2 s, because its process is suspended or the network is
    /// down. The connection stays open until QUIC times out; meanwhile the channel does not count for online
    /// conditions. Only detected for remote consumers.
    pub fn is_silent(&self) -> bool {
        self.silent().is_some()
    }

    /// Returns the time since the last acknowledgement, if the peer is silent.
    pub fn silent_for(&self) -> Option<Duration> {
        let since = *self.silent();
        since.map(|since| since.elapsed() + SILENT_AFTER)
    }

    fn silent(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of consumers that share the channel, as reported to the producer by their node. Each counts
    /// for online conditions. Always 1 at a consumer.
    pub fn consumers(&self) -> usize {
        self.0.consumers.load(Ordering::Relaxed).into()
    }

    /// Resolves when the channel is terminated. Cancel safe.
    pub fn disconnected(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let mut state = self.0.state.clone();
        async move {
            // An error means that the sender is dropped, and it terminates the channel first.
            let _ = state.wait_for(|state| *state == State::Terminated).await;
        }
    }
}
