//! Parses YAML text to a [`Node`], with limits on depth, size and aliases, and without recursion.
//!
//! It uses the event parser beneath serde-saphyr directly. The serde layer of that crate stops at the first mistake,
//! gives no locations for the keys of a mapping, and reads scalars before their type is known. A tree avoids all three
//! problems.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{
    Event, Parser, ScalarStyle, ScanError, Span as YamlSpan, options,
};

use super::{
    diagnostics::Diagnostic,
    source::Span,
    syntax,
    tree::{Entry, Key, Node, Scalar, Value},
};

/// Maximum nesting depth of lists and mappings: 64.
pub(crate) const MAX_DEPTH: usize = 64;
/// Maximum number of values in a manifest: 100,000. Values repeated by aliases count each time.
pub(crate) const MAX_NODES: usize = 100_000;
/// Maximum size of the text in a manifest's values: 4 MiB. Text repeated by aliases counts each time.
pub(crate) const MAX_SCALAR_BYTES: usize = 4 << 20;

/// Parses one document. Returns `Ok(None)` if there is none. Mistakes that still allow a tree to be built are added to
/// `found`.
pub(crate) fn parse(text: &str, found: &mut Vec<Diagnostic>) -> Result<Option<Node>, Diagnostic> {
    // Allow one level more than the limit, so that this module rejects the document with its own message.
    let options =
        options! { flow_nesting_limit: MAX_DEPTH + 1, block_nesting_limit: MAX_DEPTH + 1 };
    let mut builder = Builder::new(text, found);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| scan_error(text, &error))?;
        if let Some(tag) = span.tag_span() {
            builder.refuse_tag(span_of(text, tag));
        }
        builder.take(event, span_of(text, span))?;
    }
    Ok(builder.root)
}

fn scan_error(text: &str, error: &ScanError) -> Diagnostic {
    let offset = error.marker().byte_offset().unwrap_or(text.len());
    syntax::explain(text, error.kind(), offset)
}

fn span_of(text: &str, span: YamlSpan) -> Span {
    let range = span.byte_range().unwrap_or_default();
    let start = text.floor_char_boundary(range.start);
    Span::new(start, text.floor_char_boundary(range.end).max(start))
}

/// A list or mapping that has not ended yet.
struct Open {
    span: Span,
    anchor: usize,
    /// Number of nodes and amount of text before it, from which its own size is computed.
    before: Size,
    /// Depth of its deepest value below it.
    height: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        seen: HashMap<String, Span>,
        next: Next,
    },
}

/// The next element of a mapping.
#[derive(Default)]
enum Next {
    #[default]
    Key,
    Value(Key),
    /// The value of an invalid key.
    Skipped,
}

#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

/// The node that an alias repeats.
struct Anchored {
    node: Node,
    size: Size,
    height: usize,
}

