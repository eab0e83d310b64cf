//! [`RateLimitedWarnings`]: limits the logged reasons for refused records. Each distinct reason is logged
//! once, immediately, up to a bound; further occurrences are counted and summarized every 10 s
//! while they continue.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

/// Maximum number of distinct reasons that are logged individually: 16.
const REASONS_MAX: usize = 16;
/// Maximum size of a reason that is kept and compared, in bytes: 1024.
const REASON_BYTES_MAX: usize = 1024;
/// Maximum number of reasons named in a summary: 3.
const NAMED_MAX: usize = 3;
/// Time between two summaries: 10 s.
const INTERVAL: Duration = Duration::from_secs(10);

/// The refused records so far, by reason, and their logged part.
#[derive(Debug, Default)]
pub(crate) struct RateLimitedWarnings {
    known: Vec<Known>,
    /// Number of records with further reasons since the last summary, and one of these reasons.
    further: u64,
    example: String,
    /// Time at which a summary, or the first reason, was last logged.
    last: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    reason: String,
    /// Number of occurrences since it was last logged.
    unlogged: u64,
}

impl RateLimitedWarnings {
    /// Counts refused records. Returns true if the reason is new and has to be logged now.
    pub(crate) fn add(&mut self, reason: &str, count: u64) -> bool {
        let reason = cut(reason);
        if let Some(known) = self.known.iter_mut().find(|known| known.reason == reason) {
            known.unlogged += count;
            return false;
        }
        if self.known.len() == REASONS_MAX {
            self.further += count;
            if self.example.is_empty() {
                reason.clone_into(&mut self.example);
            }
            return false;
        }
        self.known.push(Known {
            reason: reason.to_owned(),
            unlogged: 0,
        });
        self.last.get_or_insert_with(Instant::now);
        true
    }

    /// Counts refused records, one reason each, and returns the lines to log: one for each new
    /// reason, and a summary if one is due.
    pub(crate) fn add_all<'r>(
        &mut self,
        what: &str,
        reasons: impl Iterator<Item = &'r str>,
    ) -> Vec<String> {
        let before = self.known.len();
        for reason in reasons {
            if self.add(reason, 1)
                && let Some(new) = self.known.last_mut()
            {
                new.unlogged = 1;
            }
        }
        let new = self.known[before..].iter_mut();
        let mut lines: Vec<_> = new
            .map(|new| {
                let count = std::mem::take(&mut new.unlogged);
                format!("{what} {}: {}", records(count), new.reason)
            })
            .collect();
        lines.extend(self.summary(what, Instant::now()));
        lines
    }

    /// Returns a summary of the records since the last one, if one is due and there are any.
    pub(crate) fn summary(&mut self, what: &str, now: Instant) -> Option<String> {
        let since = now.saturating_duration_since(self.last?);
        if since < INTERVAL {
            return None;
        }
        let mut again: Vec<_> = self
            .known
            .iter_mut()
            .filter(|known| known.unlogged > 0)
            .map(|known| (std::mem::take(&mut known.unlogged), known.reason.as_str()))
            .collect();
        again.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let further_reasons = std::mem::take(&mut self.further);
        let an_other = std::mem::take(&mut self.example);
        let total = again.iter().map(|(count, _)| count).sum::<u64>() + further_reasons;
        if total == 0 {
            return None;
        }
        self.last = Some(now);
        let mut line = format!("{what} {} more in {:.0?}", records(total), since);
        let named = again.iter().take(NAMED_MAX);
        let named = named.map(|(count, reason)| format!("{count} × {reason}"));
        let further = again.iter().skip(NAMED_MAX).map(|(count, _)| count);
        let further = further.sum::<u64>() + further_reasons;
        let mut parts: Vec<_> = named.collect();
        if further > 0 {
            let example = match an_other.as_str() {
                "" => String::new(),
                reason => format!(", like {reason}"),
            };
            parts.push(format!("{further} for other reasons{example}"));
        }
        // Writing to a string cannot fail.
        let _ = write!(line, ": {}", parts.join("; "));
        Some(line)
    }
}

/// Formats a count as `1 record` or `2 records`.
fn records(count: u64) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} record{s}")
}

/// Returns the kept prefix of a reason.
fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_new_reason_is_reported_once_with_its_count() {
        let mut warnings = RateLimitedWarnings::default();
        let first = warnings.add_all("rejected", ["no x", "no y", "no x"].into_iter());
        assert_eq!(
            first,
            ["rejected 2 records: no x", "rejected 1 record: no y"]
        );
        let later = warnings.add_all("rejected", ["no x", "no z"].into_iter());
        assert_eq!(later, ["rejected 1 record: no z"]);
    }

    #[test]
    fn repeated_reasons_are_summarized() {
        let mut warnings = RateLimitedWarnings::default();
        let now = Instant::now();
        warnings.add_all("rejected", ["no x"].into_iter());
        assert_eq!(warnings.summary("rejected", now + INTERVAL), None);
        warnings.add_all("rejected", ["no x", "no x", "no y", "no y"].into_iter());
        assert_eq!(warnings.summary("rejected", now), None);
        let due = now + INTERVAL + Duration::from_secs(1);
        let lines = warnings.summary("rejected", due);
        assert_eq!(
            lines.as_deref(),
            Some("rejected 2 records more in 11s: 2 × no x")
        );
        assert_eq!(warnings.summary("rejected", due + INTERVAL), None);
    }

    #[test]
    fn the_number_of_reasons_is_bounded() {
        let mut warnings = RateLimitedWarnings::default();
        let all: Vec<_> = (0..1000).map(|n| format!("reason {n}")).collect();
        let lines = warnings.add_all("rejected", all.iter().map(String::as_str));
        assert_eq!(lines.len(), REASONS_MAX);
        let due = Instant::now() + INTERVAL + Duration::from_secs(1);
        let lines = warnings.summary("rejected", due).unwrap();
        assert!(
            lines.ends_with("984 for other reasons, like reason 16"),
            "{lines}"
        );
        let long = "é".repeat(REASON_BYTES_MAX);
        warnings.add(&long, 1);
        assert!(warnings.example.len() <= REASON_BYTES_MAX);
    }
}
