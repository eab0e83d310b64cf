//! Criteria on the wire: postcard, without recursion, so that no sender can make its reader recurse.

use serde::{Deserialize, Serialize};

use super::{Alternative, Condition, Criteria, MAX_NEGATIONS, Path, Range, Scalar};

/// The most bytes that encoded criteria may take: 60 KiB, so that they fit the 64 KiB of a frame's extension.
pub const MAX_WIRE_LEN: usize = 60 * 1024;

/// Why criteria could not be written to bytes or read from them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// More bytes than [`MAX_WIRE_LEN`].
    #[error("criteria of {0} bytes, more than {MAX_WIRE_LEN}")]
    TooLong(usize),
    /// Beyond the bounds of what is evaluated for a stranger.
    #[error("criteria too costly: {0}")]
    TooCostly(String),
    /// Bytes that are no criteria.
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
    /// The bytes that a handshake carries.
    ///
    /// # Errors
    /// When the criteria are beyond their bounds, or longer than [`MAX_WIRE_LEN`].
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

    /// Reads what [`to_wire`](Self::to_wire) wrote, possibly elsewhere.
    ///
    /// # Errors
    /// When the bytes are more than [`MAX_WIRE_LEN`], no criteria, or criteria beyond their bounds.
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
            "more than {MAX_NEGATIONS} `not` around each other"
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
