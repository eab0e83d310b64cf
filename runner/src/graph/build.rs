//! Wires a manifest: resolves the names of streams, matches ports with edges, and builds the graph of stages.

use std::collections::BTreeMap;

use mosaik_streams::Encoding;

use super::{
    ComponentInfo, Components, Edge, Graph, OperatorStage, Role, Stage, StageKey, StageKind, check,
    component::{self, Codes},
    cycle, data_file, delivery, outside,
    streams::{self, Uses},
    traps, wiring,
};
use crate::declare::{Diagnostic, Span, Spanned, StageName, StreamName};
use crate::manifest::{
    ConsumerDecl, EdgeDecl, Manifest, OnError, OperatorDecl, Ports, PostcardPolicy, ProducerDecl,
    StreamDecl, both_criteria, check_criteria,
};

/// Wires a manifest. Adds all findings to `found`; if one of them is an error, the returned graph must not be used.
pub(super) fn build(
    manifest: &Manifest,
    components: &dyn Components,
    found: &mut Vec<Diagnostic>,
) -> Graph {
    let mut builder = Builder::new(manifest, found);
    for stream in &manifest.streams {
        if let Some(criteria) = &stream.criteria {
            check_criteria(
                criteria,
                &stream.config.encoding,
                stream.encoding_span,
                builder.found,
            );
        }
    }
    for producer in &manifest.producers {
        let stage = builder.producer(producer);
        builder.stages.extend(stage);
    }
    for operator in &manifest.operators {
        let stage = builder.operator(operator, components);
        builder.stages.extend(stage);
    }
    for consumer in &manifest.consumers {
        let stage = builder.consumer(consumer);
        builder.stages.extend(stage);
    }
    let Builder {
        uses,
        stages,
        found,
        ..
    } = builder;
    streams::check(manifest, &uses, found);
    cycle::check(&uses, found);
    check::check(manifest, &uses, found);
    let configs = manifest
        .streams
        .iter()
        .map(|stream| (stream.name.value.clone(), stream.config.clone()));
    let mut graph = Graph::new(
        manifest.network.clone(),
        (
            manifest.node.config.clone(),
            manifest
                .checkpoint
                .as_ref()
                .map(|checkpoint| checkpoint.value.clone()),
        ),
        configs.collect(),
    );
    for stage in stages {
        graph.add(stage);
    }
    connect(&mut graph);
    delivery::check(manifest, &graph, found);
    component::open(&manifest.operators, &graph, components, found);
    traps::check(manifest, &graph, found);
    graph
}

/// Adds an edge from each writer to each reader of a stream, at most one per pair.
fn connect(graph: &mut Graph) {
    let mut readers: BTreeMap<StreamName, Vec<_>> = BTreeMap::new();
    for index in graph.vertices.node_indices() {
        for edge in graph.vertices[index].edges() {
            let list = readers.entry(edge.stream.clone()).or_default();
            if list.last() != Some(&index) {
                list.push(index);
            }
        }
    }
    for writer in graph.vertices.node_indices() {
        let mut written: Vec<StreamName> = graph.vertices[writer].writes().cloned().collect();
        written.sort();
        written.dedup();
        for stream in written {
            for reader in readers.get(&stream).into_iter().flatten() {
                graph.vertices.add_edge(writer, *reader, stream.clone());
            }
        }
    }
}

struct Builder<'m, 'f> {
    manifest: &'m Manifest,
    streams: BTreeMap<&'m str, &'m StreamDecl>,
    uses: Uses,
    stages: Vec<Stage>,
    codes: Codes,
    found: &'f mut Vec<Diagnostic>,
}

impl<'m, 'f> Builder<'m, 'f> {
    fn new(manifest: &'m Manifest, found: &'f mut Vec<Diagnostic>) -> Self {
        let streams = manifest
            .streams
            .iter()
            .map(|stream| (stream.name.value.as_str(), stream))
            .collect();
        Self {
            manifest,
            streams,
            uses: Uses::default(),
            stages: Vec::new(),
            codes: Codes::default(),
            found,
        }
    }

    fn producer(&mut self, decl: &ProducerDecl) -> Option<Stage> {
        let key = stage_key(Role::Producer, &decl.name);
        let stream = self.write(&key, &decl.to);
        outside::check_source(decl, stream, self.found);
        check::source(decl, stream, self.found);
        stream?;
        Some(Stage {
            key,
            kind: StageKind::Source {
                config: decl.from.clone(),
                to: decl.to.value.clone(),
            },
        })
    }

    fn consumer(&mut self, decl: &ConsumerDecl) -> Option<Stage> {
        let key = stage_key(Role::Consumer, &decl.name);
        outside::check_sink(decl, self.found);
        if let Some(stream) = self.streams.get(decl.from.stream.value.as_str()) {
            check::sink(decl, stream, self.found);
        }
        self.dead_letters(&key, &decl.settings.on_error, decl.on_error_span());
        let from = self.edge(&key, &decl.from)?;
        Some(Stage {
            key,
            kind: StageKind::Sink {
                from: Box::new(from),
                config: decl.to.clone(),
                settings: decl.settings.clone(),
            },
        })
    }

    /// Notes and checks the stream for dead-letter records, if there is one.
    fn dead_letters(&mut self, key: &StageKey, on_error: &OnError, span: Span) {
        if let OnError::To(stream) = on_error {
            let stream = Spanned::new(stream.clone(), span);
            if let Some(declared) = self.write(key, &stream) {
                check::failures(&stream, declared, self.found);
            }
        }
    }

