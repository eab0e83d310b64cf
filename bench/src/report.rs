//! The results: saved as JSON, shown as a table, and compared with earlier ones.

use std::{collections::BTreeMap, fmt::Write as _, process::Command};

use serde::{Deserialize, Serialize};

use crate::measure::{Figure, Goal, NO_GOAL, Result, Row, Setting, Spread, scaled};

/// One run of the program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The duration of a case in seconds.
    pub(crate) seconds: f64,
    pub(crate) rows: Vec<Measured>,
}

/// The machine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    system: String,
    rustc: String,
}

/// A row with its figures.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) figures: Vec<Samples>,
    pub(crate) goals: Vec<Judged>,
}

/// A figure, once for each round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Samples {
    pub(crate) name: String,
    pub(crate) unit: String,
    #[serde(flatten)]
    pub(crate) spread: Spread,
    pub(crate) values: Vec<f64>,
}

/// A goal and its outcome.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Judged {
    pub(crate) what: String,
    pub(crate) bound: String,
    /// `None` if one of its figures was not measured.
    pub(crate) outcome: Option<Outcome>,
}

/// The outcome of a goal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Outcome {
    #[serde(flatten)]
    pub(crate) spread: Spread,
    pub(crate) met: bool,
}

/// The figures of a row while they are being measured.
type Seen = Vec<(Figure, Vec<f64>)>;

/// Measures the rows in turns, for this number of rounds.
pub(crate) fn measure(
    rows: &[Row],
    setting: &Setting,
    rounds: usize,
    mut tell: impl FnMut(&str),
) -> Report {
    let mut seen: Vec<Seen> = rows.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (row, seen) in rows.iter().zip(&mut seen) {
            if round >= row.rounds_max {
                continue;
            }
            tell(&format!("round {} of {rounds}: {}", round + 1, row.name));
            for case in &row.cases {
                if case.needs_peers && !setting.peers {
                    continue;
                }
                // A failed case leaves a gap; the others are measured anyway.
                match (case.measure)(setting) {
                    Ok(figures) => figures.into_iter().for_each(|figure| note(seen, figure)),
                    Err(error) => tell(&format!("{}: {error}", row.name)),
                }
            }
        }
    }
    let measured = rows
        .iter()
        .zip(seen)
        .map(|(row, figures)| judge(row, figures));
    Report {
        machine: Machine::this(),
        seconds: setting.window.as_secs_f64(),
        rows: measured.collect(),
    }
}

fn note(seen: &mut Seen, figure: Figure) {
    match seen.iter_mut().find(|(seen, _)| seen.name == figure.name) {
        Some((_, values)) => values.push(figure.value),
        None => seen.push((figure.clone(), vec![figure.value])),
    }
}

fn judge(row: &Row, seen: Seen) -> Measured {
    let by_name: BTreeMap<&str, &[f64]> = seen
        .iter()
        .map(|(figure, values)| (figure.name.as_str(), values.as_slice()))
        .collect();
    let goals = row
        .goals
        .iter()
        .map(|goal| judged(goal, &by_name))
        .collect();
    let figures = seen.into_iter().filter_map(|(figure, values)| {
        Some(Samples {
            name: figure.name,
            unit: figure.unit.to_owned(),
            spread: Spread::of(&values)?,
            values,
        })
    });
    Measured {
        name: row.name.to_owned(),
        about: row.about.to_owned(),
        figures: figures.collect(),
        goals,
    }
}

/// Computes ratios per round, so that a temporary slowdown of the machine affects both sides.
fn judged(goal: &Goal, figures: &BTreeMap<&str, &[f64]>) -> Judged {
    let of = figures.get(goal.of.as_str()).copied().unwrap_or_default();
    let values: Vec<f64> = match &goal.to {
        None => of.to_vec(),
        Some(to) => {
            let to = figures.get(to.as_str()).copied().unwrap_or_default();
            of.iter().zip(to).map(|(of, to)| of / to).collect()
        }
    };
    Judged {
        what: goal.text(),
        bound: goal.bound.text(),
        outcome: Spread::of(&values).map(|spread| Outcome {
            spread,
            met: goal.bound.is_met(spread.median),
        }),
    }
}

impl Machine {
    fn this() -> Self {
        let said = |program: &str, arg: &str| {
            let output = Command::new(program).arg(arg).output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: cpu.map_or_else(String::new, |(_, name)| name.to_owned()),
            system: said("uname", "-sr").unwrap_or_default(),
            rustc: said("rustc", "--version").unwrap_or_default(),
        }
    }
}

