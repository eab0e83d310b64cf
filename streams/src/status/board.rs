//! The channels of one producer or consumer, and whether they make it online.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

use super::{ChannelConditions, ChannelInfo, When};

pub(super) type Channels = Arc<Vec<ChannelInfo>>;

/// Where a producer or consumer writes down its channels for others to watch.
#[derive(Debug)]
pub(crate) struct Board {
    channels: watch::Sender<Channels>,
    online: watch::Sender<bool>,
    /// What `online` says, for those who ask with each datum.
    online_now: AtomicBool,
    conditions: Mutex<ChannelConditions>,
    when: When,
}

impl Board {
    /// `online_when` says, from conditions that one channel meets, those of being online.
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

    /// Makes watchers look again, after a channel's state has changed.
    pub(crate) fn touch(&self) {
        self.change(|_| {});
    }

    fn change(&self, change: impl FnOnce(&mut Vec<ChannelInfo>)) {
        self.channels
            .send_modify(|channels| change(Arc::make_mut(channels)));
        self.judge();
    }

    fn lock(&self) -> MutexGuard<'_, ChannelConditions> {
        self.conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Other conditions from now on, said as those of [`new`](Self::new).
    pub(crate) fn set_conditions(
        &self,
        online_when: impl FnOnce(ChannelConditions) -> ChannelConditions,
    ) {
        let conditions = online_when(self.when.subscribed());
        *self.lock() = conditions;
        self.judge();
    }

    /// The conditions for being online.
    pub(crate) fn conditions(&self) -> ChannelConditions {
        self.lock().clone()
    }

    fn judge(&self) {
        // Judged inside the lock of `online`, so that of two changes at once the later one has the last word.
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
