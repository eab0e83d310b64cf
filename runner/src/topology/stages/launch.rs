//! Assembles a stage from its parts, its subscriptions and its outputs.

use std::{collections::BTreeMap, sync::Arc};

use super::{demand::Demands, policies::Policies, running::Ready};
use crate::{
    checkpoint::{Checkpoints, Line, ReadPosition, StageId},
    components::limits,
    graph::{self, Edge, Graph, OnError as OnErrorConfig, Stage, StageKey, StageKind},
    stage::{
        Counters, Input, OnError, OperatorStage, OutputPort, Settings, SinkStage, SourceStage,
        positions_of,
    },
    topology::{
        build::{Parts, partitioning_of},
        error::StartError,
        streams::{Inlets, Outlets},
    },
};

/// The ends of streams, the counters and the handles of the node from which a stage is assembled.
pub(super) struct Assembly<'a> {
    pub(super) graph: &'a Graph,
    pub(super) outlets: &'a Outlets,
    pub(super) inlets: &'a mut Inlets,
    pub(super) demands: &'a mut Demands,
    pub(super) policies: &'a mut Policies,
    pub(super) counters: Arc<Counters>,
}

impl Assembly<'_> {
    /// Assembles a stage. `inherited` holds the subscriptions that continue from its predecessor, and
    /// `line` leads to the coordinator of checkpoints.
    pub(super) fn of(
        self,
        key: &StageKey,
        parts: Parts<'_>,
        (inherited, line): (Vec<Input>, Line),
    ) -> Result<Ready, StartError> {
        let mut inherited: BTreeMap<u32, Input> = inherited
            .into_iter()
            .map(|input| (input.port, input))
            .collect();
        let mut input = |port: u32, edge: &Edge, read: &[ReadPosition]| {
            let positions = positions_of(read, port);
            match inherited.remove(&port) {
                Some(input) => Ok(input),
                None => self
                    .inlets
                    .subscribe(self.graph, key, port, edge, positions),
            }
        };
        Ok(match parts {
            Parts::Source { to, reading } => Ready::Source(Box::new(SourceStage {
                reading,
                output: self.outlets.producer(to),
                demand: self.demands.start(key, self.graph, self.outlets),
                counters: self.counters,
                line,
            })),
            Parts::Sink {
                from,
                settings,
                sink,
                read,
                transcoder,
            } => {
                let input = input(0, from, &read)?;
                let (policy, next_line) = self.policies.start(key, settings, self.outlets);
                Ready::Sink(Box::new(SinkStage {
                    name: key.name.to_string(),
                    input,
                    sink,
                    transcoder,
                    policy,
                    counters: self.counters,
                    line,
                    next_line,
                }))
            }
            Parts::Operator {
                operator,
                instances,
                restored,
                read,
                blueprint,
                converters,
            } => {
                let inputs = operator.inputs.iter().map(|wired| {
                    let port = port_number(operator, wired.port.as_str());
                    input(port, &wired.edge, &read)
                });
                Ready::Operator(Box::new(OperatorStage {
                    name: key.name.to_string(),
                    instances,
                    restored,
                    partitioning: partitioning_of(operator),
                    blueprint: *blueprint,
                    inputs: inputs.collect::<Result<_, _>>()?,
                    outputs: outputs(operator, self.outlets),
                    converters,
                    settings: settings(operator, self.outlets),
                    counters: self.counters,
                    line,
                }))
            }
        })
    }
}

/// Returns the name of a stage in checkpoints.
pub(in crate::topology) fn stage_id(key: &StageKey) -> StageId {
    StageId::new(key.to_string())
}

/// Returns the line of a stage to the coordinator of checkpoints. `is_new` says whether the
/// subscription at a port is new.
pub(super) fn line(
    checkpoints: &Checkpoints,
    stage: &Stage,
    start: u64,
    outlets: &Outlets,
    is_new: impl Fn(u32) -> bool,
) -> Line {
    let inputs: Vec<_> = match &stage.kind {
        StageKind::Source { .. } => Vec::new(),
        StageKind::Sink { from, .. } => vec![(from.stream.as_str(), is_new(0))],
        StageKind::Operator(operator) => {
            let inputs = operator.inputs.iter();
            let inputs = inputs.map(|wired| {
                let port = port_number(operator, wired.port.as_str());
                (wired.edge.stream.as_str(), is_new(port))
            });
            inputs.collect()
        }
    };
    let outputs = stage.writes();
    let outputs = outputs.map(|stream| (stream.as_str(), outlets.producer(stream)));
    checkpoints.join((stage_id(&stage.key), start), inputs, outputs)
}

/// Returns the number of an operator's input port.
fn port_number(operator: &graph::OperatorStage, port: &str) -> u32 {
    let known = operator.info.inputs.iter();
    let number = (0..).zip(known).find(|(_, name)| *name == port);
    number.map_or(0, |(number, _)| number)
}

/// Returns the destinations of an operator's output, in the order of its component's ports.
pub(in crate::topology) fn outputs(
    operator: &graph::OperatorStage,
    outlets: &Outlets,
) -> Vec<OutputPort> {
    let outputs = operator.info.outputs.iter().map(|port| {
        let mut wired = operator.outputs.iter();
        let wired = wired.find(|wired| wired.port.as_str() == port);
        OutputPort {
            producer: wired.map(|wired| outlets.producer(&wired.stream)),
        }
    });
    outputs.collect()
}

/// Returns the settings of an operator that can change without a new instance.
pub(in crate::topology) fn settings(
    operator: &graph::OperatorStage,
    outlets: &Outlets,
) -> Settings {
    Settings {
        limits: limits(&operator.settings.limits),
        on_error: on_error(&operator.settings.on_error, outlets),
        tick: operator.settings.tick,
        checkpoint: operator.settings.checkpoint,
    }
}

/// Returns a policy with the streams that it names, which are open.
pub(super) fn on_error(policy: &OnErrorConfig, outlets: &Outlets) -> OnError {
    match policy {
        OnErrorConfig::Unset => OnError::Skip { explicit: false },
        OnErrorConfig::Skip => OnError::Skip { explicit: true },
        OnErrorConfig::Stop => OnError::Stop,
        OnErrorConfig::Restart => OnError::Restart,
        OnErrorConfig::To(stream) => OnError::To(outlets.producer(stream)),
    }
}
