//! [`Checkpoints`]: begins the checkpoints of a node, collects the notes of its stages, and commits them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use mosaik_streams::FramesProducer;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

use super::{
    Begun, Gate, Ledger, LedgerError, Line, StageId, StageImage, Stages,
    line::{Event, Note},
    progress::{Cause, GivenUp, LastCheckpoint, SharedProgress},
    round::{Members, Round, take},
};

/// The longest time that a barrier may take to pass all stages, unless the interval is longer: 10 s. Then the checkpoint
/// is given up, and the next one is tried.
const ALIGNMENT_MAX: Duration = Duration::from_secs(10);

/// How a checkpoint went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is complete and durable.
    Committed {
        /// Its number.
        number: u64,
    },
    /// It was given up; the one before it stays the last.
    GivenUp {
        /// The reason, as one clause.
        reason: String,
    },
}

/// The checkpoints of a node. Clones are handles to the same ones.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    shared: Arc<Shared>,
    /// The coordinator ends when all of these are dropped, so it has none itself.
    asks: mpsc::Sender<Ask>,
}

#[derive(Debug)]
struct Shared {
    begun: watch::Sender<Begun>,
    /// The last checkpoint that is complete or given up. No stage waits for its barrier any more.
    over: watch::Sender<u64>,
    /// The last committed checkpoint.
    committed: watch::Sender<u64>,
    #[cfg(test)]
    last: watch::Sender<Stages>,
    /// Bounded by three notes for each stage: one for the checkpoint that is under way, one at its end, and one when it
    /// is gone. The coordinator reads them at once.
    notes: mpsc::UnboundedSender<Note>,
    members: Mutex<Members>,
    gates: Mutex<BTreeMap<String, Arc<Gate>>>,
    /// The number of starts and ends of stages.
    changes: watch::Sender<u64>,
    progress: SharedProgress,
}

/// A request to the coordinator.
#[derive(Debug)]
enum Request {
    Take { is_last: bool },
    Add { added: Stages, replaced: Stages },
    Clear,
    Close,
}

#[derive(Debug)]
struct Ask {
    request: Request,
    answer: oneshot::Sender<Outcome>,
}

impl Checkpoints {
    /// Takes checkpoints into the ledger, one per interval. Runs until the last handle is dropped.
    pub fn start(ledger: Ledger, every: Duration) -> Self {
        let (notes, incoming) = mpsc::unbounded_channel();
        let (asks, requests) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            begun: watch::Sender::default(),
            over: watch::Sender::default(),
            committed: watch::Sender::new(ledger.number()),
            #[cfg(test)]
            last: watch::Sender::default(),
            notes,
            members: Mutex::default(),
            gates: Mutex::default(),
            changes: watch::Sender::default(),
            progress: SharedProgress::new(every),
        });
        let coordinator = Coordinator {
            shared: Arc::clone(&shared),
            changes: shared.changes.subscribe(),
            next: ledger.number().max(1) + 1,
            ledger: Some(ledger),
            incoming,
            every,
            is_missing_logged: false,
            is_over: false,
        };
        tokio::spawn(coordinator.run(requests));
        Self { shared, asks }
    }

    /// Adds a stage that starts, and returns its line. `inputs` are the streams that it reads, each with true if the
    /// subscription is new and not a predecessor's. `outputs` are the streams that it writes. A checkpoint that is under
    /// way is given up.
    pub fn join<'a>(
        &self,
        (stage, start): (StageId, u64),
        inputs: impl IntoIterator<Item = (&'a str, bool)>,
        outputs: impl IntoIterator<Item = (&'a str, FramesProducer)>,
    ) -> Line {
        let mut gates = self.shared.gates();
        let mut gate = |stream: &str| Arc::clone(gates.entry(stream.to_owned()).or_default());
        let inputs = inputs.into_iter();
        let inputs = inputs.map(|(stream, is_new)| {
            let gate = gate(stream);
            gate.read_by(stage.clone(), is_new);
            gate
        });
        let inputs = inputs.collect();
        let outputs = outputs.into_iter();
        let outputs = outputs
            .map(|(stream, output)| gate(stream).join(output))
            .collect();
        drop(gates);
        self.shared.members().join(stage.clone(), start);
        let watches = (self.shared.begun.subscribe(), self.shared.over.subscribe());
        let line = Line::new(
            (stage, start),
            watches,
            self.shared.notes.clone(),
            (inputs, outputs),
        );
        // The line ignores the checkpoint that has begun by now, so this has to come after it.
        self.shared.changed();
        line
    }

    /// Notes that a stage has ended. If it did not work off everything, no checkpoint can be complete until it starts
    /// again or is removed.
    pub fn leave(&self, stage: StageId, start: u64) {
        let event = Event::Left;
        // Once the coordinator is gone, there is nobody to tell.
        let _ = self.shared.notes.send(Note {
            stage,
            start,
            event,
        });
    }

    /// Forgets all stages but these, which are the stages of the graph.
    pub fn keep(&self, stages: &[StageId]) {
        self.shared.members().keep(stages);
    }

    /// Returns the number of the last committed checkpoint; 0 if there is none.
    pub fn committed(&self) -> u64 {
        *self.shared.committed.borrow()
    }

    /// Returns when checkpoints were taken and why some were given up, as it goes on.
    pub fn progress(&self) -> SharedProgress {
        self.shared.progress.clone()
    }

    /// Notes the checkpoint of an earlier process, from which this one goes on.
    pub fn continue_from(&self, last: LastCheckpoint) {
        self.shared.progress.lock().continue_from(last);
    }

    /// Returns a watch on the number of the last committed checkpoint.
    pub fn watch_committed(&self) -> watch::Receiver<u64> {
        self.shared.committed.subscribe()
    }

    /// Adds stages to the last checkpoint before they do anything, see [`Ledger::add`], and to each one until they start.
    /// A checkpoint that is under way is given up, since it may wait for a stage that is about to start.
    pub async fn add(&self, added: Stages, replaced: Stages) -> Outcome {
        self.shared.changed();
        self.ask(Request::Add { added, replaced }).await
    }

    /// Discards the last checkpoint, because the graph has worked off everything.
    pub async fn clear(&self) -> Outcome {
        self.ask(Request::Clear).await
    }

    /// Takes no more checkpoints, and closes the ledger.
    pub async fn close(self) {
        let _ = self.ask(Request::Close).await;
    }

    /// Returns the stages of the last checkpoint.
    #[cfg(test)]
    fn last(&self) -> Stages {
        self.shared.last.borrow().clone()
    }

    /// Takes a checkpoint at once, behind which sources send nothing if `is_last` is set.
    pub async fn take(&self, is_last: bool) -> Outcome {
        self.ask(Request::Take { is_last }).await
    }

    async fn ask(&self, request: Request) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        let gone = || given_up("the node takes no more checkpoints".to_owned());
        if self.asks.send(Ask { request, answer }).await.is_err() {
            return gone();
        }
        outcome.await.unwrap_or_else(|_| gone())
    }
}

