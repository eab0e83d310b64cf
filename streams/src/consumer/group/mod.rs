//! [`Group`]: the consumers that share one subscription to each remote producer. Most groups contain one consumer.

mod attempts;
mod core;
mod demand;
mod feed;
mod memory;
mod progress;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use attempts::Attempts;
pub(super) use attempts::Tracked;
pub use attempts::{Attempt, Phase};
pub(super) use core::Wanted;
pub(crate) use core::{Core, MakeConsumer, Registrar};
pub(super) use demand::Demand;
pub(super) use feed::Feed;
use memory::Memories;
pub(super) use memory::{Memory, Remembered};
pub(super) use progress::Progress;

use super::config::Config;
use crate::{
    PeerId, StreamId, UniqueId,
    channel::{
        authorization::Authorizer,
        backoff::ExponentialBackoff,
        config::Scope,
        env::Env,
        format::Format,
        protocol::{Epoch, SubscriberId},
        queue::Source,
        status::next_generation,
    },
    durable::{SourcePosition, StartAt},
    peer::PeerEntry,
    primitives::random_id,
};

/// The settings that consumers must have in common to share a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// The name given by the application.
    name: UniqueId,
    format: Option<Format>,
    max_datum_len: usize,
    start: StartAt,
}

impl Share {
    /// Returns `None` for a consumer that does not share.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let name = config.shared.filter(|_| config.scope == Scope::Network)?;
        Some(Self {
            name,
            format: config.format,
            max_datum_len: config.max_datum_len,
            start: config.start,
        })
    }

    /// Returns the name of the subscription. It stays the same when the node restarts.
    pub(super) fn subscription(&self) -> UniqueId {
        let format = self.format.map(Format::to_wire);
        let mut settings = format!("shared {format:02x?} {}", self.max_datum_len);
        if self.start != StartAt::default() {
            // A name that earlier versions do not use.
            settings = format!("{settings} {:?}", self.start);
        }
        self.name.derive(settings.as_str())
    }
}

/// Consumers that share one subscription to each remote producer. Exists until the last consumer is dropped.
pub(crate) struct Group {
    pub(super) id: StreamId,
    pub(super) scope: Scope,
    pub(super) format: Option<Format>,
    pub(super) max_datum_len: usize,
    pub(super) start: StartAt,
    pub(super) env: Arc<Env>,
    pub(super) authorizer: Authorizer,
    pub(super) attempts: Attempts,
    /// The id under which remote producers know the group.
    pub(super) subscriber_id: SubscriberId,
    /// Stops the worker and the receivers.
    pub(super) cancel: CancellationToken,
    /// Cancelled when the node stops and no more records are to be received.
    pub(super) leaving: CancellationToken,
    label: Option<Arc<str>>,
    share: Option<Share>,
    /// The name of the subscriptions.
    name: UniqueId,
    backoff: Mutex<ExponentialBackoff>,
    memories: Memories,
    demand: watch::Sender<Arc<Demand>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    consumers: Vec<Arc<Core>>,
    /// The number of consumers that are about to join.
    joining: usize,
    /// The number of producers that are connected or connecting.
    live: usize,
    /// True once receiving has stopped and all received records are queued.
    has_left: bool,
}

/// Counts a producer as connected or connecting until it is dropped.
pub(super) struct Live<'a>(&'a Group);

impl Drop for Live<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.live -= 1;
        let consumers = state.consumers.clone();
        for core in consumers.iter().filter(|core| core.source_left()) {
            self.0.take_out(&mut state, core);
        }
    }
}

