//! How a stream's datums are looked into, and a subscriber's criteria made ready for that. No I/O.

use crate::{
    Criteria, Encoding, Frames,
    criteria::{NotSelectable, Selector},
};

/// Whether a datum of a type is wanted.
pub(crate) type Matches = fn(&[u8], &Criteria) -> Result<bool, NotSelectable>;

/// How a stream's datums are looked into.
#[derive(Debug, Clone)]
pub(crate) enum Lookup {
    /// On their bytes.
    Encoding(Encoding),
    /// As their type does.
    Datum(Matches),
}

/// Criteria made ready for a stream.
#[derive(Debug)]
pub(crate) enum Filter {
    Everything,
    Encoded(Box<Selector>),
    Decoded(Matches, Criteria),
}

impl Lookup {
    pub(crate) fn filter(&self, criteria: &Criteria) -> Result<Filter, NotSelectable> {
        Ok(match self {
            Self::Datum(matches) => Filter::decoded(*matches, criteria),
            Self::Encoding(_) if criteria.is_everything() => Filter::Everything,
            Self::Encoding(encoding) => Filter::Encoded(Box::new(criteria.selector(encoding)?)),
        })
    }
}

impl Filter {
    /// Of datums that their type looks into, on which no criteria fail beforehand.
    pub(crate) fn decoded(matches: Matches, criteria: &Criteria) -> Self {
        if criteria.is_everything() {
            Self::Everything
        } else {
            Self::Decoded(matches, criteria.clone())
        }
    }

    pub(crate) const fn is_everything(&self) -> bool {
        matches!(self, Self::Everything)
    }

    /// Whether a datum is wanted; one that cannot be looked into is not.
    pub(crate) fn wants(&self, datum: &[u8]) -> bool {
        match self {
            Self::Everything => true,
            Self::Encoded(selector) => selector.matches(datum).unwrap_or(false),
            Self::Decoded(matches, criteria) => matches(datum, criteria).unwrap_or(false),
        }
    }

    /// The wanted datums, and the number of those that could not be looked into.
    pub(crate) fn apply(&self, frames: &Frames) -> (Frames, usize) {
        match self {
            Self::Everything => (frames.clone(), 0),
            Self::Encoded(selector) => selector.select(frames),
            Self::Decoded(matches, criteria) => {
                let mut malformed = 0;
                let wanted = frames.filter(|datum| {
                    matches(datum, criteria).unwrap_or_else(|_| {
                        malformed += 1;
                        false
                    })
                });
                (wanted, malformed)
            }
        }
    }
}
