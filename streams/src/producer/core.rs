//! [`Core`]: the state that the handles, the worker and the senders of a producer share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{sync::watch, time::timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    config::{Config, Live},
    fanout::Fanout,
    lag::{DisconnectLagging, Penalties},
    mismatches::Mismatches,
    stats::{FinishReport, ProducerStats, Tally},
    undelivered::GiveBack,
};
use crate::{
    StreamId,
    channel::{
        authorization::Authorizer,
        config::Scope,
        env::Env,
        filter::Lookup,
        format::Format,
        protocol::Epoch,
        queue::{Closed, Queue},
        status::Board,
        tap::Taps,
    },
    durable::DurableLog,
};

/// The producers of a node, by stream. Implemented by the layer above, which connects producers to consumers.
pub(crate) trait Registrar: Send + Sync {
    /// Registers the producer that `make` returns, or returns the existing one with one more handle.
    fn add(
        &self,
        id: StreamId,
        make: Box<dyn FnOnce() -> Core + '_>,
    ) -> Result<Arc<Core>, Arc<Core>>;

    /// Removes a producer, which frees its id. Leaves a tombstone if the stream ended for good. Does nothing if it is
    /// not registered.
    fn remove(self: Arc<Self>, core: &Arc<Core>, for_good: bool);
}

/// The life cycle of a producer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Life {
    /// Accepts records.
    Open,
    /// Accepts no more records. Queued ones are sent until the deadline.
    Ending {
        for_good: bool,
        deadline: tokio::time::Instant,
    },
}

pub(crate) struct Core {
    pub(super) id: StreamId,
    pub(super) config: Config,
    pub(super) env: Arc<Env>,
    registrar: Arc<dyn Registrar>,
    pub(super) authorizer: Authorizer,
    pub(super) lookup: Lookup,
    /// Receives the records that no subscriber selects.
    pub(super) undelivered: Option<GiveBack>,
    /// The log of a durable stream, from which other nodes read.
    pub(super) log: Option<DurableLog>,
    /// Identifies this incarnation of the producer, so that a consumer that reconnects can tell what it missed.
    pub(super) epoch: Epoch,
    pub(super) intake: Queue,
    pub(super) board: Board,
    pub(super) tally: Arc<Tally>,
    pub(super) life: watch::Sender<Life>,
    pub(super) report: watch::Sender<Option<FinishReport>>,
    /// Ends the worker and everything that depends on it at once.
    pub(super) cancel: CancellationToken,
    /// The taps on the records that are handed to subscribers.
    pub(super) taps: Taps,
    /// The policy for remote subscribers that do not keep up. The worker watches it while it waits for them.
    pub(super) lagging: watch::Sender<DisconnectLagging>,
    live: Mutex<Live>,
    pub(super) fanout: Mutex<Fanout>,
    pub(super) penalties: Mutex<Penalties>,
    mismatches: Mismatches,
    handles: AtomicUsize,
}

