//! Matches an operator's `from` and `to` with the ports of its component.

use super::{ComponentInfo, Edge, Input, Output};
use crate::declare::{
    Diagnostic, PortName, Span, Spanned, StreamName, all_of, did_you_mean, one_of,
};
use crate::manifest::{OperatorDecl, Ports};

/// Returns the operator's inputs, in the component's order. `edges` are those of its `from`, in the manifest's order.
pub(super) fn inputs(
    decl: &OperatorDecl,
    info: &ComponentInfo,
    edges: Option<Vec<Option<Edge>>>,
    found: &mut Vec<Diagnostic>,
) -> Option<Vec<Input>> {
    let ports = port_names(&info.inputs, "input", decl, found)?;
    let edges = edges.unwrap_or_default();
    match (&decl.from, ports.as_slice()) {
        (None, []) => Some(Vec::new()),
        (None, _) => {
            found.push(
                Diagnostic::error(format!("operator `{}` reads nothing", decl.name.value))
                    .at(decl.name.span, "`from` is missing")
                    .help(format!(
                        "its component has {}",
                        ports_in_words("input", &info.inputs)
                    )),
            );
            None
        }
        (Some(from), []) => {
            found.push(
                Diagnostic::error(format!(
                    "the component of operator `{}` has no input",
                    decl.name.value
                ))
                .at(
                    span_of(from, |edge| edge.stream.span),
                    "nothing can be read",
                )
                .help("remove `from`"),
            );
            None
        }
        (Some(Ports::One(_)), [port]) => {
            let edge = edges.into_iter().next().flatten()?;
            Some(vec![Input {
                port: port.clone(),
                edge,
            }])
        }
        (Some(Ports::One(edge)), [first, second, ..]) => {
            found.push(
                Diagnostic::error(format!("operator `{}` has several inputs", decl.name.value))
                    .at(
                        edge.stream.span,
                        format!(
                            "expected a stream for each of {}",
                            all_of(names(&info.inputs))
                        ),
                    )
                    .help(format!(
                        "write it by port: `from: {{{first}: {}, {second}: …}}`",
                        edge.stream.value
                    )),
            );
            None
        }
        (Some(Ports::Named(named, span)), _) => {
            let wrong = check_ports(named, "input", &info.inputs, found);
            let missing = missing(named, &info.inputs);
            // A port that does not exist was probably meant to be the missing one.
            if !wrong && !missing.is_empty() {
                found.push(
                    Diagnostic::error(format!(
                        "no stream is connected to input {}",
                        all_of(missing.iter().copied())
                    ))
                    .at(*span, format!("of operator `{}`", decl.name.value))
                    .help("every input of an operator reads a stream"),
                );
                return None;
            }
            if wrong {
                return None;
            }
            let mut wired: Vec<_> = named.iter().zip(edges).collect();
            wired.sort_by_key(|((port, _), _)| position(&info.inputs, &port.value));
            wired
                .into_iter()
                .map(|((port, _), edge)| {
                    Some(Input {
                        port: port.value.clone(),
                        edge: edge?,
                    })
                })
                .collect()
        }
    }
}

/// Returns the operator's outputs, in the component's order.
pub(super) fn outputs(
    decl: &OperatorDecl,
    info: &ComponentInfo,
    found: &mut Vec<Diagnostic>,
) -> Option<Vec<Output>> {
    let ports = port_names(&info.outputs, "output", decl, found)?;
    match (&decl.to, ports.as_slice()) {
        (None, []) => Some(Vec::new()),
        (None, _) => {
            found.push(
                Diagnostic::error(format!("operator `{}` writes nothing", decl.name.value))
                    .at(decl.name.span, "`to` is missing")
                    .help(format!(
                        "its component has {}",
                        ports_in_words("output", &info.outputs)
                    )),
            );
            None
        }
        (Some(to), []) => {
            found.push(
                Diagnostic::error(format!(
                    "the component of operator `{}` has no output",
                    decl.name.value
                ))
                .at(span_of(to, |stream| stream.span), "nothing can be written")
                .help("remove `to`"),
            );
            None
        }
        // Ports without a stream are normal: output on them is counted.
        (Some(Ports::One(stream)), [first, ..]) => Some(vec![Output {
            port: first.clone(),
            stream: stream.value.clone(),
        }]),
        (Some(Ports::Named(named, _)), _) => {
            let wrong = check_ports(named, "output", &info.outputs, found);
            if wrong {
                return None;
            }
            let mut wired: Vec<_> = named.iter().collect();
            wired.sort_by_key(|(port, _)| position(&info.outputs, &port.value));
            let output = |(port, stream): &(Spanned<PortName>, Spanned<StreamName>)| Output {
                port: port.value.clone(),
                stream: stream.value.clone(),
            };
            Some(wired.into_iter().map(output).collect())
        }
    }
}

fn check_ports<T>(
    named: &[(Spanned<PortName>, T)],
    kind: &str,
    known: &[String],
    found: &mut Vec<Diagnostic>,
) -> bool {
    let unknown = || {
        named
            .iter()
            .filter(|(port, _)| !known.iter().any(|name| name == port.value.as_str()))
    };
    for (port, _) in unknown() {
        found.push(
            Diagnostic::error(format!("the component has no {kind} `{}`", port.value))
                .at(port.span, format!("expected {}", one_of(names(known))))
                .maybe_help(did_you_mean(port.value.as_str(), names(known))),
        );
    }
    unknown().next().is_some()
}

fn missing<'a, T>(named: &[(Spanned<PortName>, T)], known: &'a [String]) -> Vec<&'a str> {
    names(known)
        .filter(|name| !named.iter().any(|(port, _)| port.value.as_str() == *name))
        .collect()
}

fn position(known: &[String], port: &PortName) -> usize {
    known
        .iter()
        .position(|name| name == port.as_str())
        .unwrap_or(known.len())
}

fn names(ports: &[String]) -> impl Iterator<Item = &str> {
    ports.iter().map(String::as_str)
}

fn ports_in_words(kind: &str, ports: &[String]) -> String {
    let plural = if ports.len() == 1 { "" } else { "s" };
    format!("the {kind}{plural} {}", all_of(names(ports)))
}

/// Returns the component's ports as names that a manifest can contain.
fn port_names(
    ports: &[String],
    kind: &str,
    decl: &OperatorDecl,
    found: &mut Vec<Diagnostic>,
) -> Option<Vec<PortName>> {
    let mut names: Vec<PortName> = Vec::new();
    for port in ports {
        let Some(name) = PortName::new(port).filter(|name| !names.contains(name)) else {
            found.push(
                Diagnostic::error(format!(
                    "the component has an {kind} with an invalid name: {port:?}"
                ))
                .at(decl.component.span, "this component"),
            );
            return None;
        };
        names.push(name);
    }
    Some(names)
}

fn span_of<T>(ports: &Ports<T>, span: impl Fn(&T) -> Span) -> Span {
    match ports {
        Ports::One(one) => span(one),
        Ports::Named(_, whole) => *whole,
    }
}
