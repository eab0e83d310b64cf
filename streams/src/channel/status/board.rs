//! [`Board`]: the channels of one producer or consumer, and its online state.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use super::{
    channel::{ChannelInfo, Channels},
    conditions::ChannelConditions,
    when::When,
};

/// The channels of a producer or consumer, observable by others.
#[derive(Debug)]
pub(crate) struct Board {
    channels: watch::Sender<Channels>,
    online: watch::Sender<bool>,
    /// The value of `online`, for checks on each record.
    online_now: AtomicBool,
    conditions: Mutex<ChannelConditions>,
    when: When,
}

impl Board {
    /// `online_when` receives conditions that one channel meets, and returns the online conditions.
    pub(crate) fn new(online_when: impl FnOnce(ChannelConditions) -> ChannelConditions) -> Self {
        let (channels, watcher) = watch::channel(Channels::default());
        let conditions = online_when(ChannelConditions::new(watcher.clone()).minimum_of(1));
        let met = conditions.is_condition_met();
        let (online, online_watcher) = watch::channel(met);
        Self {
            channels,
            online_now: AtomicBool::new(met),
            online,
            conditions: Mutex::new(conditions),
            when: When::new(watcher, online_watcher),
        }
    }

    pub(crate) fn add(&self, channel: &ChannelInfo) {
        self.change(|channels| channels.push(channel.clone()));
    }

    pub(crate) fn remove(&self, channel: &ChannelInfo) {
        self.change(|channels| channels.retain(|other| other.number() != channel.number()));
    }

    /// Makes watchers evaluate their conditions again after a channel's state has changed.
    pub(crate) fn touch(&self) {
        self.change(|_| {});
    }

    fn change(&self, change: impl FnOnce(&mut Vec<ChannelInfo>)) {
        self.channels
            .send_modify(|channels| change(Arc::make_mut(channels)));
        self.evaluate();
    }

    fn lock(&self) -> MutexGuard<'_, ChannelConditions> {
        self.conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the online conditions; see [`new`](Self::new).
    pub(crate) fn set_conditions(
        &self,
        online_when: impl FnOnce(ChannelConditions) -> ChannelConditions,
    ) {
        let conditions = online_when(self.when.subscribed());
        *self.lock() = conditions;
        self.evaluate();
    }

    /// Returns the online conditions.
    pub(crate) fn conditions(&self) -> ChannelConditions {
        self.lock().clone()
    }

    fn evaluate(&self) {
        // Evaluated inside the lock of `online`, so that of two concurrent changes the later one prevails.
        self.online.send_if_modified(|online| {
            let now = self.lock().is_condition_met();
            self.online_now.store(now, Ordering::Release);
            std::mem::replace(online, now) != now
        });
    }

    pub(crate) fn is_online(&self) -> bool {
        self.online_now.load(Ordering::Acquire)
    }

    pub(crate) fn online_watcher(&self) -> watch::Receiver<bool> {
        self.online.subscribe()
    }

    pub(crate) fn list(&self) -> Vec<ChannelInfo> {
        self.channels.borrow().to_vec()
    }

    pub(crate) fn when(&self) -> &When {
        &self.when
    }
}
