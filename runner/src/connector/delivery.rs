//! [`Delivery`]: what a part of a graph guarantees when its node is killed and started again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How often a record counts in the output when its node is killed and started again, from the weakest class to the
/// strongest. A path has the weakest class of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryClass {
    /// A record may be missing.
    AtMostOnce,
    /// No record is missing. Some may be repeated.
    AtLeastOnce,
    /// No record is missing or repeated.
    #[default]
    ExactlyOnce,
}

impl fmt::Display for DeliveryClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AtMostOnce => "at most once",
            Self::AtLeastOnce => "at least once",
            Self::ExactlyOnce => "exactly once",
        })
    }
}

/// The class of a part of a graph, with the reason that it is not a stronger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    class: DeliveryClass,
    reason: &'static str,
    key: Option<&'static str>,
}

impl Delivery {
    /// The class of a part that neither loses nor repeats a record.
    pub const EXACTLY_ONCE: Self = Self {
        class: DeliveryClass::ExactlyOnce,
        reason: "",
        key: None,
    };

    /// Creates the class of a part that may repeat records, with the reason as one clause.
    pub const fn at_least_once(reason: &'static str) -> Self {
        Self {
            class: DeliveryClass::AtLeastOnce,
            reason,
            key: None,
        }
    }

    /// Creates the class of a part that may lose records, with the reason as one clause.
    pub const fn at_most_once(reason: &'static str) -> Self {
        Self {
            class: DeliveryClass::AtMostOnce,
            reason,
            key: None,
        }
    }

    /// Names the key of the manifest that the reason is about.
    #[must_use]
    pub const fn because_of(mut self, key: &'static str) -> Self {
        self.key = Some(key);
        self
    }

    /// Returns the class.
    pub const fn class(&self) -> DeliveryClass {
        self.class
    }

    /// Returns the reason that the class is not a stronger one, as one clause; empty for the strongest.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Returns the key of the manifest that the reason is about; `None` for the part as a whole.
    pub const fn key(&self) -> Option<&'static str> {
        self.key
    }
}