impl Shared {
    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gates(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Gate>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Coordinator {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    /// The number of the next checkpoint.
    next: u64,
    /// `None` after a commit has failed: what is in the file is then not known.
    ledger: Option<Ledger>,
    incoming: mpsc::UnboundedReceiver<Note>,
    every: Duration,
    is_missing_logged: bool,
    /// True once the last checkpoint has begun, or is discarded.
    is_over: bool,
}

impl Coordinator {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, before anything has happened.
        ticks.tick().await;
        loop {
            let ask = tokio::select! {
                biased;
                ask = asked.recv() => match ask {
                    Some(ask) => Some(ask),
                    None => return,
                },
                Some(note) = self.incoming.recv() => {
                    take(&mut self.shared.members(), None, note);
                    continue;
                }
                now = ticks.tick() => {
                    self.shared.progress.lock().tick(now);
                    None
                }
            };
            let Some(Ask { request, answer }) = ask else {
                self.round(false).await;
                continue;
            };
            let outcome = match request {
                Request::Take { is_last } => self.round(is_last).await,
                Request::Add { added, replaced } => {
                    self.shared.members().expect([&added, &replaced]);
                    self.write(move |ledger| ledger.add(added, replaced)).await
                }
                Request::Clear => {
                    // No checkpoint of the ended stages may follow.
                    self.is_over = true;
                    self.write(Ledger::clear).await
                }
                Request::Close => {
                    // The answer comes after the file is closed.
                    drop(self);
                    let _ = answer.send(given_up("the ledger is closed".to_owned()));
                    return;
                }
            };
            // The requester may be gone.
            let _ = answer.send(outcome);
        }
    }

    /// Takes one checkpoint.
    async fn round(&mut self, is_last: bool) -> Outcome {
        if self.ledger.is_none() {
            let reason = "an earlier one could not be written".to_owned();
            return self.give_up(GivenUp::new(Cause::Unwritten, reason));
        }
        if self.is_over {
            return given_up("the node stops".to_owned());
        }
        self.is_over = is_last;
        let missing = self.shared.members().missing().cloned();
        if let Some(stage) = missing {
            if !std::mem::replace(&mut self.is_missing_logged, true) {
                tracing::warn!("no more checkpoints: {stage} has failed, and its state is lost");
            }
            return self.give_up(failed(&stage));
        }
        self.is_missing_logged = false;
        let mut round = Round::new(self.next);
        self.next += 1;
        let began = Instant::now();
        self.shared.progress.lock().begin(began);
        // A stage that starts from here on does not hear of this checkpoint.
        self.changes.mark_unchanged();
        self.shared.begun.send_replace(Begun {
            number: round.number(),
            is_last,
        });
        let collected = self.collect(&mut round, began).await;
        // An output without readers may lack the barrier, and its writers wait for it.
        self.shared.over.send_replace(round.number());
        match collected {
            Ok(stages) => {
                #[cfg(test)]
                self.shared.last.send_replace(stages.clone());
                let number = round.number();
                let state_bytes = stages.values().map(StageImage::state_bytes).sum();
                let commit = move |ledger: &mut Ledger| ledger.commit(number, &stages);
                let outcome = self.write(commit).await;
                tracing::debug!(?outcome, took = ?began.elapsed(), "checkpoint");
                if let Outcome::GivenUp { reason } = outcome {
                    return self.give_up(GivenUp::new(Cause::Unwritten, reason));
                }
                self.shared.progress.lock().complete(LastCheckpoint {
                    number,
                    taken: SystemTime::now(),
                    state_bytes,
                    took: Some(began.elapsed()),
                });
                outcome
            }
            Err(reason) => {
                tracing::debug!("checkpoint {} given up: {}", round.number(), reason.reason);
                self.give_up(reason)
            }
        }
    }

    /// Notes a checkpoint that is given up, and logs a warning if one is due.
    fn give_up(&self, given: GivenUp) -> Outcome {
        let reason = given.reason.clone();
        let warning = self.shared.progress.lock().give_up(given, Instant::now());
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        given_up(reason)
    }

    async fn collect(&mut self, round: &mut Round, began: Instant) -> Result<Stages, GivenUp> {
        let deadline = began + self.every.max(ALIGNMENT_MAX);
        loop {
            if let Some(reason) = round.refused() {
                return Err(GivenUp::new(Cause::Refused, reason.to_owned()));
            }
            if let Some(stage) = self.shared.members().missing() {
                return Err(failed(stage));
            }
            if let Some(images) = round.complete(&self.shared.members()) {
                return Ok(images);
            }
            tokio::select! {
                biased;
                noted = timeout_at(deadline, self.incoming.recv()) => match noted {
                    Ok(Some(note)) => take(&mut self.shared.members(), Some(round), note),
                    // `shared` owns a sender.
                    Ok(None) => {
                        return Err(GivenUp::new(Cause::Changed, "the node ends".to_owned()));
                    }
                    Err(_) => {
                        let members = self.shared.members();
                        let stages: Vec<_> = round.waits_for(&members).cloned().collect();
                        let names: Vec<_> = stages.iter().map(StageId::as_str).collect();
                        let reason = format!("no barrier has passed {}", names.join(", "));
                        return Err(GivenUp {
                            stages,
                            ..GivenUp::new(Cause::Slow, reason)
                        });
                    }
                },
                Ok(()) = self.changes.changed() => {
                    // The final note of a stage that has ended may still be on its way.
                    while let Ok(note) = self.incoming.try_recv() {
                        take(&mut self.shared.members(), Some(round), note);
                    }
                    if round.complete(&self.shared.members()).is_none() {
                        let reason = "a stage has started or ended".to_owned();
                        return Err(GivenUp::new(Cause::Changed, reason));
                    }
                }
            }
        }
    }

    /// Changes the ledger. After an error, it is not used any more.
    async fn write(
        &mut self,
        change: impl FnOnce(&mut Ledger) -> Result<(), LedgerError> + Send + 'static,
    ) -> Outcome {
        let Some(mut ledger) = self.ledger.take() else {
            return given_up("an earlier one could not be written".to_owned());
        };
        let writing = tokio::task::spawn_blocking(move || {
            let written = change(&mut ledger);
            (ledger, written)
        });
        let reason = match writing.await {
            Ok((ledger, Ok(()))) => {
                let number = ledger.number();
                self.ledger = Some(ledger);
                self.shared.committed.send_replace(number);
                return Outcome::Committed { number };
            }
            Ok((_, Err(error))) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!("no more checkpoints: {reason}");
        given_up(reason)
    }
}

fn failed(stage: &StageId) -> GivenUp {
    GivenUp::new(Cause::Failed, format!("{stage} has failed"))
}

const fn given_up(reason: String) -> Outcome {
    Outcome::GivenUp { reason }
}

#[cfg(test)]
mod tests;