struct Builder<'a> {
    text: &'a str,
    found: &'a mut Vec<Diagnostic>,
    root: Option<Node>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    total: Size,
    /// Number of nodes kept for aliases. Nested anchors keep the same nodes several times.
    kept: usize,
    documents: usize,
    /// Whether any alias was used.
    aliased: bool,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, found: &'a mut Vec<Diagnostic>) -> Self {
        Self {
            text,
            found,
            root: None,
            stack: Vec::new(),
            anchors: HashMap::new(),
            total: Size::default(),
            kept: 0,
            documents: 0,
            aliased: false,
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Diagnostic::error("a manifest is one YAML document")
                        .at(span, "a second one starts here")
                        .help("remove the `---`, or move the second document to its own file"));
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                self.grow(
                    Size {
                        nodes: 1,
                        bytes: text.len(),
                    },
                    span,
                )?;
                let plain = style == ScalarStyle::Plain;
                let size = Size {
                    nodes: 1,
                    bytes: text.len(),
                };
                let scalar = Scalar {
                    text: text.into_owned(),
                    plain,
                    secret: false,
                };
                let node = Node {
                    span,
                    value: Value::Scalar(scalar),
                };
                self.anchor(anchor, &node, size, 0)?;
                self.put(node, 0);
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(anchor, span, Content::Sequence(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, _) => {
                let content = Content::Mapping {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    next: Next::Key,
                };
                self.open(anchor, span, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            _ => {}
        }
        Ok(())
    }

    fn refuse_tag(&mut self, span: Span) {
        self.found.push(
            Diagnostic::error("YAML tags have no meaning in a manifest")
                .at(span, "a tag")
                .help("remove it; a quoted value is text"),
        );
    }

    fn grow(&mut self, by: Size, span: Span) -> Result<(), Diagnostic> {
        self.total.nodes += by.nodes;
        self.total.bytes += by.bytes;
        let help = self
            .aliased
            .then(|| "each alias (`*name`) counts as all the values that it repeats".to_owned());
        if self.total.nodes > MAX_NODES {
            return Err(Diagnostic::error(format!(
                "the manifest has more than {MAX_NODES} values"
            ))
            .at(span, "the limit is exceeded here")
            .maybe_help(help));
        }
        if self.total.bytes > MAX_SCALAR_BYTES {
            let message = format!(
                "the manifest's values have more than {} MiB of text",
                MAX_SCALAR_BYTES >> 20
            );
            return Err(Diagnostic::error(message)
                .at(span, "the limit is exceeded here")
                .maybe_help(help));
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, span: Span, content: Content) -> Result<(), Diagnostic> {
        self.check_depth(1, span)?;
        let before = self.total;
        self.grow(Size { nodes: 1, bytes: 0 }, span)?;
        self.stack.push(Open {
            span,
            anchor,
            before,
            height: 0,
            content,
        });
        Ok(())
    }

    fn check_depth(&self, height: usize, span: Span) -> Result<(), Diagnostic> {
        if self.stack.len() + height > MAX_DEPTH {
            return Err(too_deep(span));
        }
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Diagnostic> {
        let Some(open) = self.stack.pop() else {
            return Ok(());
        };
        let (value, last) = match open.content {
            Content::Sequence(items) => {
                let last = items.last().map(|node| node.span.end);
                (Value::Sequence(items), last)
            }
            Content::Mapping { entries, .. } => {
                let last = entries.last().map(|entry| entry.node.span.end);
                (Value::Mapping(entries), last)
            }
        };
        // A block ends with its last value; a flow collection includes its brackets, so that they are underlined.
        let end = if end.is_empty() {
            last.unwrap_or(end.end)
        } else {
            end.end
        };
        let node = Node {
            span: Span::new(open.span.start, end.max(open.span.end)),
            value,
        };
        let size = Size {
            nodes: self.total.nodes - open.before.nodes,
            bytes: self.total.bytes - open.before.bytes,
        };
        let height = open.height + 1;
        self.anchor(open.anchor, &node, size, height)?;
        self.put(node, height);
        Ok(())
    }

    fn anchor(
        &mut self,
        anchor: usize,
        node: &Node,
        size: Size,
        height: usize,
    ) -> Result<(), Diagnostic> {
        if anchor == 0 {
            return Ok(());
        }
        self.kept += size.nodes;
        if self.kept > MAX_NODES {
            return Err(Diagnostic::error(format!(
                "anchors (`&name`) on more than {MAX_NODES} values"
            ))
            .at(node.span, "the limit is exceeded here"));
        }
        self.anchors.insert(
            anchor,
            Anchored {
                node: node.clone(),
                size,
                height,
            },
        );
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Diagnostic> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::error("an alias within its own anchor")
                .at(span, "would repeat forever"));
        };
        let (size, height) = (anchored.size, anchored.height);
        self.aliased = true;
        self.check_depth(height, span)?;
        self.grow(size, span)?;
        let node = self
            .anchors
            .get(&anchor)
            .map(|anchored| anchored.node.clone());
        if let Some(node) = node {
            self.put(node, height);
        }
        Ok(())
    }

    /// Adds a finished node to its parent: the root, a list, or the next key or value of a mapping.
    fn put(&mut self, mut node: Node, height: usize) {
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.height = open.height.max(height);
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping {
                entries,
                seen,
                next,
            } => match std::mem::take(next) {
                Next::Key => *next = as_key(node, self.text, self.found),
                Next::Skipped => {}
                Next::Value(name) => {
                    if node.span.is_empty() {
                        node.span = name.span;
                    }
                    if let Some(first) = seen.get(&name.text) {
                        self.found.push(duplicate(&name, *first));
                    } else {
                        seen.insert(name.text.clone(), name.span);
                        entries.push(Entry { key: name, node });
                    }
                }
            },
        }
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(format!(
        "lists and mappings are nested more than {MAX_DEPTH} deep"
    ))
    .at(span, "nested too deeply from here")
}

fn duplicate(key: &Key, first: Span) -> Diagnostic {
    Diagnostic::error(format!("`{}` is there twice", key.text))
        .at(key.span, "a second time")
        .also(first, "first here")
        .help("rename or remove one of them")
}

fn as_key(node: Node, text: &str, found: &mut Vec<Diagnostic>) -> Next {
    match node.value {
        Value::Scalar(Scalar {
            text: name,
            plain: true,
            ..
        }) if name == "<<" => {
            found.push(
                Diagnostic::error("manifests do not support merge keys")
                    .at(node.span, "merges another mapping in")
                    .help("write the keys out, or repeat a whole value with `&name` and `*name`"),
            );
            Next::Skipped
        }
        Value::Scalar(scalar) => {
            let written = text.get(node.span.start..node.span.end).unwrap_or_default();
            let substituted = written.contains("${");
            if substituted {
                found.push(
                    Diagnostic::error("keys are not substituted")
                        .at(node.span, "`${…}` works in values only"),
                );
                return Next::Skipped;
            }
            Next::Value(Key {
                text: scalar.text,
                span: node.span,
            })
        }
        Value::Sequence(_) | Value::Mapping(_) => {
            found.push(Diagnostic::error("a key must be a name").at(node.span, "expected text"));
            Next::Skipped
        }
    }
}
