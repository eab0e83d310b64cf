//! `start`: the record of a durable stream with which a reader begins.

use chrono::{DateTime, SecondsFormat, Utc};
use mosaik_streams::durable::StartAt;

use crate::declare::{Kind, Shape};

const EXPECTED: &str = "`earliest`, `latest`, a time like `2026-11-30T12:00:00Z`, or a position";

/// `earliest`, `latest`, a time or a position.
pub(super) fn start_at() -> Kind<StartAt> {
    let shape = Shape::Either(vec![
        Shape::Words(vec!["earliest", "latest"]),
        Shape::Count(0, u64::MAX),
        Shape::Text,
    ]);
    Kind::new(shape, |cx, node, what| {
        cx.parse(node, what, EXPECTED, |text| {
            parse(text).ok_or_else(|| (format!("expected {EXPECTED}"), None))
        })
    })
    .show(|start| match start {
        StartAt::Earliest => "earliest".to_owned(),
        StartAt::Latest => "latest".to_owned(),
        StartAt::Time(time) => {
            DateTime::<Utc>::from(*time).to_rfc3339_opts(SecondsFormat::AutoSi, true)
        }
        StartAt::Position(position) => position.to_string(),
    })
}

/// Reads a start: a word, a position, or a time as in RFC 3339.
fn parse(text: &str) -> Option<StartAt> {
    match text {
        "earliest" => return Some(StartAt::Earliest),
        "latest" => return Some(StartAt::Latest),
        _ => {}
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(StartAt::Position);
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(StartAt::Time(time.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_a_position_or_a_time() {
        assert_eq!(parse("earliest"), Some(StartAt::Earliest));
        assert_eq!(parse("12"), Some(StartAt::Position(12)));
        let kind = start_at();
        for text in [
            "2026-11-30T12:00:00Z",
            "2026-11-30T12:00:00.250Z",
            "latest",
            "0",
        ] {
            let start = parse(text).unwrap();
            assert_eq!((kind.show)(&start).as_deref(), Some(text));
        }
        for text in ["", "-1", "yesterday", "2026-11-30", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
