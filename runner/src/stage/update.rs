//! What a running operator goes over to between two batches: other instances, other settings. First it makes ready, and only
//! when all others that go over with it are ready too does it go over; until then nothing of it has changed.

use std::time::{Duration, Instant};

use tokio::{sync::oneshot, time::Interval};

use super::{
    Blueprint, Converters, End, OnError, OutputPort, Spread,
    crew::Crew,
    history::Saved,
    operator::{Running, interval},
    spread::spread,
    worker::Outfit,
};
use crate::operator::{Instance, Limits};

/// What a running operator goes over to.
#[derive(Debug)]
pub struct Update {
    /// What changes of its settings.
    pub settings: Settings,
    /// Other instances; those it has go on without.
    pub replacement: Option<Replacement>,
}

/// Other instances, and what there is to know of them.
#[derive(Debug)]
pub struct Replacement {
    /// The new instances, opened; as many as `spread` says.
    pub instances: Vec<Instance>,
    /// Which of them gets what.
    pub spread: Spread,
    /// How to build them again.
    pub blueprint: Blueprint,
    /// Their output ports, in the new component's order.
    pub outputs: Vec<OutputPort>,
    /// Where postcard is JSON for them.
    pub converters: Converters,
    /// Whether they take over the state of the old ones.
    pub carry: bool,
}

/// What of a running operator can change without another instance.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What its instances are held to.
    pub limits: Limits,
    /// What to do with what it refuses.
    pub on_error: OnError,
    /// How often it is called without a datum; never without this.
    pub tick: Option<Duration>,
    /// How often a snapshot of its state is taken at the least while it is used, for the instance that follows a failure;
    /// [`SNAPSHOT_INTERVAL`](super::SNAPSHOT_INTERVAL) without this.
    pub checkpoint: Option<Duration>,
}

/// The operator's end of an agreement to go over.
#[derive(Debug)]
pub struct Asked {
    /// Where it says that it is ready, or why it is not.
    pub ready: oneshot::Sender<Result<(), String>>,
    /// Brings the word to go over, and where to say for how long that held up its edges. When the other end is dropped,
    /// all stays as it was.
    pub go: oneshot::Receiver<oneshot::Sender<Duration>>,
}

/// What is ready to take over.
struct Next {
    crew: Crew,
    outfit: Outfit,
    spread: Spread,
}

impl Running {
    /// Makes ready, says so, waits for the word, and goes over. Without the word the old instances go on, and have lost
    /// nothing.
    pub(super) async fn update(
        &mut self,
        crew: &mut Crew,
        update: Update,
        asked: Asked,
    ) -> Result<(), End> {
        let Update {
            settings,
            replacement,
        } = update;
        if let Some(replacement) = &replacement
            && replacement.spread.instances > 1
        {
            // They hand on in turns, of which what is held has none.
            crew.hand_on().await?;
        }
        let began = Instant::now();
        let next = match replacement {
            Some(replacement) => self
                .make_ready(crew, replacement, &settings)
                .await
                .map(Some),
            None => Ok(None),
        };
        let (next, ready) = match next {
            Ok(next) => (next, Ok(())),
            Err(reason) => (None, Err(reason)),
        };
        let refused = ready.is_err();
        // Nobody waits for it any more, at worst.
        if asked.ready.send(ready).is_err() || refused {
            return Ok(());
        }
        let Ok(done) = asked.go.await else {
            return Ok(());
        };
        let Some(next) = next else {
            self.outfit.on_error = settings.on_error.clone();
            self.outfit.blueprint.setup.limits = settings.limits;
            retime(&mut self.ticks, settings.tick);
            self.outfit.checkpoint = settings.checkpoint;
            let _ = done.send(began.elapsed());
            return crew.retune(&settings).await;
        };
        let mut before = std::mem::replace(crew, next.crew);
        crew.inherit(&mut before);
        self.outfit = next.outfit;
        self.spread = next.spread;
        self.ticks = settings.tick.map(interval);
        let _ = done.send(began.elapsed());
        // Its state was taken over, or dropped as the manifest says.
        before.end(false, true).await;
        Ok(())
    }

    /// The new instances with the state of the old ones, if it is carried.
    async fn make_ready(
        &self,
        crew: &mut Crew,
        replacement: Replacement,
        settings: &Settings,
    ) -> Result<Next, String> {
        let outfit = Outfit {
            blueprint: replacement.blueprint,
            outputs: replacement.outputs,
            converters: replacement.converters,
            on_error: settings.on_error.clone(),
            checkpoint: settings.checkpoint,
            ..self.outfit.clone()
        };
        let saved = if replacement.carry {
            spread(crew.snapshots().await?, &self.spread, &replacement.spread)?
        } else {
            vec![None; replacement.spread.instances]
        };
        let inputs = self.inputs.iter().zip(&self.open);
        let ended: Vec<_> = inputs
            .filter_map(|(input, open)| (!open).then_some(input.port))
            .collect();
        let members = restored(replacement.instances, saved)?;
        Ok(Next {
            crew: Crew::new(&outfit, members, &replacement.spread, &ended)?,
            outfit,
            spread: replacement.spread,
        })
    }
}

/// Gives each instance its state.
fn restored(
    instances: Vec<Instance>,
    saved: Vec<Option<Saved>>,
) -> Result<Vec<(Instance, Option<Saved>)>, String> {
    let mut members = Vec::new();
    for (mut instance, saved) in instances.into_iter().zip(saved) {
        if let Some(saved) = &saved {
            instance.restore(&saved.state).map_err(|error| {
                format!("the new one refuses the state of the old one: {error}")
            })?;
        }
        members.push((instance, saved));
    }
    Ok(members)
}

/// Another period from now on; the same one goes on as it was.
fn retime(ticks: &mut Option<Interval>, period: Option<Duration>) {
    if ticks.as_ref().map(Interval::period) != period {
        *ticks = period.map(interval);
    }
}
