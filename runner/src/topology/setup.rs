//! What an operator of a graph is opened with.

use std::sync::Arc;

use mosaik_streams::Encoding;

use crate::{
    graph::{Graph, OperatorStage, PortName, PostcardPolicy, Stage, StreamName},
    operator::{Binding, Events, Limits, Setup},
};

/// What an operator is opened with: its configuration as JSON, the streams on its ports, its limits.
pub(super) fn setup(
    graph: &Graph,
    stage: &Stage,
    operator: &OperatorStage,
    events: Arc<dyn Events>,
) -> Setup {
    let inputs = operator
        .inputs
        .iter()
        .map(|input| (&input.port, &input.edge.stream));
    let outputs = operator
        .outputs
        .iter()
        .map(|output| (&output.port, &output.stream));
    // Not the guard's own text, which hides what came from the environment or a file.
    let config: &serde_json::Value = &operator.config;
    Setup {
        name: stage.key.name.to_string(),
        config: config.to_string(),
        inputs: bindings(graph, operator.postcard, inputs),
        outputs: bindings(graph, operator.postcard, outputs),
        limits: Limits {
            memory_bytes_max: usize::try_from(operator.limits.memory).unwrap_or(usize::MAX),
            call_time_max: operator.limits.time,
            ..Limits::default()
        },
        events,
    }
}

fn bindings<'g>(
    graph: &Graph,
    postcard: PostcardPolicy,
    ports: impl Iterator<Item = (&'g PortName, &'g StreamName)>,
) -> Vec<Binding> {
    let seen_as = |encoding: &Encoding| match (encoding, postcard) {
        (Encoding::Postcard(_), PostcardPolicy::Json) => Encoding::Json.name(),
        (encoding, _) => encoding.name(),
    };
    ports
        .map(|(port, stream)| Binding {
            port: port.to_string(),
            stream: stream.to_string(),
            encoding: seen_as(&graph.streams[stream].encoding).to_owned(),
        })
        .collect()
}