    fn operator(&mut self, decl: &OperatorDecl, components: &dyn Components) -> Option<Stage> {
        let key = stage_key(Role::Operator, &decl.name);
        let from = decl.from.as_ref().map(|from| self.edges(&key, from));
        for stream in written(decl) {
            self.write(&key, stream);
        }
        self.dead_letters(&key, &decl.settings.on_error, on_error_span(decl));
        let files = data_file::read(decl, self.found);
        let info = match self.codes.inspect(decl, components) {
            Ok(info) => info,
            Err(wrong) => {
                self.found.push(*wrong);
                return None;
            }
        };
        if !decl.wired {
            return None;
        }
        let inputs = wiring::inputs(decl, &info, from, self.found);
        let outputs = wiring::outputs(decl, &info, self.found);
        let postcard = self.postcard_policy(decl, inputs.as_ref()?, outputs.as_ref()?);
        if let (Some(_), Some(inputs)) = (&decl.settings.key, &inputs) {
            let read = inputs
                .iter()
                .filter_map(|input| self.streams.get(input.edge.stream.as_str()).copied());
            check::key(decl.span_of("key"), postcard, read, self.found);
        }
        Some(Stage {
            key,
            kind: StageKind::Operator(Box::new(OperatorStage {
                postcard,
                files: files?,
                ..operator_stage(decl, info, inputs?, outputs?)
            })),
        })
    }

    /// Returns the operator's setting for postcard streams, if it has any such streams.
    fn postcard_policy(
        &self,
        decl: &OperatorDecl,
        inputs: &[super::Input],
        outputs: &[super::Output],
    ) -> PostcardPolicy {
        let read = inputs.iter().map(|input| &input.edge.stream);
        let written = outputs.iter().map(|output| &output.stream);
        let is_postcard = |stream: &StreamName| {
            let stream = self.streams.get(stream.as_str());
            stream.is_some_and(|stream| matches!(stream.config.encoding, Encoding::Postcard(_)))
        };
        if read.chain(written).any(is_postcard) {
            decl.postcard
        } else {
            PostcardPolicy::Native
        }
    }

    /// Returns the edges of an operator's `from`, in order; `None` in place of invalid ones.
    fn edges(&mut self, key: &StageKey, from: &Ports<EdgeDecl>) -> Vec<Option<Edge>> {
        match from {
            Ports::One(edge) => vec![self.edge(key, edge)],
            Ports::Named(ports, _) => ports.iter().map(|(_, edge)| self.edge(key, edge)).collect(),
        }
    }

    fn edge(&mut self, key: &StageKey, decl: &EdgeDecl) -> Option<Edge> {
        self.uses.read(key, &decl.stream);
        let stream = self.stream(&decl.stream)?;
        if let Some(criteria) = &decl.criteria {
            check_criteria(
                criteria,
                &stream.config.encoding,
                stream.encoding_span,
                self.found,
            );
        }
        let criteria = match both_criteria(stream.criteria.as_ref(), decl.criteria.as_ref()) {
            Ok(criteria) => criteria,
            Err(reason) => {
                self.found
                    .push(Diagnostic::error(reason).at(decl.criteria_span, "these criteria"));
                return None;
            }
        };
        let defaults = &stream.config.settings;
        let mut settings = decl.settings.clone();
        settings.buffer_size.get_or_insert(defaults.buffer_size);
        settings.buffer_bytes.get_or_insert(defaults.buffer_bytes);
        settings.online_when = settings
            .online_when
            .or_else(|| defaults.online_when.consumer.clone());
        Some(Edge {
            stream: decl.stream.value.clone(),
            criteria,
            settings,
        })
    }

    fn write(&mut self, key: &StageKey, name: &Spanned<StreamName>) -> Option<&'m StreamDecl> {
        self.uses.write(key, name);
        self.stream(name)
    }

    fn stream(&mut self, name: &Spanned<StreamName>) -> Option<&'m StreamDecl> {
        let declared = self.streams.get(name.value.as_str()).copied();
        if declared.is_none() {
            streams::undeclared(self.manifest, name, self.found);
        }
        declared
    }
}

/// Returns the location of the stream for records on which an operator fails.
fn on_error_span(decl: &OperatorDecl) -> Span {
    let stream = decl.places.value("on_error.to");
    stream.unwrap_or_else(|| decl.span_of("on_error"))
}

fn stage_key(role: Role, name: &Spanned<StageName>) -> StageKey {
    StageKey {
        role,
        name: name.value.clone(),
    }
}

fn written(decl: &OperatorDecl) -> Vec<&Spanned<StreamName>> {
    match &decl.to {
        None => Vec::new(),
        Some(Ports::One(stream)) => vec![stream],
        Some(Ports::Named(ports, _)) => ports.iter().map(|(_, stream)| stream).collect(),
    }
}

fn operator_stage(
    decl: &OperatorDecl,
    info: ComponentInfo,
    inputs: Vec<super::Input>,
    outputs: Vec<super::Output>,
) -> OperatorStage {
    OperatorStage {
        component: decl.component.value.clone(),
        info,
        inputs,
        outputs,
        config: decl.config.clone(),
        files: Vec::new(),
        settings: decl.settings.clone(),
        postcard: decl.postcard,
    }
}
