//! The producers and consumers of this node, by stream. Connects those of the same stream, in whichever order they are
//! created.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{StreamId, channel::env::Env, consumer, net::CloseReason, producer};

/// The time after the end of a stream for which consumers that ask for it learn that it has ended. Exceeds the time in
/// which a consumer detects a lost connection.
const TOMBSTONE_TTL: Duration = Duration::from_secs(45);

/// The producers and consumers of a node, by stream.
pub(super) struct Registry {
    pub(super) env: Arc<Env>,
    slots: Mutex<HashMap<StreamId, Slot>>,
}

#[derive(Default)]
struct Slot {
    producer: Option<Arc<producer::Core>>,
    consumers: Vec<Arc<consumer::Core>>,
    /// The tombstone of the last producer, if it ended for good, and its expiry.
    tombstone: Option<(Arc<producer::Core>, Instant)>,
}

impl Registry {
    pub(super) fn new(env: Arc<Env>) -> Self {
        Self {
            env,
            slots: Mutex::default(),
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<StreamId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
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

impl producer::Registrar for Registry {
    fn add(
        &self,
        id: StreamId,
        make: Box<dyn FnOnce() -> producer::Core + '_>,
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
        if let Some(ended) = slot.producer.replace(core.clone()) {
            ended.hand_over_log();
        }
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

    fn remove(self: Arc<Self>, core: &Arc<producer::Core>, for_good: bool) {
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
}

impl consumer::Registrar for Registry {
    fn add(&self, id: StreamId, make: consumer::MakeConsumer<'_>) -> Arc<consumer::Core> {
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

    fn criteria_changed(&self, core: &Arc<consumer::Core>) {
        let slots = self.slots();
        if let Some(producer) = slots
            .get(&core.id())
            .and_then(|slot| slot.producer.as_ref())
        {
            producer.local_wants(core);
        }
    }

    fn remove(&self, core: &Arc<consumer::Core>) {
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
}
