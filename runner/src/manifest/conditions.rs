//! `online_when` and `require`: the peers that each side of a stream waits for, and what it requires of them.

use super::tickets::{RequiredTicket, required_tickets};
use crate::declare::{
    Declared, Diagnostic, Guarded, Kind, Node, Reader, Shape, Value, count, list, nested,
    read_section, section, text,
};

/// Maximum number of peers in a condition: 65,536.
const MAX_PEERS: u64 = 1 << 16;

section! {
    /// The condition under which one side of a stream is online.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Condition: "condition" {
        /// Number of connected peers. 0 is always met.
        pub minimum_of: usize = count(0, MAX_PEERS), default(1);
        /// Tags that a peer must have to count.
        pub with_tags: Vec<Guarded<String>> = list(text()), empty("any peer counts");
    }
}

section! {
    /// The conditions under which each side of a stream is online.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct OnlineWhen: "online_when" + Default {
        /// Condition of the producer, in terms of its consumers.
        pub producer: Option<Condition> = nested::<Condition>(), unset("one consumer");
        /// Condition of each consumer, in terms of its producers.
        pub consumer: Option<Condition> = nested::<Condition>(), unset("from the start");
    }
}

section! {
    /// Requirements on each side of a stream, checked by the other side.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Require: "require" + Default {
        /// Requirements on consumers, checked by producers.
        pub consumers: Requirement = nested::<Requirement>(), empty("none");
        /// Requirements on producers, checked by consumers.
        pub producers: Requirement = nested::<Requirement>(), empty("none");
    }
}

section! {
    /// Requirements on a peer.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Requirement: "requirement" + Default {
        /// Tags that the peer must have, all of them.
        pub tags: Vec<Guarded<String>> = list(text()), empty("none");
        /// Tickets that the peer must present, all of them.
        pub tickets: Vec<RequiredTicket> = required_tickets(), empty("none");
    }
}

impl Requirement {
    /// Returns whether every peer is accepted.
    pub fn is_nothing(&self) -> bool {
        self.tags.is_empty() && self.tickets.is_empty()
    }
}

/// Either one condition for both sides, or one per side.
pub(crate) fn online_when() -> Kind<OnlineWhen> {
    let shape = Shape::Either(vec![
        Shape::Of(Condition::SECTION),
        Shape::Of(OnlineWhen::SECTION),
    ]);
    Kind {
        show: nested::<OnlineWhen>().show,
        ..Kind::new(shape, read_online_when)
    }
}

fn read_online_when(cx: &mut Reader<'_>, node: &Node, what: &str) -> Option<OnlineWhen> {
    let Value::Mapping(entries) = &node.value else {
        cx.expected(node, what, "a mapping");
        return None;
    };
    let is_side = |key: &str| OnlineWhen::SECTION.names().any(|name| name == key);
    if !entries.iter().any(|entry| is_side(&entry.key.text)) {
        let both = read_section::<Condition>(cx, node, what)?.0;
        return Some(OnlineWhen {
            producer: Some(both.clone()),
            consumer: Some(both),
        });
    }
    let is_condition = |key: &str| Condition::SECTION.names().any(|name| name == key);
    if let Some(entry) = entries.iter().find(|entry| is_condition(&entry.key.text)) {
        cx.note(
            Diagnostic::error("one condition for both sides, or one for each")
                .at(entry.key.span, "beside `producer` or `consumer`")
                .help("put it into `producer: {…}` or `consumer: {…}`"),
        );
        return None;
    }
    Some(read_section::<OnlineWhen>(cx, node, what)?.0)
}
