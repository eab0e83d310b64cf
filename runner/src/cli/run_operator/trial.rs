//! [`Trial`]: runs an operator: opens it, feeds it batch by batch, and ends it.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde_json::Value;

use super::{
    Config, RunOperatorArgs, Stop, StreamEncoding,
    input::{Batch, Lines, Next},
    listener::Listener,
    output::{Done, Outputs},
    state,
};
use crate::{
    cli::{Exit, operator_args},
    components,
    graph::config_hint,
    manifest::OperatorLimits,
    operator::{
        Binding, CallError, Component, Description, Grants, Instance, OpenError, Processed, Setup,
        State,
    },
    stage::{Blueprint, OperatorCounter, Receiver, SingleInstance},
};

/// Number of bytes of a rejected record shown in the log: 256.
const SHOWN_BYTES_MAX: usize = 256;

/// An operator run by `run-operator`.
pub(super) struct Trial<'a> {
    args: &'a RunOperatorArgs,
    component: Component,
    setup: Setup,
    listener: Arc<Listener>,
    outputs: Outputs,
    /// The sources of input.
    sources: Vec<Source<'a>>,
    done: Counts,
    counters: BTreeMap<String, OperatorCounter>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Number of input lines so far, including lines that are not records.
    datums: u64,
    rejected: u64,
    lost: u64,
    /// The first failure that cost a record.
    failure: Option<String>,
}

enum Source<'a> {
    Port(usize, StreamEncoding, &'a Path),
    Tagged(Vec<(String, StreamEncoding)>),
}

impl<'a> Trial<'a> {
    /// Checks that the command line fits the operator, and creates the output files.
    pub(super) fn new(
        args: &'a RunOperatorArgs,
        component: Component,
        config: Config,
        limits: &OperatorLimits,
        grants: Grants,
    ) -> Result<Self, Stop> {
        let description = component.description();
        let (inputs, outputs) = (&description.inputs, &description.outputs);
        for (port, _) in &args.inputs {
            number(inputs, port, "input")?;
        }
        for (port, _) in &args.outputs {
            number(outputs, port, "output")?;
        }
        for port in args.encoding.iter().filter_map(|(port, _)| port.as_ref()) {
            if !inputs.contains(port) {
                number(outputs, port, "input or output")?;
            }
        }
        let sources = sources(args, description)?;
        let binding = |port: &String| Binding {
            port: port.clone(),
            stream: port.clone(),
            encoding: encoding(args, port).name().to_owned(),
        };
        let name = operator_args::name(&operator_args::source(&args.operator));
        let listener = Arc::new(Listener::new(&name, args.report.is_some()));
        let setup = Setup {
            name,
            config: config.json,
            secrets: config.secrets,
            // All inputs, which manifests also require, and all possible outputs.
            inputs: inputs.iter().map(binding).collect(),
            outputs: outputs.iter().map(binding).collect(),
            limits: components::limits(limits),
            events: Arc::clone(&listener) as _,
            grants,
        };
        let places = outputs.iter().map(|port| {
            let mut named = args.outputs.iter().rev();
            let file = named.find(|(name, _)| name == port);
            (
                port.as_str(),
                encoding(args, port),
                file.map(|(_, file)| file.as_path()),
            )
        });
        Ok(Self {
            outputs: Outputs::open(places, args.report.is_some())?,
            args,
            setup,
            listener,
            sources,
            done: Counts::default(),
            counters: BTreeMap::new(),
            component,
        })
    }

    /// Runs the operator to the end of its inputs.
    pub(super) fn run(mut self) -> Result<Exit, Stop> {
        self.outputs.report_start(self.component.description())?;
        let ran = self.go().and_then(|()| self.lost());
        let failed = match &ran {
            Ok(()) => None,
            Err(Stop::Unusable(reason) | Stop::Failed(reason)) => Some(reason.as_str()),
            Err(_) => return ran.map(|()| Exit::Success),
        };
        self.hand_on_log()?;
        let counters: BTreeMap<_, _> = std::mem::take(&mut self.counters)
            .into_iter()
            .map(|(name, counter)| (name, counter.total))
            .collect();
        let counted: Vec<_> = counters
            .iter()
            .map(|(name, total)| format!("{name}={total}"))
            .collect();
        let done = Done {
            datums_in: self.done.datums,
            datums_out: self.outputs.count(),
            rejected: self.done.rejected,
            lost: self.done.lost,
            counters,
            failed,
        };
        tracing::info!(
            datums_in = done.datums_in,
            datums_out = done.datums_out,
            rejected = done.rejected,
            lost = done.lost,
            counters = counted.join(" "),
            "done"
        );
        self.outputs.report_done(&done)?;
        self.outputs.flush()?;
        ran.map(|()| match self.done.rejected {
            0 => Exit::Success,
            _ => Exit::Rejected,
        })
    }

