//! Substitutes `${env:…}` and `${file:…}` in the scalars of a tree.

use super::Reader;
use crate::declare::{
    diagnostics::Diagnostic,
    source::Span,
    substitute,
    tree::{Entry, Node, Scalar, Value},
};

impl Reader<'_> {
    /// Substitutes every scalar in the tree. Returns `None` if any substitution fails.
    pub(crate) fn resolve(&mut self, node: &Node) -> Option<Node> {
        let value = match &node.value {
            Value::Scalar(scalar) => Value::Scalar(self.substitute(scalar, node.span)?),
            Value::Sequence(items) => {
                // Resolve all items, so that all mistakes are reported.
                let items: Vec<_> = items.iter().map(|item| self.resolve(item)).collect();
                Value::Sequence(items.into_iter().collect::<Option<_>>()?)
            }
            Value::Mapping(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|entry| {
                        Some(Entry {
                            key: entry.key.clone(),
                            node: self.resolve(&entry.node)?,
                        })
                    })
                    .collect();
                Value::Mapping(entries.into_iter().collect::<Option<_>>()?)
            }
        };
        Some(Node {
            span: node.span,
            value,
        })
    }

    pub(super) fn substitute(&mut self, scalar: &Scalar, span: Span) -> Option<Scalar> {
        if scalar.secret || !scalar.text.contains("${") {
            return Some(scalar.clone());
        }
        match substitute::substitute(&scalar.text, self.env, self.base, &mut self.files) {
            Ok(done) => {
                let secret = !done.put_in.is_empty();
                self.put_in.extend(done.put_in);
                Some(Scalar {
                    text: done.text,
                    plain: scalar.plain,
                    secret,
                })
            }
            Err(mistake) => {
                let start = self
                    .source
                    .slice(span)
                    .find(&mistake.piece)
                    .map(|offset| span.start + offset);
                let place =
                    start.map_or(span, |start| Span::new(start, start + mistake.piece.len()));
                self.note(
                    Diagnostic::error(mistake.message)
                        .at(place, mistake.label)
                        .maybe_help(mistake.help),
                );
                None
            }
        }
    }

    /// Marks a secret that is written in the manifest itself, so that no message shows it.
    pub(crate) fn mask(&mut self, node: &Node) {
        if matches!(&node.value, Value::Scalar(scalar) if !scalar.text.contains("${")) {
            self.masked.push(node.span);
        }
    }
}
