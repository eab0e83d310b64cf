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
    graph::config_hint,
    manifest::OperatorLimits,
    operator::{
        Binding, CallError, Component, Description, Grants, Instance, OpenError, Processed, Setup,
    },
    stage::{ANSWERS_MAX, OperatorCounters},
    topology,
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
    counters: OperatorCounters,
}

#[derive(Debug, Default)]
struct Counts {
    /// Number of input lines so far, including lines that are not records.
    datums: u64,
    rejected: u64,
    lost: u64,
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
            limits: topology::limits(limits),
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
            counters: OperatorCounters::default(),
            component,
        })
    }

    /// Runs the operator to the end of its inputs.
    pub(super) fn run(mut self) -> Result<Exit, Stop> {
        self.outputs.report_start(self.component.description())?;
        let ran = self.go();
        let failed = match &ran {
            Ok(()) => None,
            Err(Stop::Unusable(reason) | Stop::Failed(reason)) => Some(reason.as_str()),
            Err(_) => return ran.map(|()| Exit::Success),
        };
        self.hand_on_log()?;
        let counters = self.counters.read();
        let counters: BTreeMap<_, _> = counters
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
        let mut instance = self.open()?;
        if let Some(state) = restored {
            instance
                .restore(&state)
                .map_err(|error| Stop::Unusable(error.to_string()))?;
        }
        for source in std::mem::take(&mut self.sources) {
            let lines = match source {
                Source::Port(port, encoding, path) => Lines::open(path, port, encoding)?,
                Source::Tagged(ports) => Lines::tagged(ports),
            };
            self.feed(&mut instance, lines)?;
        }
        if self.args.tick {
            let ticked = instance.tick();
            self.answer(&mut instance, None, ticked)?;
        }
        if let Some(path) = &self.args.save_state {
            let saved = instance
                .snapshot()
                .map_err(|error| Stop::Failed(error.to_string()))?;
            return Ok(state::save(path, &saved)?);
        }
        for port in 0..self.component.description().inputs.len() {
            let finished = instance.finish(port as u32);
            self.answer(&mut instance, None, finished)?;
        }
        Ok(())
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

    fn feed(&mut self, instance: &mut Instance, mut lines: Lines) -> Result<(), Stop> {
        loop {
            let next = lines.next().map_err(|error| {
                anyhow::Error::new(error).context(format!("cannot read {}", lines.name))
            })?;
            match next {
                Next::Batch(batch) => {
                    let processed = instance.process(batch.port as u32, &batch.frames);
                    self.answer(instance, Some((&lines.name, &batch)), processed)?;
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

    /// Writes the output of a call, including output that the call has left for later.
    fn answer(
        &mut self,
        instance: &mut Instance,
        batch: Option<(&str, &Batch)>,
        mut answer: Result<Processed, CallError>,
    ) -> Result<(), Stop> {
        for _ in 0..ANSWERS_MAX {
            self.hand_on_log()?;
            let processed = match answer {
                Ok(processed) => processed,
                Err(error) => return self.failed(batch, &error),
            };
            self.counters.add(&processed.counted);
            for (port, frames) in &processed.outputs {
                self.outputs.write(*port, frames)?;
            }
            if let Some(batch) = batch {
                let refused = processed.rejected.iter();
                let refused = refused.map(|rejected| (rejected.index as usize, &*rejected.reason));
                self.refused(batch, refused)?;
            }
            self.outputs.flush()?;
            if !processed.more {
                return Ok(());
            }
            answer = instance.resume();
        }
        Err(Stop::Failed(format!(
            "more than {ANSWERS_MAX} answers to one call"
        )))
    }

    /// Handles a failed call. If only the batch was refused, the operator continues.
    fn failed(&mut self, batch: Option<(&str, &Batch)>, error: &CallError) -> Result<(), Stop> {
        let reason = error.to_string();
        match batch {
            Some((name, batch)) if !error.is_fatal() => {
                let all = 0..batch.lines.len();
                self.refused((name, batch), all.map(|index| (index, reason.as_str())))
            }
            Some((name, batch)) => {
                self.done.lost = batch.lines.len() as u64;
                self.done.datums += self.done.lost;
                if let (Some(first), Some(last)) = (batch.lines.first(), batch.lines.last()) {
                    tracing::error!(
                        input = name,
                        "failed on the batch of lines {first} to {last}, which is lost"
                    );
                }
                Err(Stop::Failed(reason))
            }
            None => Err(Stop::Failed(reason)),
        }
    }

    fn refused<'r>(
        &mut self,
        (name, batch): (&str, &Batch),
        refused: impl Iterator<Item = (usize, &'r str)>,
    ) -> Result<(), Stop> {
        let mut datums = batch.frames.iter().enumerate();
        for (index, reason) in refused {
            let datum = datums.find(|(at, _)| *at == index).map(|(_, datum)| datum);
            let line = batch.lines.get(index).copied().unwrap_or_default();
            let number = self.done.datums + index as u64;
            self.rejected(Some(batch.port), (name, line), number, reason, datum)?;
        }
        Ok(())
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
        let shown = String::from_utf8_lossy(datum.unwrap_or_default());
        let shown = &shown[..shown.floor_char_boundary(SHOWN_BYTES_MAX)];
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