    fn go(&mut self) -> Result<(), Stop> {
        let restored = self.args.state.as_deref().map(state::read).transpose()?;
        let mut operator = self.start(restored)?;
        let ran = self.feed_all(&mut operator);
        self.counters = operator.counters();
        ran
    }

    fn start(&mut self, restored: Option<State>) -> Result<SingleInstance, Stop> {
        let mut instance = self.open()?;
        if let Some(state) = &restored {
            instance
                .restore(state)
                .map_err(|error| Stop::Unusable(error.to_string()))?;
        }
        let blueprint = Blueprint {
            component: self.component.clone(),
            setup: self.setup.clone(),
        };
        Ok(SingleInstance::new(blueprint, instance, restored))
    }

    fn feed_all(&mut self, operator: &mut SingleInstance) -> Result<(), Stop> {
        for source in std::mem::take(&mut self.sources) {
            let lines = match source {
                Source::Port(port, encoding, path) => Lines::open(path, port, encoding)?,
                Source::Tagged(ports) => Lines::tagged(ports),
            };
            self.feed(operator, lines)?;
        }
        if self.args.tick {
            operator.tick(&mut self.answering(None))?;
        }
        if let Some(path) = &self.args.save_state {
            let saved = operator.snapshot()?;
            return Ok(state::save(path, &saved)?);
        }
        for port in 0..self.component.description().inputs.len() {
            operator.finish(port as u32, &mut self.answering(None))?;
        }
        Ok(())
    }

    /// Returns an error if records were lost.
    fn lost(&self) -> Result<(), Stop> {
        match &self.done.failure {
            Some(first) => Err(Stop::Failed(format!(
                "failed on {} of {} records; first: {first}",
                self.done.lost, self.done.datums
            ))),
            None => Ok(()),
        }
    }

    fn answering<'t>(&'t mut self, batch: Option<(&'t str, &'t Batch)>) -> Answering<'t, 'a> {
        Answering { trial: self, batch }
    }

    /// Opens the operator with all of its output ports bound. If the operator refuses, for example because it requires
    /// unused ports to be unbound, opens it with the ports named on the command line or in its configuration.
    fn open(&mut self) -> Result<Instance, Stop> {
        let unusable = |error: OpenError| {
            let reason = error.to_string();
            let hint = config_hint(&reason).map(|hint| format!("\n  hint: {hint}"));
            Stop::Unusable(reason + &hint.unwrap_or_default())
        };
        let refused = match self.component.instantiate(self.setup.clone()) {
            Ok(instance) => return Ok(instance),
            Err(error @ OpenError::Call(CallError::Refused(_))) => error,
            Err(error) => return Err(unusable(error)),
        };
        let config = serde_json::from_str(&self.setup.config).unwrap_or_default();
        let named: Vec<_> = self
            .setup
            .outputs
            .iter()
            .filter(|Binding { port, .. }| {
                self.args.outputs.iter().any(|(name, _)| name == port) || has_text(&config, port)
            })
            .cloned()
            .collect();
        if named.is_empty() || named.len() == self.setup.outputs.len() {
            return Err(unusable(refused));
        }
        self.setup.outputs = named;
        self.component
            .instantiate(self.setup.clone())
            .map_err(unusable)
    }

    fn feed(&mut self, operator: &mut SingleInstance, mut lines: Lines) -> Result<(), Stop> {
        loop {
            let next = lines.next().map_err(|error| {
                anyhow::Error::new(error).context(format!("cannot read {}", lines.name))
            })?;
            match next {
                Next::Batch(batch) => {
                    let mut answering = self.answering(Some((&lines.name, &batch)));
                    operator.process(batch.port as u32, &batch.frames, &mut answering)?;
                    self.outputs.flush()?;
                    self.done.datums += batch.lines.len() as u64;
                }
                Next::Bad(line, reason) => {
                    let place = (lines.name.as_str(), line);
                    self.rejected(None, place, self.done.datums, &reason, None)?;
                    self.done.datums += 1;
                    self.outputs.flush()?;
                }
                Next::End => return Ok(()),
            }
        }
    }

    fn rejected(
        &mut self,
        port: Option<usize>,
        (name, line): (&str, u64),
        index: u64,
        reason: &str,
        datum: Option<&[u8]>,
    ) -> Result<(), Stop> {
        self.done.rejected += 1;
        let shown = shown(datum.unwrap_or_default());
        tracing::warn!(input = name, line, datum = shown, "rejected: {reason}");
        let inputs = &self.component.description().inputs;
        let port = port.and_then(|port| inputs.get(port)).map(String::as_str);
        self.outputs.report_rejected(port, (index, line), reason)
    }

    fn hand_on_log(&mut self) -> Result<(), Stop> {
        let lines = self.listener.take_lines();
        lines
            .iter()
            .try_for_each(|(level, message)| self.outputs.report_log(*level, message))
    }
}

