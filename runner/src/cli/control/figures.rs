//! Formats numbers for people.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// Formats a count as `12 k` or `3.4 M`, with at most three digits.
pub(in crate::cli) fn short(count: f64) -> String {
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let unit = units.iter().find(|(size, _)| count >= *size);
    match unit {
        Some((size, unit)) if count / size < 10.0 => format!("{:.1}{unit}", count / size),
        Some((size, unit)) => format!("{:.0}{unit}", count / size),
        None if count > 0.0 && count < 10.0 && count.fract() > 0.05 => format!("{count:.1}"),
        None => format!("{count:.0}"),
    }
}

/// Formats a size: `1.2 MB`, `512 B`.
pub(in crate::cli) fn bytes(count: u64) -> String {
    let text = short(count as f64);
    let space = if text.contains(' ') { "" } else { " " };
    format!("{text}{space}B")
}

/// Formats a rate; empty if none was measured.
pub(in crate::cli) fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(String::new, |rate| format!("{}/s", short(rate)))
}

/// Formats a duration in its two largest units: `2h 5m`, `3m 20s`, `4.2s`.
pub(in crate::cli) fn span(ms: u64) -> String {
    let duration = Duration::from_millis(ms);
    let seconds = duration.as_secs();
    match (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ) {
        (0, 0, 0, _) => format!("{:.1}s", duration.as_secs_f64()),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, _, _) => format!("{days}d {hours}h"),
    }
}

/// Formats counts by reason: `3 lagging, 1 closed`; `-` if there are none.
pub(in crate::cli) fn reasons(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "-".to_owned();
    }
    let each = counts
        .iter()
        .map(|(reason, count)| format!("{} {reason}", short(*count as f64)));
    each.collect::<Vec<_>>().join(", ")
}

/// Formats rows below a heading. Each column is as wide as its widest cell; the first `left` columns are left-aligned,
/// the others right-aligned.
pub(in crate::cli) fn table(heading: &[&str], left: usize, rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = heading.iter().map(ToString::to_string).collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            let cells = rows
                .iter()
                .chain([&heading])
                .map(|row| row.get(column).map_or(0, |cell| cell.chars().count()));
            cells.max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let last = column + 1 == widths.len();
            line.push(' ');
            // Writing to a string cannot fail.
            let _ = if last {
                write!(line, "{cell}")
            } else if column < left {
                write!(line, "{cell:<width$} ")
            } else {
                write!(line, "{cell:>width$} ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_briefly() {
        let shown: Vec<_> = [0.0, 0.3, 7.0, 999.0, 1234.0, 56_789.0, 2_500_000.0, 3e13]
            .map(short)
            .into();
        assert_eq!(
            shown,
            ["0", "0.3", "7", "999", "1.2 k", "57 k", "2.5 M", "30 T"]
        );
        assert_eq!([bytes(999), bytes(1_200_000)], ["999 B", "1.2 MB"]);
        let spans: Vec<_> = [4200, 200_000, 7_500_000, 90_000_000].map(span).into();
        assert_eq!(spans, ["4.2s", "3m 20s", "2h 5m", "1d 1h"]);
    }

    #[test]
    fn columns_fit_their_widest_cell() {
        let rows = [
            vec!["a".to_owned(), "10".into(), "x".into()],
            vec!["long".into(), "5".into(), "-".into()],
        ];
        assert_eq!(
            table(&["name", "in", "why"], 1, &rows),
            "  name  in  why\n  a     10  x\n  long   5  -\n"
        );
    }
}
