//! Builds the setup with which an operator of a graph is opened.

use std::sync::Arc;

use mosaik_streams::Encoding;

use crate::{
    graph::{
        self, DataFile, Graph, Guarded, OperatorConfig, OperatorLimits, OperatorStage, PortName,
        PostcardPolicy, Stage, StreamName,
    },
    operator::{Binding, Directory, Events, Grants, HttpHost, Limits, Setup},
};

/// Returns an operator's setup: its configuration as JSON, the streams on its ports and its limits.
pub(crate) fn setup(
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
    // Use the value behind the `Guarded`, whose own text hides values from the environment or from
    // files.
    let config: &OperatorConfig = &operator.config;
    Setup {
        name: stage.key.name.to_string(),
        config: with_files(config, &operator.files),
        secrets: operator.config.put_in().to_vec(),
        inputs: bindings(graph, operator.postcard, inputs),
        outputs: bindings(graph, operator.postcard, outputs),
        limits: limits(&operator.settings.limits),
        grants: granted(&operator.settings.allow),
        events,
    }
}

/// Converts the limits of a manifest to those that the host enforces on an instance.
pub fn limits(of: &OperatorLimits) -> Limits {
    Limits {
        memory_bytes_max: usize::try_from(of.memory).unwrap_or(usize::MAX),
        call_time_max: of.time,
        call_wait_max: of.wait,
        ..Limits::default()
    }
}

/// Converts the grants of a manifest to those that the host implements.
pub fn granted(allowed: &graph::Grants) -> Grants {
    let graph::Grants {
        wasi,
        env,
        http,
        dirs,
        random,
    } = allowed;
    let variable = |(name, value): &(String, Guarded<String>)| (name.clone(), (**value).clone());
    Grants {
        wasi: *wasi,
        env: env.iter().map(variable).collect(),
        dirs: dirs
            .iter()
            .map(|dir| Directory {
                path: (*dir.path).clone(),
                name: (*dir.name).clone(),
                write: dir.write,
            })
            .collect(),
        http: http
            .iter()
            .map(|granted| HttpHost {
                host: granted.host.clone(),
                port: granted.port,
            })
            .collect(),
        random: *random,
    }
}

/// Returns the configuration with the contents of the data files inserted.
fn with_files(config: &OperatorConfig, files: &[DataFile]) -> String {
    let mut text = config.json().to_owned();
    if files.is_empty() {
        return text;
    }
    let is_empty = config.as_object().is_none_or(serde_json::Map::is_empty);
    // The files are inserted before the closing brace of the object.
    text.pop();
    for (index, DataFile { name, json }) in files.iter().enumerate() {
        if index > 0 || !is_empty {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name.as_str()).to_string());
        text.push(':');
        text.push_str(json);
    }
    text.push('}');
    text
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
