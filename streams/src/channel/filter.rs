//! Evaluation of a subscriber's criteria on a stream's records. No I/O.

use crate::{
    Criteria, Encoding, Frames,
    criteria::{NotSelectable, Selector},
};

/// Evaluates criteria on a record of a type.
pub(crate) type Matches = fn(&[u8], &Criteria) -> Result<bool, NotSelectable>;

/// The way in which a stream's records are evaluated.
#[derive(Debug, Clone)]
pub(crate) enum Lookup {
    /// On their encoded bytes.
    Encoding(Encoding),
    /// As decoded by their type.
    Datum(Matches),
}

/// Criteria compiled for a stream.
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
    /// Creates a filter for records that are decoded by their type. Cannot fail.
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

    fn matches(&self, datum: &[u8]) -> Result<bool, NotSelectable> {
        match self {
            Self::Everything => Ok(true),
            Self::Encoded(selector) => selector.matches(datum),
            Self::Decoded(matches, criteria) => matches(datum, criteria),
        }
    }

    /// Returns true if a record matches. One that cannot be decoded does not.
    pub(crate) fn wants(&self, datum: &[u8]) -> bool {
        self.matches(datum).unwrap_or(false)
    }

    /// Like [`apply`](Self::apply), and reports the runs of matching and other records in order, with their lengths.
    pub(crate) fn apply_noting(
        &self,
        frames: &Frames,
        mut note: impl FnMut(usize, bool),
    ) -> (Frames, usize) {
        let (mut malformed, mut run, mut is_run_wanted) = (0, 0, true);
        let wanted = frames.filter(|datum| {
            let is_wanted = self.matches(datum).unwrap_or_else(|_| {
                malformed += 1;
                false
            });
            if is_wanted != is_run_wanted {
                note(std::mem::take(&mut run), is_run_wanted);
                is_run_wanted = is_wanted;
            }
            run += 1;
            is_wanted
        });
        note(run, is_run_wanted);
        (wanted, malformed)
    }

    /// Returns the matching records, and the number of those that could not be decoded.
    pub(crate) fn apply(&self, frames: &Frames) -> (Frames, usize) {
        match self {
            Self::Everything => (frames.clone(), 0),
            Self::Encoded(selector) => selector.select(frames),
            Self::Decoded(..) => self.apply_noting(frames, |_, _| {}),
        }
    }
}
