//! The measurements: rows of cases that are measured in turns, and goals as ratios within one run.

use std::{error::Error, fmt::Write as _, time::Duration};

use serde::{Deserialize, Serialize};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A measured number.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        let name = name.into();
        Self { name, unit, value }
    }

    /// Creates the only figure of a case.
    pub(crate) fn alone(name: impl Into<String>, unit: &'static str, value: f64) -> Vec<Self> {
        vec![Self::new(name, unit, value)]
    }
}

/// The settings of a measurement.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The duration of a case.
    pub(crate) window: Duration,
    /// True if Mosaik and Zenoh are built and measured too.
    pub(crate) peers: bool,
}

type Measure = Box<dyn Fn(&Setting) -> Result<Vec<Figure>>>;

/// A single measurement.
pub(crate) struct Case {
    pub(crate) measure: Measure,
    /// True if it requires Mosaik or Zenoh.
    pub(crate) needs_peers: bool,
}

impl Case {
    pub(crate) fn new(measure: impl Fn(&Setting) -> Result<Vec<Figure>> + 'static) -> Self {
        Self {
            measure: Box::new(measure),
            needs_peers: false,
        }
    }

    pub(crate) fn of_peers(measure: impl Fn(&Setting) -> Result<Vec<Figure>> + 'static) -> Self {
        Self {
            needs_peers: true,
            ..Self::new(measure)
        }
    }
}

/// The text for [`Bound::Anything`].
pub(crate) const NO_GOAL: &str = "no goal";

/// The condition of a goal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// None: for information only.
    Anything,
}

impl Bound {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Anything => true,
        }
    }

    pub(crate) fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", plain(least)),
            Self::AtMost(most) => format!("≤ {}", plain(most)),
            Self::Anything => NO_GOAL.to_owned(),
        }
    }
}

/// A figure, alone or as a ratio to another one of the same row and round, and its bound.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) of: String,
    pub(crate) to: Option<String>,
    pub(crate) bound: Bound,
}

impl Goal {
    pub(crate) fn ratio(of: impl Into<String>, to: impl Into<String>, bound: Bound) -> Self {
        Self {
            of: of.into(),
            to: Some(to.into()),
            bound,
        }
    }

    pub(crate) fn alone(of: impl Into<String>, bound: Bound) -> Self {
        Self {
            of: of.into(),
            to: None,
            bound,
        }
    }

    pub(crate) fn text(&self) -> String {
        match &self.to {
            Some(to) => format!("{} / {to}", self.of),
            None => self.of.clone(),
        }
    }
}

/// Cases that are compared with each other.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) cases: Vec<Case>,
    pub(crate) goals: Vec<Goal>,
    /// The maximum number of rounds, for long rows.
    pub(crate) rounds_max: usize,
}

impl Row {
    pub(crate) fn new(
        name: &'static str,
        about: &'static str,
        cases: Vec<Case>,
        goals: Vec<Goal>,
    ) -> Self {
        Self {
            name,
            about,
            cases,
            goals,
            rounds_max: usize::MAX,
        }
    }

    pub(crate) fn at_most(self, rounds_max: usize) -> Self {
        Self { rounds_max, ..self }
    }
}

/// The median, minimum and maximum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Returns `None` without samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: *sorted.get(sorted.len() / 2)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }
}

/// Formats a number for people: `2.41 M`, `830 k`, `0.19`.
pub(crate) fn scaled(value: f64) -> String {
    let (value, prefix) = match value.abs() {
        big if big >= 1e9 => (value / 1e9, " G"),
        big if big >= 1e6 => (value / 1e6, " M"),
        big if big >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let mut text = plain(value);
    let _ = write!(text, "{prefix}");
    text
}

/// Formats a number with three significant digits.
fn plain(value: f64) -> String {
    let text = match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        some if some >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