impl Group {
    /// Creates a group for a consumer that is about to join.
    pub(super) fn new(
        config: &Config,
        env: Arc<Env>,
        authorizer: Authorizer,
        name: UniqueId,
    ) -> Self {
        let subscriber_id = SubscriberId {
            process: env.process,
            consumer: random_id(),
        };
        let state = State {
            joining: 1,
            ..State::default()
        };
        Self {
            id: config.stream_id,
            scope: config.scope,
            format: config.format,
            max_datum_len: config.max_datum_len,
            start: config.start,
            cancel: env.cancel.child_token(),
            leaving: CancellationToken::new(),
            env,
            authorizer,
            attempts: Attempts::default(),
            subscriber_id,
            label: config.label.clone(),
            share: Share::of(config),
            name,
            backoff: Mutex::new(config.backoff.clone()),
            memories: Memories::default(),
            demand: watch::Sender::new(Arc::new(Demand::of([]))),
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the name of the stream in logs.
    pub(super) fn label(&self) -> String {
        let label = self.label.as_ref();
        label.map_or_else(|| self.id.to_string(), ToString::to_string)
    }

    /// Returns the name of the subscriptions. It stays the same when the node restarts.
    pub(super) const fn name(&self) -> UniqueId {
        self.name
    }

    pub(super) const fn is_shared(&self) -> bool {
        self.share.is_some()
    }

    /// Reserves a place for a consumer that will [`join`](Self::join). Returns false if it cannot share, or the group
    /// has ended.
    pub(super) fn admits(&self, share: &Share) -> bool {
        let mut state = self.state();
        let is_over = self.cancel.is_cancelled() || self.leaving.is_cancelled();
        let admits = self.share.as_ref() == Some(share) && !is_over;
        state.joining += usize::from(admits);
        admits
    }

    /// Adds a consumer that has a reserved place. It receives the records that arrive from now on.
    pub(super) fn join(&self, core: &Arc<Core>) {
        let mut state = self.state();
        state.joining -= 1;
        state.consumers.push(core.clone());
        core.sources_joined(state.live);
        // The demand first: batches selected by the previous demand are then filtered.
        self.renew_demand(&state);
        for feed in self.memories.feeds() {
            feed.add(core);
        }
        if self.cancel.is_cancelled() {
            core.queue().close();
        }
    }

    /// Removes a consumer. Removing the last one ends the group.
    pub(super) fn leave(&self, core: &Arc<Core>) {
        self.take_out(&mut self.state(), core);
    }

    fn take_out(&self, state: &mut State, core: &Arc<Core>) {
        let before = state.consumers.len();
        state.consumers.retain(|other| !Arc::ptr_eq(other, core));
        if state.consumers.len() == before {
            return;
        }
        for feed in self.memories.feeds() {
            feed.remove(core);
        }
        if state.consumers.is_empty() && state.joining == 0 {
            self.cancel.cancel();
        } else {
            self.renew_demand(state);
        }
    }

    /// Ends a consumer once it has taken all received records. The group stops receiving, so that every consumer takes
    /// the same records. Consumers that are not stopped keep waiting.
    pub(super) fn stop_receiving(&self, core: &Core) {
        let state = self.state();
        core.set_leaving();
        self.leaving.cancel();
        if state.has_left {
            core.queue().close();
        }
    }

    /// Notes that receiving has stopped and all received records are queued. Closes the queues of the stopped
    /// consumers.
    pub(super) fn has_left(&self) {
        let mut state = self.state();
        state.has_left = true;
        for core in state.consumers.iter().filter(|core| core.is_leaving()) {
            core.queue().close();
        }
    }

    /// Ends all consumers when the network shuts down. They can still take the queued records.
    pub(super) fn end(&self) {
        let mut state = self.state();
        self.cancel.cancel();
        for core in std::mem::take(&mut state.consumers) {
            for feed in self.memories.feeds() {
                feed.remove(&core);
            }
            core.queue().close();
        }
    }

    fn renew_demand(&self, state: &State) {
        let criteria = state.consumers.iter().map(|core| core.criteria());
        let demand = Demand::of(criteria);
        self.demand.send_if_modified(|before| {
            let is_new = **before != demand;
            if is_new {
                *before = Arc::new(demand);
            }
            is_new
        });
    }

    /// Updates the demand after a consumer's criteria changed.
    pub(super) fn criteria_changed(&self) {
        self.renew_demand(&self.state());
    }

    /// Returns the current demand.
    pub(super) fn demand(&self) -> Arc<Demand> {
        self.demand.borrow().clone()
    }

    pub(super) fn watch_demand(&self) -> watch::Receiver<Arc<Demand>> {
        self.demand.subscribe()
    }

    /// Returns the current consumers.
    pub(super) fn consumers(&self) -> Vec<Arc<Core>> {
        self.state().consumers.clone()
    }

    /// Returns the memory of a producer, marked as in use.
    pub(super) fn recall(&self, peer: PeerId) -> Remembered<'_> {
        let state = self.state();
        let consumers = &state.consumers;
        let make = || {
            let feed = Feed::new(next_generation(), peer);
            for core in consumers {
                feed.add(core);
            }
            feed
        };
        let positions = consumers.iter().filter_map(|core| core.position_of(&peer));
        let first = positions.min_by_key(|at| at.position);
        let memory = first.map_or_else(Memory::default, |at| {
            Memory::at(Epoch(at.log.0), at.position)
        });
        self.memories.recall(peer, make, memory)
    }

    /// Returns the positions of a consumer in the logs of durable streams.
    pub(super) fn positions(&self, core: &Core) -> Vec<SourcePosition> {
        let feeds = self.memories.feeds();
        let mut positions: Vec<_> = feeds
            .iter()
            .filter_map(|feed| feed.position_of(core))
            .collect();
        // Producers that were not connected yet.
        for earlier in &core.config.positions {
            if positions.iter().all(|known| known.peer != earlier.peer) {
                positions.push(*earlier);
            }
        }
        positions.sort_by_key(|position| position.peer);
        positions
    }

    /// Returns a consumer's progress on a source, if the source is a remote producer.
    pub(super) fn progress(&self, source: Source, core: &Core) -> Option<Arc<Progress>> {
        self.memories.progress(source, core)
    }

    /// Closes the connection to a remote producer after an invalid record.
    pub(super) fn reject(&self, source: Source) {
        if let Some(feed) = self.memories.feed(source) {
            feed.reject();
        }
    }

    /// Counts a producer as connecting.
    pub(super) fn enter(&self) -> Live<'_> {
        let mut state = self.state();
        state.live += 1;
        for core in &state.consumers {
            core.sources_joined(1);
        }
        Live(self)
    }

    /// Notes that a producer has finished the stream.
    pub(super) fn mark_ended(&self) {
        for core in &self.state().consumers {
            core.mark_ended();
        }
    }

    pub(super) fn backoff(&self) -> ExponentialBackoff {
        let backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        backoff.clone()
    }

    pub(super) fn set_backoff(&self, policy: ExponentialBackoff) {
        *self.backoff.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Returns the number of other nodes that offer the stream and do not meet the requirements.
    pub(super) fn unfit(&self) -> usize {
        if self.scope == Scope::Node {
            return 0;
        }
        let catalog = self.env.discovery.catalog();
        let local_id = self.env.local_id;
        let offers =
            |peer: &&PeerEntry| peer.streams().contains(&self.id) && *peer.id() != local_id;
        let unfit = |peer: &&PeerEntry| {
            let entry = self.authorizer.entry(&catalog, peer.id());
            entry.is_none_or(|entry| self.authorizer.authorize(entry).is_none())
        };
        catalog.peers().filter(offers).filter(unfit).count()
    }
}
