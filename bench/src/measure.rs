//! What is measured: rows of cases that are measured in turns, and goals that are ratios within one run.

use std::{error::Error, fmt::Write as _, time::Duration};

use serde::{Deserialize, Serialize};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One number that a case measured.
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

    /// As the only one of a case.
    pub(crate) fn alone(name: impl Into<String>, unit: &'static str, value: f64) -> Vec<Self> {
        vec![Self::new(name, unit, value)]
    }
}

/// For how long, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// What one case is measured for.
    pub(crate) window: Duration,
    /// Whether Mosaik and Zenoh are built and measured too.
    pub(crate) peers: bool,
}

type Measure = Box<dyn Fn(&Setting) -> Result<Vec<Figure>>>;

/// Something that is measured by itself.
pub(crate) struct Case {
    pub(crate) measure: Measure,
    /// Whether it needs Mosaik or Zenoh.
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

/// How [`Bound::Anything`] is shown.
pub(crate) const NO_GOAL: &str = "no goal";

/// What a goal asks of a number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing: it is there to be seen.
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

/// A figure, alone or as a ratio to another one of the same row and round, and what is asked of it.
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
    /// The most rounds that it takes, where one is long.
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

/// The one in the middle, the least and the most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one sample.
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

/// A number that people read: `2.41 M`, `830 k`, `0.19`.
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

/// Three digits that count, no more.
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
