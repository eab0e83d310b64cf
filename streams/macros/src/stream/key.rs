//! The keys of a stream definition, and the builder that each applies to. No tokens.

use std::fmt;

/// An end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Producer,
    Consumer,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Producer, Self::Consumer];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Producer => Self::Consumer,
            Self::Consumer => Self::Producer,
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|side| side.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The properties of a key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The method of the builder.
    pub(super) method: &'static str,
    /// The sides whose builder has the method.
    of: &'static [Side],
    /// The sides that it applies to without a prefix.
    unprefixed: &'static [Side],
    /// True if its prefix names the side that must satisfy it; it then applies to the other side's builder.
    pub(super) is_requirement: bool,
}

const PRODUCER: &[Side] = &[Side::Producer];
const CONSUMER: &[Side] = &[Side::Consumer];

const KEYS: [Key; 14] = [
    Key::requirement("require"),
    Key::requirement("require_ticket"),
    Key::new("online_when", "online_when", &Side::BOTH, &Side::BOTH),
    Key::new("scope", "with_scope", &Side::BOTH, &Side::BOTH),
    Key::new("buffer_size", "with_buffer_size", &Side::BOTH, PRODUCER),
    Key::new("buffer_bytes", "with_buffer_bytes", &Side::BOTH, PRODUCER),
    Key::new("max_datum_len", "with_max_datum_len", &Side::BOTH, PRODUCER),
    Key::new("max_consumers", "with_max_consumers", PRODUCER, PRODUCER),
    Key::new(
        "disconnect_lagging",
        "disconnect_lagging",
        PRODUCER,
        PRODUCER,
    ),
    Key::new("linger", "with_linger", PRODUCER, PRODUCER),
    Key::new("batch_size", "with_batch_size", CONSUMER, CONSUMER),
    Key::new("criteria", "with_criteria", CONSUMER, CONSUMER),
    Key::new("backoff", "with_backoff", CONSUMER, CONSUMER),
    Key::new("local", "with_local", CONSUMER, CONSUMER),
];

impl Key {
    const fn new(
        name: &'static str,
        method: &'static str,
        of: &'static [Side],
        unprefixed: &'static [Side],
    ) -> Self {
        Self {
            name,
            method,
            of,
            unprefixed,
            is_requirement: false,
        }
    }

    const fn requirement(name: &'static str) -> Self {
        Self {
            is_requirement: true,
            ..Self::new(name, name, &Side::BOTH, &Side::BOTH)
        }
    }

    pub(super) fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// Returns the builders that it applies to, in a definition of `defined` sides.
    ///
    /// # Errors
    /// Returns the reason if there is none.
    pub(super) fn route(
        &self,
        prefix: Option<Side>,
        defined: &[Side],
    ) -> Result<Vec<Side>, Misuse> {
        let Some(prefix) = prefix else {
            let sides: Vec<_> = self
                .unprefixed
                .iter()
                .copied()
                .filter(|side| defined.contains(side))
                .collect();
            return match (sides.is_empty(), self.unprefixed) {
                (true, [side, ..]) => Err(Misuse::Undefined(*side)),
                _ => Ok(sides),
            };
        };
        let side = if self.is_requirement {
            prefix.other()
        } else {
            prefix
        };
        if !self.of.contains(&side) {
            Err(Misuse::NotOf(side))
        } else if defined.contains(&side) {
            Ok(vec![side])
        } else {
            Err(Misuse::Undefined(side))
        }
    }

    /// Returns true if `side`'s builder has the method, possibly with a prefix only.
    pub(super) fn is_of(&self, side: Side) -> bool {
        self.of.contains(&side)
    }
}

/// The reason for which a key applies to no builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Misuse {
    /// The builder of that side has no such method.
    NotOf(Side),
    /// The definition does not have that side.
    Undefined(Side),
}

/// Returns the key that a mistyped one most resembles.
pub(super) fn similar_key(name: &str) -> Option<&'static str> {
    similar(name, KEYS.iter().map(|key| key.name))
}

/// Returns the candidate that `name` most resembles, if any is similar enough.
pub(super) fn similar<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// The minimum similarity of a suggestion.
    const ALIKE: f64 = 0.8;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

/// Lists all keys for an error message.
pub(super) fn names() -> String {
    let names: Vec<_> = KEYS.iter().map(|key| format!("`{}`", key.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Side::{Consumer, Producer};

    const ONLY_PRODUCER: &[Side] = &[Producer];
    const ONLY_CONSUMER: &[Side] = &[Consumer];

    fn route(key: &str, prefix: Option<Side>, defined: &[Side]) -> Result<Vec<Side>, Misuse> {
        Key::named(key).unwrap().route(prefix, defined)
    }

    #[test]
    fn a_requirement_goes_to_the_side_that_checks() {
        for key in ["require", "require_ticket"] {
            assert_eq!(route(key, Some(Consumer), &Side::BOTH), Ok(vec![Producer]));
            assert_eq!(route(key, Some(Producer), &Side::BOTH), Ok(vec![Consumer]));
            assert_eq!(route(key, None, &Side::BOTH), Ok(Side::BOTH.into()));
            assert_eq!(route(key, None, ONLY_PRODUCER), Ok(vec![Producer]));
            assert_eq!(
                route(key, Some(Consumer), ONLY_PRODUCER),
                Ok(vec![Producer])
            );
            assert_eq!(
                route(key, Some(Producer), ONLY_PRODUCER),
                Err(Misuse::Undefined(Consumer))
            );
        }
    }

    #[test]
    fn other_keys_go_to_the_side_they_name() {
        for key in ["online_when", "scope"] {
            assert_eq!(route(key, Some(Consumer), &Side::BOTH), Ok(vec![Consumer]));
            assert_eq!(route(key, Some(Producer), &Side::BOTH), Ok(vec![Producer]));
            assert_eq!(route(key, None, &Side::BOTH), Ok(Side::BOTH.into()));
            assert_eq!(route(key, None, ONLY_CONSUMER), Ok(vec![Consumer]));
        }
        for key in ["buffer_size", "buffer_bytes", "max_datum_len"] {
            assert_eq!(route(key, None, &Side::BOTH), Ok(vec![Producer]));
            assert_eq!(route(key, Some(Consumer), &Side::BOTH), Ok(vec![Consumer]));
            assert_eq!(
                route(key, None, ONLY_CONSUMER),
                Err(Misuse::Undefined(Producer))
            );
        }
        for (key, side) in [
            ("max_consumers", Producer),
            ("disconnect_lagging", Producer),
            ("linger", Producer),
            ("batch_size", Consumer),
            ("criteria", Consumer),
            ("backoff", Consumer),
            ("local", Consumer),
        ] {
            assert_eq!(route(key, None, &Side::BOTH), Ok(vec![side]));
            assert_eq!(route(key, Some(side), &Side::BOTH), Ok(vec![side]));
            assert_eq!(
                route(key, Some(side.other()), &Side::BOTH),
                Err(Misuse::NotOf(side.other()))
            );
            assert_eq!(
                route(key, None, &[side.other()]),
                Err(Misuse::Undefined(side))
            );
        }
    }

    #[test]
    fn mistyped_keys_are_recognised() {
        assert_eq!(similar_key("online_wen"), Some("online_when"));
        assert_eq!(similar_key("max_consumer"), Some("max_consumers"));
        assert_eq!(similar_key("require_tickets"), Some("require_ticket"));
        assert_eq!(similar_key("colour"), None);
    }
}
