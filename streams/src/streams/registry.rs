//! The producers and consumers of this node, by stream. Here those of one stream meet, whichever came first.

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

use super::{Env, protocol::random_id};
use crate::{StreamId, consumer, network::CloseReason, producer};

/// For so long after a stream has ended for good, whoever asks for it is told so: longer than it takes to notice that a
/// connection is gone.
const FAREWELL: Duration = Duration::from_secs(45);

/// What the handles and tasks of one network's streams share.
pub(crate) struct Inner {
    pub(crate) env: Env,
    /// Names this life of the process to producers elsewhere.
    pub(crate) process: [u8; 16],
    slots: Mutex<HashMap<StreamId, Slot>>,
    /// How many holds keep shared subscriptions from dialling.
    holds: watch::Sender<usize>,
}

/// Keeps shared subscriptions from dialling for as long as it lives. See
/// [`Streams::hold_subscriptions`](super::Streams::hold_subscriptions).
#[must_use = "subscriptions are held for as long as it lives"]
pub struct SubscriptionHold(Arc<Inner>);

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
    /// The last producer, which ended for good, and until when that is told.
    farewell: Option<(Arc<producer::Core>, Instant)>,
}

impl Inner {
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

    /// Enters a producer, or gives the one there is with one more handle.
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
        slot.farewell = None;
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

    /// Takes a producer out, so that its id is free; with a farewell when the stream ended for good.
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
            slot.farewell = Some((core.clone(), Instant::now() + FAREWELL));
            let (inner, id) = (self.clone(), core.id());
            self.env.spawn(async move {
                tokio::select! {
                    () = inner.env.cancel.cancelled() => {}
                    () = sleep(FAREWELL) => inner.tidy(id),
                }
            });
        } else {
            drop(slots);
            self.tidy(core.id());
        }
    }

    /// Enters a consumer, which is made with a look at the others of the stream.
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

    /// Keeps shared subscriptions from dialling until the hold is dropped.
    pub(super) fn hold_subscriptions(self: &Arc<Self>) -> SubscriptionHold {
        self.holds.send_modify(|holds| *holds += 1);
        SubscriptionHold(self.clone())
    }

    /// Resolves when nothing keeps shared subscriptions from dialling. Cancel safe.
    pub(crate) async fn subscriptions_released(&self) {
        let mut holds = self.holds.subscribe();
        // Its sender lives as long as this does.
        let _ = holds.wait_for(|holds| *holds == 0).await;
    }

    /// A consumer wants other datums than before.
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

    /// Forgets a stream that nothing is known of any more.
    fn tidy(&self, id: StreamId) {
        let mut slots = self.slots();
        let unused = slots.get(&id).is_some_and(|slot| {
            let waved = slot
                .farewell
                .as_ref()
                .is_none_or(|(_, until)| *until <= Instant::now());
            slot.producer.is_none() && slot.consumers.is_empty() && waved
        });
        if unused {
            slots.remove(&id);
        }
    }

    /// The producer that nodes elsewhere may subscribe to, or the one that has just ended for good; or why there is none.
    pub(super) fn producer_for_others(
        &self,
        id: &StreamId,
    ) -> Result<Arc<producer::Core>, CloseReason> {
        let slots = self.slots();
        let slot = slots.get(id).ok_or(CloseReason::StreamNotFound)?;
        let ended = slot.farewell.as_ref();
        let ended = ended.filter(|(_, until)| *until > Instant::now());
        slot.producer
            .as_ref()
            .or(ended.map(|(producer, _)| producer))
            .filter(|producer| producer.is_remote())
            .cloned()
            .ok_or(CloseReason::StreamNotFound)
    }
}