/// Writes the answers to one call.
struct Answering<'t, 'a> {
    trial: &'t mut Trial<'a>,
    /// The batch and the name of its source; `None` for a tick or the end of an input.
    batch: Option<(&'t str, &'t Batch)>,
}

impl Answering<'_, '_> {
    /// Calls `note` with each of these records: its port, the name of its source and its line, its
    /// number among all records, and its bytes.
    fn each(
        &mut self,
        records: impl IntoIterator<Item = u32>,
        mut note: impl FnMut(&mut Trial<'_>, usize, (&str, u64), u64, &[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let Some((name, batch)) = self.batch else {
            return Ok(());
        };
        let mut all = (0..).zip(batch.frames.iter());
        for index in records {
            let Some((_, datum)) = all.find(|(at, _)| *at == index) else {
                break;
            };
            let line = batch.lines.get(index as usize).copied().unwrap_or_default();
            let number = self.trial.done.datums + u64::from(index);
            note(self.trial, batch.port, (name, line), number, datum)?;
        }
        Ok(())
    }
}

impl Receiver for Answering<'_, '_> {
    type Error = Stop;

    fn answered(&mut self, answer: &Processed) -> Result<(), Stop> {
        self.trial.hand_on_log()?;
        for (port, frames) in &answer.outputs {
            self.trial.outputs.write(*port, frames)?;
        }
        let mut reasons = answer.rejected.iter().map(|rejected| &*rejected.reason);
        let indexes = answer.rejected.iter().map(|rejected| rejected.index);
        self.each(indexes, |trial, port, place, number, datum| {
            let reason = reasons.next().unwrap_or_default();
            trial.rejected(Some(port), place, number, reason, Some(datum))
        })?;
        self.trial.outputs.flush()
    }

    fn refused(&mut self, records: &[u32], reason: &str) -> Result<(), Stop> {
        self.trial.hand_on_log()?;
        self.each(
            records.iter().copied(),
            |trial, port, place, number, datum| {
                trial.rejected(Some(port), place, number, reason, Some(datum))
            },
        )
    }

    fn failed(&mut self, records: &[u32], reason: &str) -> Result<(), Stop> {
        self.trial.hand_on_log()?;
        self.each(
            records.iter().copied(),
            |trial, _, (name, line), number, datum| {
                trial.done.lost += 1;
                let datum = shown(datum);
                tracing::error!(
                    input = name,
                    line,
                    datum,
                    "lost, as the operator failed: {reason}"
                );
                let number = number + 1;
                let failure = || format!("record {number}, line {line} of {name}: {reason}");
                trial.done.failure.get_or_insert_with(failure);
                Ok(())
            },
        )
    }
}

/// Returns the beginning of a record for the log.
fn shown(datum: &[u8]) -> String {
    let mut shown = String::from_utf8_lossy(datum).into_owned();
    shown.truncate(shown.floor_char_boundary(SHOWN_BYTES_MAX));
    shown
}

/// Returns whether one of the texts in a value equals this text.
fn has_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(items) => items.iter().any(|item| has_text(item, text)),
        Value::Object(fields) => fields.values().any(|field| has_text(field, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn sources<'a>(
    args: &'a RunOperatorArgs,
    description: &Description,
) -> Result<Vec<Source<'a>>, Stop> {
    let inputs = &description.inputs;
    if args.tagged {
        let ports = inputs
            .iter()
            .map(|port| (port.clone(), encoding(args, port)));
        return Ok(vec![Source::Tagged(ports.collect())]);
    }
    if args.inputs.is_empty() {
        let first = inputs.iter().take(1);
        let stdin = first.map(|port| Source::Port(0, encoding(args, port), Path::new("-")));
        return Ok(stdin.collect());
    }
    let named = args.inputs.iter().map(|(port, path)| {
        let number = number(inputs, port, "input")?;
        Ok(Source::Port(number, encoding(args, port), path))
    });
    named.collect()
}

/// Returns the encoding of a port: the one set for it, otherwise the one set for all ports, otherwise JSON.
fn encoding(args: &RunOperatorArgs, port: &str) -> StreamEncoding {
    let last = |of: Option<&str>| {
        let mut given = args.encoding.iter().rev();
        given
            .find(|(port, _)| port.as_deref() == of)
            .map(|(_, encoding)| *encoding)
    };
    last(Some(port)).or_else(|| last(None)).unwrap_or_default()
}

fn number(ports: &[String], port: &str, direction: &str) -> Result<usize, Stop> {
    ports.iter().position(|name| name == port).ok_or_else(|| {
        let known = match ports {
            [] => "none".to_owned(),
            ports => format!("`{}`", ports.join("`, `")),
        };
        Stop::Usage(format!(
            "it has no {direction} port `{port}`; it has {known}"
        ))
    })
}