impl Core {
    pub(super) fn new(
        config: Config,
        (env, registrar): (Arc<Env>, Arc<dyn Registrar>),
        (authorizer, lookup): (Authorizer, Lookup),
        (undelivered, log): (Option<GiveBack>, Option<DurableLog>),
        board: Board,
    ) -> Self {
        let cancel = env.cancel.child_token();
        let live = Live {
            buffer_size: config.buffer_size,
            buffer_bytes: config.buffer_bytes,
            max_consumers: config.max_consumers,
            linger: config.linger,
        };
        Self {
            id: config.stream_id,
            intake: Queue::new(config.buffer_size, config.buffer_bytes),
            lagging: watch::Sender::new(config.disconnect_lagging),
            config,
            env,
            registrar,
            authorizer,
            lookup,
            undelivered,
            epoch: log
                .as_ref()
                .map_or_else(Epoch::random, |log| Epoch(log.id().0)),
            log,
            board,
            tally: Arc::default(),
            life: watch::Sender::new(Life::Open),
            report: watch::Sender::new(None),
            cancel,
            taps: Taps::default(),
            live: Mutex::new(live),
            fanout: Mutex::default(),
            penalties: Mutex::default(),
            mismatches: Mismatches::default(),
            handles: AtomicUsize::new(1),
        }
    }

    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current settings.
    pub(super) fn current_config(&self) -> Config {
        let Live {
            buffer_size,
            buffer_bytes,
            max_consumers,
            linger,
        } = *self.live();
        Config {
            buffer_size,
            buffer_bytes,
            max_consumers,
            linger,
            disconnect_lagging: *self.lagging.borrow(),
            ..self.config.clone()
        }
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn scope(&self) -> Scope {
        self.config.scope
    }

    /// Returns the name of the stream in logs.
    pub(crate) fn label(&self) -> String {
        let label = self.config.label.as_ref();
        label.map_or_else(|| self.id.to_string(), ToString::to_string)
    }

    /// Returns the declared format of the records.
    pub(crate) fn format(&self) -> Option<Format> {
        self.config.format
    }

    /// Returns the consumers that declare another format.
    pub(crate) const fn mismatches(&self) -> &Mismatches {
        &self.mismatches
    }

    pub(crate) fn is_remote(&self) -> bool {
        self.scope() == Scope::Network
    }

    pub(crate) fn authorizer(&self) -> &Authorizer {
        &self.authorizer
    }

    pub(crate) fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Returns the oldest position of the log and the first one that is not visible, if the stream is durable.
    pub(crate) fn log_range(&self) -> Option<(u64, u64)> {
        self.log.as_ref().map(DurableLog::range)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Adds a handle. Returns false if the last handle has been closed.
    pub(crate) fn open_handle(&self) -> bool {
        let add = |handles: usize| (handles > 0).then_some(handles + 1);
        self.handles
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add)
            .is_ok()
    }

    /// Closes a handle. Returns true if it was the last one.
    pub(super) fn close_handle(&self) -> bool {
        self.handles.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Removes the producer from the node's streams, which frees its id.
    pub(super) fn unregister(self: &Arc<Self>, for_good: bool) {
        self.registrar.clone().remove(self, for_good);
    }

    pub(super) fn end(&self, for_good: bool, deadline: tokio::time::Instant) {
        // In this order: the worker finishes when it finds the intake closed and empty, and then reads `life`.
        self.life.send_replace(Life::Ending { for_good, deadline });
        self.intake.close();
    }

    /// Waits until the producer is online. Cancel safe.
    pub(super) async fn online(&self) -> Result<(), Closed> {
        if self.intake.is_closed() {
            return Err(Closed);
        }
        if self.board.is_online() {
            return Ok(());
        }
        let mut life = self.life.subscribe();
        tokio::select! {
            // Triggered when it comes online.
            () = self.board.when().online() => Ok(()),
            // Triggered when it starts to end.
            _ = life.wait_for(|life| !matches!(life, Life::Open)) => Err(Closed),
            // Triggered when the network shuts down.
            () = self.cancel.cancelled() => Err(Closed),
        }
    }

    /// Moves the deadline of an ending producer to now.
    pub(super) fn hurry(&self) {
        self.life.send_modify(|life| {
            if let Life::Ending { deadline, .. } = life {
                *deadline = tokio::time::Instant::now();
            }
        });
    }

    /// Resolves when the producer must stop, even with records left: it is cancelled, or its deadline has passed.
    /// Cancel safe.
    pub(super) async fn stopped(&self) {
        let mut life = self.life.subscribe();
        let overdue = async {
            loop {
                let deadline = match *life.borrow_and_update() {
                    Life::Ending { deadline, .. } => Some(deadline),
                    Life::Open => None,
                };
                let changed = match deadline {
                    None => life.changed().await,
                    Some(deadline) => match timeout_at(deadline, life.changed()).await {
                        Ok(changed) => changed,
                        Err(_) => return,
                    },
                };
                if changed.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = overdue => {}
        }
    }

    /// Returns the counters so far.
    pub(super) fn stats(&self) -> ProducerStats {
        let (records, bytes) = self.intake.put_so_far();
        ProducerStats {
            datums: records,
            bytes,
            ..self.tally.read()
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("id", &self.id)
            .field("online", &self.board.is_online())
            .field("subscribers", &self.subscribers_left())
            .finish_non_exhaustive()
    }
}
