//! The node's handle to a running stage.

use std::time::Duration;

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    graph::StageKey,
    stage::{
        Asked, COMMANDS_MAX, Command, Control, Drain, Ended, Handoff, OperatorStage, SinkStage,
        SourceStage, Update, UpdateError,
    },
};

/// Time limit for a stage to end once it was asked to give up; after that, the node abandons it:
/// 2 s.
const GIVE_UP: Duration = Duration::from_secs(2);

/// The same limit once the node has to stop immediately: 300 ms.
const GIVE_UP_HURRIED: Duration = Duration::from_millis(300);

/// A stage that is ready to run.
#[derive(Debug)]
pub(super) enum Ready {
    Source(Box<SourceStage>),
    Operator(Box<OperatorStage>),
    Sink(Box<SinkStage>),
}

/// Notifies the node that a stage has ended, with the stage and the number of its start.
#[derive(Debug)]
pub(in crate::topology) struct EndNotice {
    pub(super) stage: StageKey,
    start: u64,
}

impl EndNotice {
    /// Returns the number of the start of the stage.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }
}

/// The node's handle to a running stage. Dropping it stops the stage.
#[derive(Debug)]
pub(super) struct Running {
    /// Distinguishes this start of the stage from others under the same name.
    start: u64,
    commands: mpsc::Sender<Command>,
    abandon: CancellationToken,
    ended: Option<oneshot::Receiver<Ended>>,
}

impl Running {
    /// Starts a stage: an operator on its own thread, the others as tasks.
    pub(super) fn start(
        ready: Ready,
        stage: StageKey,
        start: u64,
        notices: mpsc::Sender<EndNotice>,
    ) -> std::io::Result<Self> {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (report, ended) = oneshot::channel();
        let abandon = CancellationToken::new();
        let control = Control {
            commands: receiver,
            handoff: Handoff::until(abandon.clone()),
        };
        let notice = EndNotice {
            stage: stage.clone(),
            start,
        };
        let finish = async move |ended: Ended| {
            // Once the node is gone, neither has a receiver.
            let _ = report.send(ended);
            let _ = notices.send(notice).await;
        };
        match ready {
            Ready::Source(source) => {
                tokio::spawn(async move { finish(source.run(control).await).await });
            }
            Ready::Sink(sink) => {
                tokio::spawn(async move { finish(sink.run(control).await).await });
            }
            Ready::Operator(operator) => {
                let runtime = Handle::current();
                std::thread::Builder::new()
                    .name(format!("op {}", stage.name))
                    .spawn(move || {
                        runtime.block_on(async move { finish(operator.run(control).await).await });
                    })?;
            }
        }
        Ok(Self {
            start,
            commands,
            abandon,
            ended: Some(ended),
        })
    }

    /// Returns the number of this start of the stage.
    pub(super) const fn number(&self) -> u64 {
        self.start
    }

    /// Returns true if a notice is about this start of the stage, and not one before.
    pub(super) const fn is_meant_by(&self, notice: &EndNotice) -> bool {
        self.start == notice.start
    }

    /// Drains the stage and waits for its end. At the deadline, or when `hurry` is cancelled, the
    /// stage has to give up its remaining records. Returns `None` if it does not end in time after
    /// that either.
    pub(super) async fn stop(
        mut self,
        drain: Drain,
        over: impl Future<Output = ()>,
        hurry: &CancellationToken,
    ) -> Option<Ended> {
        let ended = self.ended.as_mut()?;
        let drained = async {
            // A stage that has ended accepts no more commands.
            let _ = self.commands.send(Command::Drain(drain)).await;
            (&mut *ended).await.ok()
        };
        tokio::select! {
            biased;
            // Triggered when the stage has ended.
            outcome = drained => return outcome,
            // Triggered when the time is over.
            () = over => {}
            // Triggered when the node has to stop immediately.
            () = hurry.cancelled() => {}
        }
        self.abandon.cancel();
        tokio::select! {
            biased;
            ended = timeout(GIVE_UP, &mut *ended) => ended.ok().and_then(Result::ok),
            () = hurried(hurry) => None,
        }
    }

    /// Asks the stage to end and to give up its remaining records, without waiting. Returns false
    /// if it was asked before.
    pub(super) fn give_up(&self) -> bool {
        if self.abandon.is_cancelled() {
            return false;
        }
        self.abandon.cancel();
        // If the command queue is full, the stage still ends: its token is cancelled.
        let _ = self.commands.try_send(Command::Drain(Drain::Queued));
        true
    }

    /// Takes the remains of a stage that ended on its own, after its notice has arrived.
    pub(super) fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()?.try_recv().ok()
    }

    /// Makes a running operator prepare an update and wait for the commit signal. Dropping the
    /// result leaves the operator unchanged.
    ///
    /// # Errors
    /// The operator refuses the update, has ended, or does not reach a batch boundary in time.
    pub(super) async fn make_ready(
        &self,
        update: Update,
        limit: Duration,
        until: Instant,
    ) -> Result<Agreement, UpdateError> {
        let (ready, mut answer) = oneshot::channel();
        let (word, go) = oneshot::channel();
        let command = Command::Update(Box::new(update), Asked { ready, go });
        let answered = timeout_at(until, async {
            let sent = self.commands.send(command).await;
            sent.map_err(|_| UpdateError::Ended)?;
            (&mut answer).await.map_err(|_| UpdateError::Ended)?
        })
        .await;
        let ready = answered.unwrap_or_else(|_| {
            // Closing the channel first leaves two outcomes: the operator is ready, or it never
            // will be.
            answer.close();
            answer.try_recv().unwrap_or(Err(UpdateError::Late(limit)))
        });
        ready.map(|()| Agreement(word))
    }
}

/// Resolves 300 ms after `hurry` is cancelled.
async fn hurried(hurry: &CancellationToken) {
    hurry.cancelled().await;
    tokio::time::sleep(GIVE_UP_HURRIED).await;
}

/// An operator that is ready to switch and pauses its edges until it receives the commit signal.
/// Dropping this cancels the switch.
#[derive(Debug)]
pub(in crate::topology) struct Agreement(oneshot::Sender<oneshot::Sender<Duration>>);

impl Agreement {
    /// Makes the operator switch. Returns how long its edges were paused, or `None` if it has
    /// ended.
    pub(in crate::topology) async fn go(self) -> Option<Duration> {
        let (done, took) = oneshot::channel();
        self.0.send(done).ok()?;
        took.await.ok()
    }
}
