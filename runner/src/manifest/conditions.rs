//! `online_when` and `require`: the peers that each side of a stream waits for, and what it requires of them.

use super::{
    diagnostics::Diagnostic,
    guarded::Guarded,
    keys::{Section, Shape, key},
    node::tags,
    reader::Reader,
    tickets::{self, RequiredTicket},
    tree::{Node, Value},
};

/// The condition under which one side of a stream counts as online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Minimum number of peers on the other side; 0 is always met.
    pub minimum_of: usize,
    /// Tags that a peer must have to count.
    pub with_tags: Vec<Guarded<String>>,
}

/// The conditions under which each side of a stream counts as online. Without a condition, the default of the library
/// applies: a producer is online once it has one consumer, a consumer from the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnlineWhen {
    /// Condition of the producer, in terms of its consumers.
    pub producer: Option<Condition>,
    /// Condition of a consumer, in terms of its producers.
    pub consumer: Option<Condition>,
}

/// Requirements on each side of a stream, checked by the other side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Require {
    /// Requirements on consumers, checked by producers.
    pub consumers: Requirement,
    /// Requirements on producers, checked by consumers.
    pub producers: Requirement,
}

/// Requirements on a peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requirement {
    /// The peer must have all of these tags.
    pub tags: Vec<Guarded<String>>,
    /// The peer must present all of these tickets.
    pub tickets: Vec<RequiredTicket>,
}

impl Requirement {
    /// Returns whether every peer is accepted.
    pub fn is_nothing(&self) -> bool {
        self.tags.is_empty() && self.tickets.is_empty()
    }
}

/// Maximum number of peers in a condition: 65,536.
const MAX_PEERS: u64 = 1 << 16;

/// The keys of a condition.
pub(crate) static CONDITION: Section = Section {
    name: "condition",
    doc: "When a side of a stream counts as online.",
    keys: &[
        key(
            "minimum_of",
            Shape::Count(0, MAX_PEERS),
            "So many peers on the other side. Default: 1.",
        ),
        key(
            "with_tags",
            Shape::List(&Shape::Text),
            "Only peers with all of these tags count. Default: any peer.",
        ),
    ],
};

static ONLINE_WHEN: Section = Section {
    name: "online_when",
    doc: "When each side counts as online.",
    keys: &[
        key(
            "producer",
            Shape::Of(&CONDITION),
            "Of the producer, counted in consumers. Default: one.",
        ),
        key(
            "consumer",
            Shape::Of(&CONDITION),
            "Of each consumer, counted in producers. Default: from the start.",
        ),
    ],
};

/// Either one condition for both sides, or one per side.
pub(crate) const ONLINE_WHEN_SHAPE: Shape =
    Shape::Either(&[Shape::Of(&CONDITION), Shape::Of(&ONLINE_WHEN)]);

static REQUIREMENT: Section = Section {
    name: "requirement",
    doc: "Tags and tickets that a peer must show.",
    keys: &[
        key("tags", Shape::List(&Shape::Text), "All of these tags."),
        key(
            "tickets",
            tickets::REQUIRED_TICKETS_SHAPE,
            "All of these tickets.",
        ),
    ],
};

/// The keys of `require`.
pub(crate) static REQUIRE: Section = Section {
    name: "require",
    doc: "Who must show what; the other side checks.",
    keys: &[
        key(
            "consumers",
            Shape::Of(&REQUIREMENT),
            "Of consumers, checked by producers.",
        ),
        key(
            "producers",
            Shape::Of(&REQUIREMENT),
            "Of producers, checked by consumers.",
        ),
    ],
};

/// Reads the `online_when` of a stream.
pub(crate) fn read_online_when(cx: &mut Reader<'_>, node: &Node) -> OnlineWhen {
    let Value::Mapping(entries) = &node.value else {
        cx.expected(node, "online_when", "a mapping");
        return OnlineWhen::default();
    };
    let is_side = |key: &str| ONLINE_WHEN.names().any(|name| name == key);
    if !entries.iter().any(|entry| is_side(&entry.key.text)) {
        let both = read_condition(cx, node);
        return OnlineWhen {
            producer: both.clone(),
            consumer: both,
        };
    }
    if let Some(entry) = entries
        .iter()
        .find(|entry| CONDITION.names().any(|name| name == entry.key.text))
    {
        cx.note(
            Diagnostic::error("one condition for both sides, or one for each")
                .at(entry.key.span, "beside `producer` or `consumer`")
                .help("put it into `producer: {…}` or `consumer: {…}`"),
        );
        return OnlineWhen::default();
    }
    let Some(fields) = cx.section(node, "online_when", &ONLINE_WHEN) else {
        return OnlineWhen::default();
    };
    OnlineWhen {
        producer: fields
            .node("producer")
            .and_then(|node| read_condition(cx, node)),
        consumer: fields
            .node("consumer")
            .and_then(|node| read_condition(cx, node)),
    }
}

/// Reads one condition.
pub(crate) fn read_condition(cx: &mut Reader<'_>, node: &Node) -> Option<Condition> {
    let fields = cx.section(node, "online_when", &CONDITION)?;
    let minimum = match fields.node("minimum_of") {
        Some(node) => cx.count(node, "minimum_of", 0, MAX_PEERS)?,
        None => 1,
    };
    let with_tags = fields
        .node("with_tags")
        .map(|node| tags(cx, node, "with_tags"))
        .unwrap_or_default();
    Some(Condition {
        minimum_of: usize::try_from(minimum).ok()?,
        with_tags,
    })
}

/// Reads the `require` of a stream.
pub(crate) fn read_require(cx: &mut Reader<'_>, node: &Node) -> Require {
    let Some(fields) = cx.section(node, "require", &REQUIRE) else {
        return Require::default();
    };
    let mut side = |key: &'static str| {
        fields
            .get(key)
            .map(|entry| read_requirement(cx, &entry.node, key))
            .unwrap_or_default()
    };
    Require {
        consumers: side("consumers"),
        producers: side("producers"),
    }
}

fn read_requirement(cx: &mut Reader<'_>, node: &Node, what: &str) -> Requirement {
    let Some(fields) = cx.section(node, what, &REQUIREMENT) else {
        return Requirement::default();
    };
    Requirement {
        tags: fields
            .node("tags")
            .map(|node| tags(cx, node, "tags"))
            .unwrap_or_default(),
        tickets: fields
            .node("tickets")
            .map(|node| tickets::read_required(cx, node))
            .unwrap_or_default(),
    }
}
