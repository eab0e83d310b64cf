//! The wire format of criteria: postcard without recursion, so that a sender cannot make the reader recurse.

use serde::{Deserialize, Serialize};

use super::{Alternative, Condition, Criteria, MAX_NEGATIONS, Path, Range, Scalar};

/// The maximum length of encoded criteria: 60 KiB, which fits into the 64 KiB extension of a frame.
pub const MAX_WIRE_LEN: usize = 60 * 1024;

/// Criteria could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than [`MAX_WIRE_LEN`].
    #[error("criteria of {0} bytes exceed the limit of {MAX_WIRE_LEN} bytes")]
    TooLong(usize),
    /// The criteria exceed the limits on their cost.
    #[error("criteria exceed a limit: {0}")]
    TooCostly(String),
    /// The bytes are not criteria.
    #[error("malformed criteria")]
    Malformed,
}

#[derive(Serialize, Deserialize)]
struct WireCondition {
    negations: u8,
    leaf: Leaf,
}

#[derive(Serialize, Deserialize)]
enum Leaf {
    OneOf(Vec<Scalar>),
    Range(Range),
    Prefix(String),
    Exists(bool),
}

type WireCriteria = Vec<Vec<(Path, WireCondition)>>;

impl Criteria {
    /// Encodes the criteria for a handshake.
    ///
    /// # Errors
    /// Fails if the criteria exceed their limits, or are longer than [`MAX_WIRE_LEN`].
    pub fn to_wire(&self) -> Result<Vec<u8>, WireError> {
        self.check_bounds().map_err(WireError::TooCostly)?;
        let alternatives: WireCriteria = self
            .any
            .iter()
            .map(|alternative| {
                alternative
                    .all
                    .iter()
                    .map(|(path, c)| (path.clone(), to_wire(c)))
                    .collect()
            })
            .collect();
        let bytes = postcard::to_stdvec(&alternatives).map_err(|_| WireError::Malformed)?;
        if bytes.len() > MAX_WIRE_LEN {
            return Err(WireError::TooLong(bytes.len()));
        }
        Ok(bytes)
    }

    /// Decodes criteria from [`to_wire`](Self::to_wire).
    ///
    /// # Errors
    /// Fails if the bytes are longer than [`MAX_WIRE_LEN`] or not criteria, or the criteria exceed their limits.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > MAX_WIRE_LEN {
            return Err(WireError::TooLong(bytes.len()));
        }
        let alternatives: WireCriteria =
            postcard::from_bytes(bytes).map_err(|_| WireError::Malformed)?;
        let any = alternatives.into_iter().map(|all| {
            let all: Result<_, _> = all
                .into_iter()
                .map(|(path, c)| Ok((path, from_wire(c)?)))
                .collect();
            Ok(Alternative { all: all? })
        });
        let criteria = Self {
            any: any.collect::<Result<_, WireError>>()?,
        };
        criteria.check_bounds().map_err(WireError::TooCostly)?;
        Ok(criteria)
    }
}

fn to_wire(condition: &Condition) -> WireCondition {
    let (mut negations, mut condition) = (0, condition);
    loop {
        let leaf = match condition {
            Condition::Not(inner) => {
                (negations, condition) = (negations + 1, inner);
                continue;
            }
            Condition::OneOf(values) => Leaf::OneOf(values.clone()),
            Condition::Range(range) => Leaf::Range(range.clone()),
            Condition::Prefix(prefix) => Leaf::Prefix(prefix.clone()),
            Condition::Exists(exists) => Leaf::Exists(*exists),
        };
        return WireCondition { negations, leaf };
    }
}

fn from_wire(wire: WireCondition) -> Result<Condition, WireError> {
    if usize::from(wire.negations) > MAX_NEGATIONS {
        return Err(WireError::TooCostly(format!(
            "more than {MAX_NEGATIONS} nested `not`"
        )));
    }
    let leaf = match wire.leaf {
        Leaf::OneOf(values) => Condition::OneOf(values),
        Leaf::Range(range) => Condition::Range(range),
        Leaf::Prefix(prefix) => Condition::Prefix(prefix),
        Leaf::Exists(exists) => Condition::Exists(exists),
    };
    Ok((0..wire.negations).fold(leaf, |inner, _| Condition::Not(Box::new(inner))))
}
