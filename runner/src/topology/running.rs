//! A stage that runs: how the node holds on to it.

use std::time::Duration;

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::apply::SWAP_DEADLINE;
use crate::{
    graph::StageKey,
    stage::{
        Asked, COMMANDS_MAX, Command, Control, Drain, Ended, Handoff, OperatorStage, SinkStage,
        SourceStage, Update,
    },
};

/// How long a stage that was told to give up may take to notice, before it is left behind.
const GIVE_UP: Duration = Duration::from_secs(2);

/// The same once the node is to stop at once: 300 ms.
const GIVE_UP_HURRIED: Duration = Duration::from_millis(300);

/// A stage, ready to run.
#[derive(Debug)]
pub(super) enum Ready {
    Source(Box<SourceStage>),
    Operator(Box<OperatorStage>),
    Sink(SinkStage),
}

/// Tells the node that a stage has ended: which, and of which start of it.
#[derive(Debug)]
pub(super) struct EndNotice {
    pub(super) stage: StageKey,
    pub(super) start: u64,
}

/// The node's hold on a stage. Dropping it stops the stage.
#[derive(Debug)]
pub(super) struct Running {
    /// Tells this start of the stage from others under its name.
    pub(super) start: u64,
    commands: mpsc::Sender<Command>,
    abandon: CancellationToken,
    ended: Option<oneshot::Receiver<Ended>>,
}

impl Running {
    /// Starts a stage: an operator on a thread of its own, the others as tasks.
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
            // A node that is gone wants neither.
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

    /// Tells the stage to drain, and waits for its end. Past the deadline, or when `hurry` is cancelled, it is told to give
    /// up what it holds. `None` if it does not even do that in time.
    pub(super) async fn stop(
        mut self,
        drain: Drain,
        deadline: Duration,
        hurry: &CancellationToken,
    ) -> Option<Ended> {
        let ended = self.ended.as_mut()?;
        let within = timeout(deadline, async {
            // A stage that has ended by itself takes no more commands.
            let _ = self.commands.send(Command::Drain(drain)).await;
            (&mut *ended).await.ok()
        });
        tokio::select! {
            biased;
            // Triggered when it has ended, or the deadline has passed.
            outcome = within => if let Ok(outcome) = outcome {
                return outcome;
            },
            // Triggered when the node is to stop at once.
            () = hurry.cancelled() => {}
        }
        self.abandon.cancel();
        tokio::select! {
            biased;
            ended = timeout(GIVE_UP, &mut *ended) => ended.ok().and_then(Result::ok),
            () = hurried(hurry) => None,
        }
    }

    /// Tells the stage to end and to give up what it holds, without waiting. Whether it was not told before.
    pub(super) fn give_up(&self) -> bool {
        if self.abandon.is_cancelled() {
            return false;
        }
        self.abandon.cancel();
        // A stage with so many commands that no more fit gets to this one's end by itself: it is abandoned.
        let _ = self.commands.try_send(Command::Drain(Drain::Queued));
        true
    }

    /// What the stage left when it ended by itself, after its notice has come.
    pub(super) fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()?.try_recv().ok()
    }

    /// Has a running operator make ready for an update, and wait for the word to go over. Dropping what comes of it has it
    /// stay as it was.
    ///
    /// # Errors
    /// The operator refuses it, has ended, or does not come to a batch boundary in time.
    pub(super) async fn make_ready(
        &self,
        update: Update,
        until: Instant,
    ) -> Result<Agreement, String> {
        let (ready, mut answer) = oneshot::channel();
        let (word, go) = oneshot::channel();
        let command = Command::Update(Box::new(update), Asked { ready, go });
        let answered = timeout_at(until, async {
            let sent = self.commands.send(command).await;
            sent.map_err(|_| "it has ended".to_owned())?;
            (&mut answer).await.map_err(|_| "it has ended".to_owned())?
        })
        .await;
        let ready = answered.unwrap_or_else(|_| {
            // Closing first makes the outcome one of two: it is ready, or it never will be.
            answer.close();
            answer.try_recv().unwrap_or_else(|_| {
                Err(format!(
                    "it did not come to a batch boundary within {SWAP_DEADLINE:?}"
                ))
            })
        });
        ready.map(|()| Agreement(word))
    }
}

/// Resolves when a stage that is to stop at once has had its time.
async fn hurried(hurry: &CancellationToken) {
    hurry.cancelled().await;
    tokio::time::sleep(GIVE_UP_HURRIED).await;
}

/// An operator that is ready to go over, and holds up its edges until it hears whether it is to. Dropped, it is not.
#[derive(Debug)]
pub(super) struct Agreement(oneshot::Sender<oneshot::Sender<Duration>>);

impl Agreement {
    /// Has it go over. Tells for how long that held up its edges; `None` if it has ended.
    pub(super) async fn go(self) -> Option<Duration> {
        let (done, took) = oneshot::channel();
        self.0.send(done).ok()?;
        took.await.ok()
    }
}
