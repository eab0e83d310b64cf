//! Builds the parts of each stage before the node touches anything that runs: it instantiates
//! components and opens connectors. A failure here changes nothing.

use std::{collections::BTreeMap, sync::Arc};

use mosaik_streams::{Encoding, schema::Transcoder};

use super::error::{BuildError, BuildReason};
use crate::{
    checkpoint::ReadPosition,
    components::{Library, setup},
    connector::{self, Sink, SinkContext, SourceContext},
    graph::{
        self, ConsumerSettings, Edge, Graph, OperatorStage, PostcardPolicy, StageKey, StageKind,
        StreamName,
    },
    operator::{Instance, OpenError},
    stage::{Blueprint, Converters, Guest, Key, Partitioning, Reading, RestoredState},
};

/// The parts of a stage whose creation can fail, with the wiring of the graph that they are for.
#[derive(Debug)]
pub(super) enum Parts<'g> {
    Source {
        to: &'g StreamName,
        reading: Reading,
    },
    Operator {
        operator: &'g OperatorStage,
        instances: Vec<Instance>,
        /// The state that was restored in them from a checkpoint.
        restored: Option<RestoredState>,
        /// How far it has read durable streams of other nodes, in a checkpoint.
        read: Vec<ReadPosition>,
        blueprint: Box<Blueprint>,
        converters: Converters,
    },
    Sink {
        from: &'g Edge,
        settings: &'g ConsumerSettings,
        sink: Box<dyn Sink>,
        /// How far it has read durable streams of other nodes, in a checkpoint.
        read: Vec<ReadPosition>,
        transcoder: Option<Transcoder>,
    },
}

/// The parts of several stages.
pub(super) type PartsOf<'g> = BTreeMap<StageKey, Parts<'g>>;

/// Builds the parts of `stages`.
pub(super) async fn parts_of<'g>(
    graph: &'g Graph,
    stages: impl IntoIterator<Item = &'g graph::Stage>,
    library: &Arc<Library>,
) -> Result<PartsOf<'g>, BuildError> {
    let mut built = BTreeMap::new();
    for stage in stages {
        let id = stage.key.clone();
        let parts = build(graph, stage, library)
            .await
            .map_err(BuildError::of(&id))?;
        built.insert(id, parts);
    }
    Ok(built)
}

async fn build<'g>(
    graph: &'g Graph,
    stage: &'g graph::Stage,
    library: &Arc<Library>,
) -> Result<Parts<'g>, BuildReason> {
    match &stage.kind {
        StageKind::Source { config, to } => {
            let context = SourceContext {
                put_in: config.put_in().to_vec(),
                ..SourceContext::new(graph.streams[to].encoding.clone())
            };
            connector::open_source(config, context)
                .await
                .map(|source| Parts::Source {
                    to,
                    reading: Reading::new(source),
                })
                .map_err(|error| BuildReason::Connector(config.mask(error.to_string())))
        }
        StageKind::Sink {
            from,
            config,
            settings,
        } => {
            let transcoder = transcoder(graph, &from.stream)?;
            let context = SinkContext {
                put_in: config.put_in().to_vec(),
                ..SinkContext::new(graph.streams[&from.stream].encoding.clone())
            };
            connector::open_sink(config, context)
                .await
                .map(|sink| Parts::Sink {
                    from,
                    settings,
                    sink,
                    read: Vec::new(),
                    transcoder,
                })
                .map_err(|error| BuildReason::Connector(config.mask(error.to_string())))
        }
        StageKind::Operator(operator) => {
            let component = library
                .get(&operator.info.hash, &operator.settings.allow)
                .ok_or(BuildReason::NotLoaded)?;
            let setup = setup(
                graph,
                stage,
                operator,
                Arc::new(Guest::new(stage.key.name.as_str())),
            );
            let mut instances: Vec<_> = library
                .take_opened(&component, &setup)
                .into_iter()
                .collect();
            let blueprint = Blueprint { component, setup };
            // Opening runs the guest, within its limits, so it must not run on a thread that does I/O.
            let count = partitioning_of(operator).instances;
            let opened = tokio::task::spawn_blocking(move || {
                let others = blueprint.instances(count.saturating_sub(instances.len()))?;
                instances.extend(others);
                Ok((instances, blueprint))
            });
            let (instances, blueprint) = opened
                .await
                .map_err(BuildReason::OpeningEnded)?
                .map_err(|error: OpenError| BuildReason::Open(error))?;
            Ok(Parts::Operator {
                operator,
                instances,
                restored: None,
                read: Vec::new(),
                blueprint: Box::new(blueprint),
                converters: converters(graph, operator)?,
            })
        }
    }
}

/// Returns the number of instances of an operator and the rule that assigns records to them.
pub(super) fn partitioning_of(operator: &OperatorStage) -> Partitioning {
    Partitioning {
        instances: operator.settings.instances,
        key: operator
            .settings
            .key
            .as_ref()
            .map(|fields| Key::new(fields.iter().map(String::as_str))),
    }
}

/// Returns the converters for the operator's ports that exchange JSON over postcard streams.
fn converters(graph: &Graph, operator: &OperatorStage) -> Result<Converters, BuildReason> {
    if operator.postcard == PostcardPolicy::Native {
        return Ok(Converters::default());
    }
    let of = |stream: Option<&StreamName>| match stream {
        Some(stream) => transcoder(graph, stream),
        None => Ok(None),
    };
    let inputs = operator.info.inputs.iter().map(|port| {
        let mut wired = operator.inputs.iter();
        of(wired
            .find(|wired| wired.port.as_str() == port)
            .map(|wired| &wired.edge.stream))
    });
    let outputs = operator.info.outputs.iter().map(|port| {
        let mut wired = operator.outputs.iter();
        of(wired
            .find(|wired| wired.port.as_str() == port)
            .map(|wired| &wired.stream))
    });
    Ok(Converters {
        inputs: inputs.collect::<Result<_, _>>()?,
        outputs: outputs.collect::<Result<_, _>>()?,
    })
}

/// Returns the transcoder that converts a stream's records to JSON, or `None` if the stream is not
/// postcard.
pub(super) fn transcoder(
    graph: &Graph,
    stream: &StreamName,
) -> Result<Option<Transcoder>, BuildReason> {
    match &graph.streams[stream].encoding {
        Encoding::Postcard(schema) => {
            Transcoder::new(schema)
                .map(Some)
                .map_err(|error| BuildReason::Schema {
                    stream: stream.clone(),
                    error,
                })
        }
        _ => Ok(None),
    }
}
