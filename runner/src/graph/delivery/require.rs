//! `checkpoint.require`: refuses a graph with a path of a weaker class.

use super::{Delivery, DeliveryClass, Graph, PathPart, links};
use crate::{
    declare::{Diagnostic, Span},
    graph::{Role, StageKey},
    manifest::Manifest,
};

/// Reports every part that makes its paths weaker than the manifest requires.
pub(in crate::graph) fn check(manifest: &Manifest, graph: &Graph, found: &mut Vec<Diagnostic>) {
    let Some(checkpoint) = &manifest.checkpoint else {
        return;
    };
    let Some(required) = checkpoint.value.require else {
        return;
    };
    let required_at = checkpoint.places.value("require").unwrap_or_default();
    for (part, delivery) in links(graph) {
        if delivery.class() < required {
            let span = place(manifest, part, &delivery);
            let message = format!(
                "{} is {}, and `checkpoint` requires {required}",
                named(part),
                delivery.class()
            );
            let wrong = Diagnostic::error(message)
                .at(span, delivery.reason())
                .also(required_at, "required of every path");
            let accepts = match delivery.class() {
                DeliveryClass::AtLeastOnce => "`require: at_least_once` accepts it",
                _ => "without `require`, it is accepted",
            };
            found.push(wrong.help(accepts));
        }
    }
}

fn named(part: PathPart<'_>) -> String {
    match part {
        PathPart::Stage(StageKey { role, name }) => format!("{role} `{name}`"),
        PathPart::Stream(name) => format!("shared stream `{name}`"),
    }
}

/// Returns the location of the setting that gives a part its class, or of the part.
fn place(manifest: &Manifest, part: PathPart<'_>, delivery: &Delivery) -> Span {
    let key = delivery.key().unwrap_or_default();
    let span = match part {
        PathPart::Stage(StageKey { role, name }) => match role {
            Role::Producer => {
                let mut all = manifest.producers.iter();
                let decl = all.find(|decl| decl.name.value == *name);
                decl.map(|decl| decl.span_of(key))
            }
            Role::Operator => {
                let mut all = manifest.operators.iter();
                let decl = all.find(|decl| decl.name.value == *name);
                decl.map(|decl| decl.span_of(key))
            }
            Role::Consumer => {
                let mut all = manifest.consumers.iter();
                let decl = all.find(|decl| decl.name.value == *name);
                decl.map(|decl| decl.span_of(key))
            }
        },
        PathPart::Stream(name) => {
            let mut all = manifest.streams.iter();
            all.find(|decl| decl.name.value == *name)
                .map(|decl| decl.name.span)
        }
    };
    span.unwrap_or_default()
}