impl Report {
    /// Formats the results as a table.
    pub(crate) fn table(&self) -> Result<String> {
        let mut text = String::new();
        let Machine {
            cores,
            cpu,
            system,
            rustc,
        } = &self.machine;
        writeln!(
            text,
            "{cores} cores, {cpu}, {system}, {rustc}; each case for {} s",
            self.seconds
        )?;
        for row in &self.rows {
            writeln!(text, "\n{}: {}", row.name, row.about)?;
            for figure in &row.figures {
                let Spread { median, min, max } = figure.spread;
                let [median, min, max] = [median, min, max].map(scaled);
                write!(text, "  {:<44} {median:>9} {}", figure.name, figure.unit)?;
                if figure.values.len() > 1 {
                    write!(text, "  ({min} to {max} in {})", figure.values.len())?;
                }
                text.push('\n');
            }
            for goal in &row.goals {
                let Some(Outcome { spread, met }) = goal.outcome else {
                    writeln!(text, "  {:<44} {:>9} {}", goal.what, "?", goal.bound)?;
                    continue;
                };
                let met = match met {
                    true if goal.bound == NO_GOAL => "",
                    true => "met",
                    false => "MISSED",
                };
                writeln!(
                    text,
                    "  {:<44} {:>9} {}  {met}",
                    goal.what,
                    scaled(spread.median),
                    goal.bound
                )?;
            }
        }
        Ok(text)
    }

    /// Formats the differences from an earlier run, per figure.
    pub(crate) fn changes_since(&self, old: &Self) -> Result<String> {
        let mut text = String::new();
        for row in &self.rows {
            let Some(before) = old.rows.iter().find(|old| old.name == row.name) else {
                continue;
            };
            for figure in &row.figures {
                let mut figures = before.figures.iter();
                let Some(before) = figures.find(|old| old.name == figure.name) else {
                    continue;
                };
                let (old, new) = (before.spread, figure.spread);
                let change = (new.median / old.median - 1.0) * 100.0;
                // Overlapping spreads may be chance.
                let apart = new.min > old.max || new.max < old.min;
                writeln!(
                    text,
                    "{:<14} {:<44} {:>9} → {:>9} {}  {change:+.1} %{}",
                    row.name,
                    figure.name,
                    scaled(old.median),
                    scaled(new.median),
                    figure.unit,
                    if apart { "" } else { " (within the spread)" },
                )?;
            }
        }
        Ok(text)
    }

    /// Returns the number of measured goals that were not met.
    pub(crate) fn missed(&self) -> usize {
        let goals = self.rows.iter().flat_map(|row| &row.goals);
        let outcomes = goals.filter_map(|goal| goal.outcome);
        outcomes.filter(|outcome| !outcome.met).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Bound, Case};

    /// Two figures that vary together, so that only ratios within a round are constant.
    fn row() -> Row {
        let round = std::cell::Cell::new(0.0);
        let case = Case::new(move |_| {
            round.set(round.get() + 1.0);
            Ok(vec![
                Figure::new("fast", "x/s", 30.0 * round.get()),
                Figure::new("slow", "x/s", 10.0 * round.get()),
            ])
        });
        Row::new(
            "row",
            "about",
            vec![case],
            vec![
                Goal::ratio("fast", "slow", Bound::AtLeast(3.0)),
                Goal::ratio("fast", "slow", Bound::AtMost(2.0)),
                Goal::ratio("fast", "missing", Bound::AtLeast(1.0)),
            ],
        )
    }

    fn report() -> Report {
        let setting = Setting {
            window: std::time::Duration::ZERO,
            peers: false,
        };
        measure(&[row()], &setting, 3, |_| {})
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_judged() {
        let report = report();
        let [met, missed, unknown] = &report.rows[0].goals[..] else {
            panic!("{report:?}");
        };
        let met = met.outcome.unwrap();
        assert_eq!((met.spread.min, met.spread.max, met.met), (3.0, 3.0, true));
        assert!(!missed.outcome.unwrap().met);
        assert!(unknown.outcome.is_none());
        assert_eq!(report.missed(), 1);
        let fast = &report.rows[0].figures[0];
        let Spread { median, min, max } = fast.spread;
        assert_eq!((median, min, max), (60.0, 30.0, 90.0));
        let table = report.table().unwrap();
        assert!(
            table.contains("MISSED") && table.contains("60 x/s  (30 to 90 in 3)"),
            "{table}"
        );
    }

    #[test]
    fn a_run_is_compared_with_one_that_was_kept() {
        let kept = serde_json::to_string(&report()).unwrap();
        let mut old: Report = serde_json::from_str(&kept).unwrap();
        old.rows[0].figures[0].spread.median = 50.0;
        old.rows[0].figures[0].spread.max = 20.0;
        let changes = report().changes_since(&old).unwrap();
        assert!(
            changes.contains("50 →        60 x/s  +20.0 %\n"),
            "{changes}"
        );
        assert!(changes.contains("+0.0 % (within the spread)"), "{changes}");
    }
}
