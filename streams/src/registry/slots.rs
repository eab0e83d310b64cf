//! The producers and consumers of this node, by stream. Connects those of the same stream, in whichever order they are
//! created.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    StreamId,
    channel::{env::Env, protocol::random_id},
    consumer,
    net::CloseReason,
    producer,
};

/// The time after the end of a stream for which consumers that ask for it learn that it has ended. Exceeds the time in
/// which a consumer detects a lost connection.
const TOMBSTONE_TTL: Duration = Duration::from_secs(45);

/// The state shared by the handles and tasks of a network's streams.
pub(crate) struct Registry {
    pub(crate) env: Env,
    /// Identifies this process to remote producers.
    pub(crate) process: [u8; 16],
    slots: Mutex<HashMap<StreamId, Slot>>,
    /// The number of holds that prevent shared subscriptions from dialling.
    holds: watch::Sender<usize>,
}

/// Prevents shared subscriptions from dialling until it is dropped. See
/// [`Streams::hold_subscriptions`](super::Streams::hold_subscriptions).
#[must_use = "subscriptions are held for as long as it lives"]
pub struct SubscriptionHold(Arc<Registry>);

impl Drop for SubscriptionHold {
    fn drop(&mut self) {
        self.0.holds.send_modify(|holds| *holds -= 1);
    }
}

impl fmt::Debug for SubscriptionHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionHold").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Slot {
    producer: Option<Arc<producer::Core>>,
    consumers: Vec<Arc<consumer::Core>>,
    /// The tombstone of the last producer, if it ended for good, and its expiry.
    tombstone: Option<(Arc<producer::Core>, Instant)>,
}

impl Registry {
    pub(super) fn new(env: Env) -> Self {
        Self {
            env,
            process: random_id(),
            slots: Mutex::default(),
            holds: watch::Sender::new(0),
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<StreamId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a producer, or returns the existing one with one more handle.
    pub(crate) fn add_producer(
        &self,
        id: StreamId,
        make: impl FnOnce() -> producer::Core,
    ) -> Result<Arc<producer::Core>, Arc<producer::Core>> {
        let mut slots = self.slots();
        let slot = slots.entry(id).or_default();
        if let Some(existing) = slot
            .producer
            .as_ref()
            .filter(|existing| existing.open_handle())
        {
            return Err(existing.clone());
        }
        let core = Arc::new(make());
        slot.producer = Some(core.clone());
        slot.tombstone = None;
        for consumer in slot
            .consumers
            .iter()
            .filter(|consumer| consumer.takes_local())
        {
            core.add_local(consumer);
        }
        if core.is_remote() {
            self.env.discovery.add_stream(id);
        }
        Ok(core)
    }

    /// Removes a producer, which frees its id. Leaves a tombstone if the stream ended for good.
    pub(crate) fn remove_producer(self: &Arc<Self>, core: &Arc<producer::Core>, for_good: bool) {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&core.id()) else {
            return;
        };
        if !slot
            .producer
            .as_ref()
            .is_some_and(|registered| Arc::ptr_eq(registered, core))
        {
            return;
        }
        slot.producer = None;
        if core.is_remote() {
            self.env.discovery.remove_stream(core.id());
        }
        if for_good {
            slot.tombstone = Some((core.clone(), Instant::now() + TOMBSTONE_TTL));
            let (registry, id) = (self.clone(), core.id());
            self.env.spawn(async move {
                tokio::select! {
                    () = registry.env.cancel.cancelled() => {}
                    () = sleep(TOMBSTONE_TTL) => registry.tidy(id),
                }
            });
        } else {
            drop(slots);
            self.tidy(core.id());
        }
    }

    /// Registers a consumer. `make` receives the other consumers of the stream.
    pub(crate) fn add_consumer(
        &self,
        id: StreamId,
        make: impl FnOnce(&[Arc<consumer::Core>]) -> consumer::Core,
    ) -> Arc<consumer::Core> {
        let mut slots = self.slots();
        let slot = slots.entry(id).or_default();
        let core = Arc::new(make(&slot.consumers));
        core.join_group();
        slot.consumers.push(core.clone());
        if let Some(producer) = slot.producer.as_ref().filter(|_| core.takes_local()) {
            producer.add_local(&core);
        }
        core
    }

    /// Prevents shared subscriptions from dialling until the hold is dropped.
    pub(super) fn hold_subscriptions(self: &Arc<Self>) -> SubscriptionHold {
        self.holds.send_modify(|holds| *holds += 1);
        SubscriptionHold(self.clone())
    }

    /// Resolves when no hold is left. Cancel safe.
    pub(crate) async fn subscriptions_released(&self) {
        let mut holds = self.holds.subscribe();
        // Cannot fail: `self` owns the sender.
        let _ = holds.wait_for(|holds| *holds == 0).await;
    }

    /// Applies changed criteria of a consumer.
    pub(crate) fn consumer_wants(&self, core: &Arc<consumer::Core>) {
        let slots = self.slots();
        if let Some(producer) = slots
            .get(&core.id())
            .and_then(|slot| slot.producer.as_ref())
        {
            producer.local_wants(core);
        }
    }

    pub(crate) fn remove_consumer(&self, core: &Arc<consumer::Core>) {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&core.id()) else {
            return;
        };
        slot.consumers.retain(|other| !Arc::ptr_eq(other, core));
        if let Some(producer) = &slot.producer {
            producer.remove_local(core);
        }
        drop(slots);
        self.tidy(core.id());
    }

    /// Removes a stream without producer, consumers and valid tombstone.
    fn tidy(&self, id: StreamId) {
        let mut slots = self.slots();
        let unused = slots.get(&id).is_some_and(|slot| {
            let is_expired = slot
                .tombstone
                .as_ref()
                .is_none_or(|(_, until)| *until <= Instant::now());
            slot.producer.is_none() && slot.consumers.is_empty() && is_expired
        });
        if unused {
            slots.remove(&id);
        }
    }

    /// Returns the producer for remote consumers, or the one that has ended for good recently.
    pub(super) fn producer_for_others(
        &self,
        id: &StreamId,
    ) -> Result<Arc<producer::Core>, CloseReason> {
        let slots = self.slots();
        let slot = slots.get(id).ok_or(CloseReason::StreamNotFound)?;
        let ended = slot.tombstone.as_ref();
        let ended = ended.filter(|(_, until)| *until > Instant::now());
        slot.producer
            .as_ref()
            .or(ended.map(|(producer, _)| producer))
            .filter(|producer| producer.is_remote())
            .cloned()
            .ok_or(CloseReason::StreamNotFound)
    }
}
