//! [`Selector`]: criteria compiled for one encoding. Evaluates a record in a single pass and without allocation.

use std::ops::Range;

use super::{Condition, Criteria, MAX_CONDITIONS, Path, json, postcard, value::Value};
use crate::{Encoding, Frames};

/// Criteria cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSelectable {
    /// Records of this encoding have no fields.
    #[error("criteria need fields, and `{0}` records have none")]
    Encoding(&'static str),
    /// The schema has no such field.
    #[error("the schema has no field `{0}`")]
    UnknownField(String),
    /// The criteria exceed the limits on their cost.
    #[error("criteria exceed a limit: {0}")]
    TooCostly(String),
    /// The record is invalid in its encoding.
    #[error("the record is invalid in its encoding")]
    Malformed,
}

/// The record is invalid in its encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Criteria compiled for one encoding.
#[derive(Debug)]
pub struct Selector {
    conditions: Vec<Condition>,
    /// For each alternative, the indices of its conditions.
    alternatives: Vec<Vec<usize>>,
    without: Results,
    walk: Walk,
}

#[derive(Debug)]
enum Walk {
    Everything,
    Json(Node),
    Postcard(postcard::Plan),
}

/// A name on the path to conditions. Conditions are sorted by path, so those of a node, and those below it, are ranges.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) here: Range<usize>,
    pub(super) below: Range<usize>,
    pub(super) children: Vec<(Box<str>, Self)>,
}

/// One bit per condition: 1 if it holds.
type Results = [u64; MAX_CONDITIONS / 64];

/// The results of evaluating a record.
pub(super) struct Findings<'a> {
    selector: &'a Selector,
    holds: Results,
}

impl Criteria {
    /// Compiles the criteria for records of an encoding.
    ///
    /// # Errors
    /// Fails if the encoding has no fields, the schema lacks a field, or the criteria exceed their limits.
    pub fn selector(&self, encoding: &Encoding) -> Result<Selector, NotSelectable> {
        self.check_bounds().map_err(NotSelectable::TooCostly)?;
        let mut sorted: Vec<(&Path, &Condition, usize)> = Vec::new();
        for (index, alternative) in self.any.iter().enumerate() {
            sorted.extend(
                alternative
                    .all
                    .iter()
                    .map(|(path, condition)| (path, condition, index)),
            );
        }
        sorted.sort_by_key(|(path, ..)| *path);

        let mut alternatives = vec![Vec::new(); self.any.len()];
        let mut without = Results::default();
        for (index, (_, condition, alternative)) in sorted.iter().enumerate() {
            alternatives[*alternative].push(index);
            set(&mut without, index, condition.holds_without());
        }
        let paths: Vec<&[String]> = sorted.iter().map(|(path, ..)| path.0.as_slice()).collect();
        let walk = if alternatives.is_empty() || alternatives.iter().any(Vec::is_empty) {
            Walk::Everything
        } else {
            let root = Node::new(&paths, 0, 0);
            match encoding {
                Encoding::Json => Walk::Json(root),
                Encoding::Postcard(schema) => Walk::Postcard(postcard::Plan::new(schema, &root)?),
                Encoding::Text | Encoding::Bytes => {
                    return Err(NotSelectable::Encoding(encoding.name()));
                }
            }
        };
        let conditions = sorted
            .into_iter()
            .map(|(_, condition, _)| condition.clone())
            .collect();
        Ok(Selector {
            conditions,
            alternatives,
            without,
            walk,
        })
    }
}

impl Selector {
    /// Returns true if the record matches.
    ///
    /// # Errors
    /// [`NotSelectable::Malformed`] if it is invalid in its encoding.
    pub fn matches(&self, datum: &[u8]) -> Result<bool, NotSelectable> {
        let mut findings = Findings {
            selector: self,
            holds: self.without,
        };
        match &self.walk {
            Walk::Everything => return Ok(true),
            Walk::Json(root) => json::walk(datum, root, &mut findings),
            Walk::Postcard(plan) => plan.walk(datum, &mut findings),
        }
        .map_err(|Malformed| NotSelectable::Malformed)?;
        Ok(self
            .alternatives
            .iter()
            .any(|all| all.iter().all(|index| get(&findings.holds, *index))))
    }

    /// Returns the matching records, and the number of those that could not be decoded. Shares the buffer if all match.
    pub fn select(&self, frames: &Frames) -> (Frames, usize) {
        if matches!(self.walk, Walk::Everything) {
            return (frames.clone(), 0);
        }
        let mut malformed = 0;
        let wanted = frames.filter(|datum| {
            self.matches(datum).unwrap_or_else(|_| {
                malformed += 1;
                false
            })
        });
        (wanted, malformed)
    }
}

impl Findings<'_> {
    /// Evaluates these conditions on a value.
    pub(super) fn meet(&mut self, here: &Range<usize>, value: Value<'_>) {
        for index in here.clone() {
            set(
                &mut self.holds,
                index,
                self.selector.conditions[index].holds(value),
            );
        }
    }

    /// Resets these conditions, as for a duplicate name.
    pub(super) fn forget(&mut self, below: &Range<usize>) {
        for index in below.clone() {
            set(&mut self.holds, index, get(&self.selector.without, index));
        }
    }
}

impl Node {
    /// `paths` are sorted and share their first `depth` names; `start` is the index of the first of them.
    fn new(paths: &[&[String]], depth: usize, start: usize) -> Self {
        let own = paths.iter().take_while(|path| path.len() == depth).count();
        let mut children = Vec::new();
        let mut next = own;
        while let Some(name) = paths.get(next).map(|path| &path[depth]) {
            let len = paths[next..]
                .iter()
                .take_while(|path| path[depth] == *name)
                .count();
            children.push((
                name.as_str().into(),
                Self::new(&paths[next..next + len], depth + 1, start + next),
            ));
            next += len;
        }
        Self {
            here: start..start + own,
            below: start..start + paths.len(),
            children,
        }
    }
}

fn get(results: &Results, index: usize) -> bool {
    results[index / 64] & (1 << (index % 64)) != 0
}

fn set(results: &mut Results, index: usize, holds: bool) {
    let bit = 1 << (index % 64);
    if holds {
        results[index / 64] |= bit;
    } else {
        results[index / 64] &= !bit;
    }
}
