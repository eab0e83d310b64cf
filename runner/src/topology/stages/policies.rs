//! [`Policies`]: the policies of running sinks, which a reload can change.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::launch::on_error;
use crate::{
    checkpoint::{Line, NextLine},
    graph::{ConsumerSettings, StageKey},
    stage::{Retry, SinkPolicy},
    topology::streams::Outlets,
};

/// The policies of running sinks.
#[derive(Debug, Default)]
pub(super) struct Policies(BTreeMap<StageKey, (watch::Sender<SinkPolicy>, NextLine)>);

impl Policies {
    /// Returns the policy of a sink that is about to start, and the line that it gets with another one.
    pub(super) fn start(
        &mut self,
        sink: &StageKey,
        settings: &ConsumerSettings,
        outlets: &Outlets,
    ) -> (watch::Receiver<SinkPolicy>, NextLine) {
        let (sender, policy) = watch::channel(policy(settings, outlets));
        let next_line = NextLine::default();
        let entry = (sender, next_line.clone());
        self.0.insert(sink.clone(), entry);
        (policy, next_line)
    }

    /// Changes the policy of a running sink. `line` returns the line to the coordinator of checkpoints for its new
    /// outputs; `None` keeps its line. Does nothing if the sink does not run.
    pub(super) fn retune(
        &self,
        sink: &StageKey,
        settings: &ConsumerSettings,
        outlets: &Outlets,
        line: Option<impl FnOnce() -> Line>,
    ) {
        let Some((sender, next_line)) = self.0.get(sink) else {
            return;
        };
        // The sink joins the writers of a stream before it can write to it.
        if let Some(line) = line {
            next_line.set(line);
        }
        sender.send_replace(policy(settings, outlets));
    }

    /// Forgets a sink that has ended.
    pub(super) fn end(&mut self, sink: &StageKey) {
        self.0.remove(sink);
    }
}

fn policy(settings: &ConsumerSettings, outlets: &Outlets) -> SinkPolicy {
    let retry = &settings.retry;
    SinkPolicy {
        retry: Retry {
            initial: retry.initial,
            max: retry.max,
            max_elapsed: retry.max_elapsed,
        },
        on_error: on_error(&settings.on_error, outlets),
    }
}
