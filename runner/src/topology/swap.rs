//! Operators going over to a new generation between two batches: other instances, or other settings for those there are.
//! When one refuses, those before it go back.

use std::{collections::BTreeMap, time::Duration};

use super::{
    ApplyError, StartError,
    apply::SWAP_DEADLINE,
    build::{Parts, spread_of},
    node::Node,
    setup::limits,
};
use crate::{
    graph::{Graph, OperatorStage, Stage, StageKey, StageKind, StatePolicy, StreamName},
    stage::{Blueprint, Replacement, Settings},
};

/// What an operator has gone over from.
enum Before {
    /// Instances that were built so.
    Instances(Box<Blueprint>),
    /// The same instances, with other settings.
    Settings,
}

impl Node {
    /// Opens the streams to which operators send their failures from now on. Tells which were not open before.
    pub(super) fn open_for_swaps(
        &mut self,
        graph: &Graph,
        swaps: &[StageKey],
    ) -> Result<Vec<StreamName>, StartError> {
        let mut opened = Vec::new();
        for stream in swaps
            .iter()
            .filter_map(|key| graph.stage(key))
            .flat_map(Stage::writes)
        {
            if !self.producers.contains_key(stream) {
                self.open_stream(stream, &graph.streams[stream])?;
                opened.push(stream.clone());
            }
        }
        Ok(opened)
    }

    /// Has operators go over one after the other; when one refuses, those before it go back. Tells for how long each held
    /// up its edges.
    pub(super) async fn swap_all(
        &mut self,
        graph: &Graph,
        stages: &[StageKey],
        parts: &mut BTreeMap<StageKey, Parts>,
    ) -> Result<BTreeMap<StageKey, Duration>, ApplyError> {
        let mut done: Vec<(StageKey, Before)> = Vec::new();
        let mut pauses = BTreeMap::new();
        for id in stages {
            let Some(operator) = operator_of(graph, id) else {
                continue;
            };
            let (outcome, before) = if let Some(Parts::Operator {
                instances,
                blueprint,
                ..
            }) = parts.remove(id)
            {
                let replacement = Replacement {
                    instances,
                    spread: spread_of(operator),
                    blueprint: (*blueprint).clone(),
                    carry: operator.state == StatePolicy::Carry,
                    settings: self.settings(operator),
                };
                let outcome = self.swap_in(id, replacement).await;
                let before = self.blueprints.get(id).cloned();
                if outcome.is_ok() {
                    self.blueprints.insert(id.clone(), *blueprint);
                }
                let before = before.map(Box::new).map(Before::Instances);
                (outcome.map(Some), before)
            } else {
                let settings = self.settings(operator);
                let outcome = self.retune_in(id, settings).await;
                (outcome.map(|()| None), Some(Before::Settings))
            };
            match outcome {
                Ok(pause) => {
                    pauses.extend(pause.map(|pause| (id.clone(), pause)));
                    done.extend(before.map(|before| (id.clone(), before)));
                }
                Err(reason) => {
                    self.go_back(done).await;
                    let stage = id.clone();
                    return Err(ApplyError::Swap { stage, reason });
                }
            }
        }
        Ok(pauses)
    }

    /// Puts things back as the running graph has them, with the state as it is now.
    async fn go_back(&mut self, done: Vec<(StageKey, Before)>) {
        for (id, before) in done.into_iter().rev() {
            let graph = std::sync::Arc::clone(&self.graph);
            let Some(operator) = operator_of(&graph, &id) else {
                continue;
            };
            let (settings, spread) = (self.settings(operator), spread_of(operator));
            let outcome = match before {
                Before::Settings => self.retune_in(&id, settings).await,
                Before::Instances(blueprint) => {
                    let (again, count) = ((*blueprint).clone(), spread.instances);
                    let made = tokio::task::spawn_blocking(move || again.instances(count)).await;
                    let outcome = match made {
                        Ok(Ok(instances)) => {
                            let replacement = Replacement {
                                instances,
                                spread,
                                blueprint: (*blueprint).clone(),
                                carry: true,
                                settings,
                            };
                            self.swap_in(&id, replacement).await.map(|_| ())
                        }
                        Ok(Err(error)) => Err(error.to_string()),
                        Err(error) => Err(error.to_string()),
                    };
                    if outcome.is_ok() {
                        self.blueprints.insert(id.clone(), *blueprint);
                    }
                    outcome
                }
            };
            if let Err(reason) = outcome {
                tracing::error!("{id} could not go back: {reason}");
            }
        }
    }

    async fn swap_in(&self, id: &StageKey, replacement: Replacement) -> Result<Duration, String> {
        match self.stages.get(id) {
            Some(running) => running.swap(replacement, SWAP_DEADLINE).await,
            None => Err("it has ended".to_owned()),
        }
    }

    async fn retune_in(&mut self, id: &StageKey, settings: Settings) -> Result<(), String> {
        // One that has come to its end by itself has nothing that could have settings.
        if let Some(running) = self.stages.get(id) {
            running.retune(settings.clone(), SWAP_DEADLINE).await?;
        }
        if let Some(blueprint) = self.blueprints.get_mut(id) {
            blueprint.setup.limits = settings.limits;
        }
        Ok(())
    }

    /// What of an operator can change without another instance.
    pub(super) fn settings(&self, operator: &OperatorStage) -> Settings {
        Settings {
            limits: limits(&operator.limits),
            on_error: self.on_error(&operator.on_error),
            tick: operator.tick,
            checkpoint: operator.checkpoint,
        }
    }
}

fn operator_of<'g>(graph: &'g Graph, key: &StageKey) -> Option<&'g OperatorStage> {
    match &graph.stage(key)?.kind {
        StageKind::Operator(operator) => Some(operator),
        _ => None,
    }
}
