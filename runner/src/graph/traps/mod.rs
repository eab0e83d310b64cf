//! Warnings about settings that are valid but most likely not intended, because they lose or mix records.
//!
//! A warning is only issued if the manifest itself shows the problem. A warning never fails a check.

mod memory;
mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ComponentSource, Graph, OperatorStage, Role, Stage, StageKey, StageKind};
use crate::declare::{Diagnostic, Severity, Span};
use crate::manifest::{Manifest, OperatorDecl, ProducerDecl};

/// Checks a manifest without errors for such settings.
pub(super) fn check(manifest: &Manifest, graph: &Graph, found: &mut Vec<Diagnostic>) {
    if found.iter().any(|found| found.severity == Severity::Error) {
        return;
    }
    for decl in &manifest.operators {
        let Some((stage, operator)) = wired(decl, graph) else {
            continue;
        };
        found.extend(state_without_key(decl, operator));
        found.extend(memory::check(decl));
        if let Some(kind) = Windowed::of(decl) {
            found.extend(out_of_order(decl, &kind, stage, (manifest, graph)));
            found.extend(followed_without_tick(decl, &kind, stage, (manifest, graph)));
        }
    }
    sample::check(manifest, found);
}

fn wired<'g>(decl: &OperatorDecl, graph: &'g Graph) -> Option<(&'g Stage, &'g OperatorStage)> {
    let stage = graph.stage(&StageKey {
        role: Role::Operator,
        name: decl.name.value.clone(),
    })?;
    match &stage.kind {
        StageKind::Operator(operator) => Some((stage, operator)),
        _ => None,
    }
}

/// Returns the name of a built-in operator.
fn builtin(decl: &OperatorDecl) -> Option<&str> {
    match &*decl.component.value {
        ComponentSource::Builtin(name) => Some(name),
        ComponentSource::Path(_) => None,
    }
}

/// Returns the location of an operator's configuration, or of its name.
fn config_span(decl: &OperatorDecl) -> Span {
    decl.config_span.unwrap_or(decl.name.span)
}

/// Reports instances with state and without a key, each of which receives only a part of the records.
fn state_without_key(decl: &OperatorDecl, operator: &OperatorStage) -> Option<Diagnostic> {
    let keeps_none = builtin(decl) == Some("sample") && decl.config.get("fraction").is_some();
    if decl.settings.instances < 2
        || decl.settings.key.is_some()
        || operator.info.state_version == 0
        || keeps_none
    {
        return None;
    }
    let by = fields(decl.config.get("by")).filter(|_| !decl.config.is_secret());
    let help = match by.as_deref() {
        Some([field]) => format!("`key: {field}` sends all records of one key to one instance"),
        Some(fields) if !fields.is_empty() => format!(
            "`key: [{}]` sends all records of one key to one instance",
            fields.join(", ")
        ),
        _ => "give it the `key` whose records belong together, or one instance".to_owned(),
    };
    Some(
        Diagnostic::warning(format!(
            "operator `{}` keeps state, which is divided among its {} instances",
            decl.name.value, decl.settings.instances
        ))
        .at(
            decl.span_of("instances"),
            "a record goes to any instance, because there is no `key`",
        )
        .help(help),
    )
}

/// An operator that orders records by their event time or by the host's time.
struct Windowed {
    name: &'static str,
    /// Whether records carry an event time.
    by_event_time: bool,
    /// Whether each key has a separate time, so that only the order of that key's records matters.
    by_key: bool,
}

impl Windowed {
    fn of(decl: &OperatorDecl) -> Option<Self> {
        let name = match builtin(decl)? {
            "window" => "window",
            "join" => "join",
            _ => return None,
        };
        let watermark = decl.config.get("watermark").and_then(Value::as_str);
        Some(Self {
            name,
            by_event_time: decl.config.get("time").is_some(),
            by_key: name == "window" && watermark != Some("all"),
        })
    }
}

/// Reports a window or join without allowed lateness that is fed by several instances: since instances differ in speed,
/// records arrive late.
fn out_of_order(
    decl: &OperatorDecl,
    kind: &Windowed,
    stage: &Stage,
    (manifest, graph): (&Manifest, &Graph),
) -> Option<Diagnostic> {
    if !kind.by_event_time || decl.config.get("lateness").is_some() {
        return None;
    }
    let own = fields(decl.config.get("by")).unwrap_or_default();
    let mixes = |above: &&OperatorDecl| {
        // Without a key, the original order is restored.
        let Some(key) = above
            .settings
            .key
            .as_ref()
            .filter(|_| above.settings.instances > 1)
        else {
            return false;
        };
        // All records of a key come from the same instance, in order.
        !(kind.by_key && key.iter().all(|field| own.contains(&field.as_str())))
    };
    let above = upstream(stage, graph);
    let above = manifest.operators.iter().filter(|other| {
        above
            .iter()
            .any(|stage| stage.role == Role::Operator && stage.name == other.name.value)
    });
    let source = above.into_iter().find(mixes)?;
    Some(
        Diagnostic::warning(format!(
            "operator `{}` receives records out of order and accepts none that are late",
            decl.name.value
        ))
        .at(config_span(decl), format!("the `lateness` of this {} is 0s, its default", kind.name))
        .also(
            source.span_of("instances"),
            format!("the instances of `{}` emit records in no common order", source.name.value),
        )
        .help("set `lateness` to how far out of order records may be, like `lateness: 1m`; `0s` if none may"),
    )
}

/// Reports a source that does not end, whose last windows close only on a tick, or never if there is none.
fn followed_without_tick(
    decl: &OperatorDecl,
    kind: &Windowed,
    stage: &Stage,
    (manifest, graph): (&Manifest, &Graph),
) -> Option<Diagnostic> {
    if kind.name != "window" || decl.settings.tick.is_some() {
        return None;
    }
    let above = upstream(stage, graph);
    let is_followed = |producer: &&ProducerDecl| {
        let follows = producer.from.is_endless();
        let is_above =
            |stage: &StageKey| stage.role == Role::Producer && stage.name == producer.name.value;
        follows && above.iter().any(is_above)
    };
    let source = manifest.producers.iter().find(is_followed)?;
    let (message, help) = if decl.config.get("idle").is_some() {
        (
            "has `idle` but no `tick`, which `idle` requires",
            "give it a `tick`, like `tick: 1s`",
        )
    } else if kind.by_event_time {
        (
            "closes its last windows only when later records arrive",
            "give it `tick: 1s`, and its `config` an `idle`, like `idle: 1m`",
        )
    } else {
        (
            "closes its last windows only when later records arrive",
            "give it a `tick`, like `tick: 1s`",
        )
    };
    Some(
        Diagnostic::warning(format!("operator `{}` {message}", decl.name.value))
            .at(config_span(decl), "this window has no `tick`")
            .also(source.path_span(), "this file is followed and never ends")
            .help(help),
    )
}

/// Returns the stages that feed a stage, directly or through other stages.
fn upstream(stage: &Stage, graph: &Graph) -> BTreeSet<StageKey> {
    let mut above = BTreeSet::new();
    let mut next: Vec<&Stage> = vec![stage];
    while let Some(stage) = next.pop() {
        for writer in stage.edges().flat_map(|edge| graph.writers(&edge.stream)) {
            if above.insert(writer.key.clone()) {
                next.push(writer);
            }
        }
    }
    above
}

/// Reads a field, or a list of fields.
fn fields(value: Option<&Value>) -> Option<Vec<&str>> {
    match value? {
        Value::String(field) => Some(vec![field]),
        Value::Array(fields) => fields.iter().map(Value::as_str).collect(),
        _ => None,
    }
}
