//! Finds the part of an operator's `config` to which the reason for a failed open refers.
//!
//! Operators that use the SDK start a reason with the path of that part: `config.times: unknown key …`. A reason with
//! several mistakes has a line for each.

use crate::declare::{Places, Span, did_you_mean};

/// An invalid part of a configuration.
pub(super) struct Place {
    pub(super) span: Span,
    pub(super) label: &'static str,
    pub(super) help: Option<String>,
}

/// Returns the part that a reason refers to; `None` if the manifest does not contain that part.
pub(super) fn of(places: &Places, reason: &str) -> Option<Place> {
    let (path, reason) = reason.split_once(": ")?;
    let place = places.get(path).filter(|_| path.starts_with("config."))?;
    let (span, label) = match unknown(reason, KEY) {
        Some(_) => (place.key, "unknown key"),
        None => (place.value, "opened with this"),
    };
    // A variant may be written as the key of a mapping.
    let variant = unknown(reason, VALUE);
    let inner = variant.map(|variant| format!("{path}.{variant}"));
    let inner = inner.and_then(|path| places.get(&path));
    Some(Place {
        span: inner.map_or(span, |inner| inner.key),
        label: inner.map_or(label, |_| "unknown key"),
        help: unknown(reason, KEY)
            .or(variant)
            .and_then(|unknown| did_you_mean(unknown, expected(reason))),
    })
}

/// Returns the name that was probably meant, if the reason is an unknown name.
pub(crate) fn hint(reason: &str) -> Option<String> {
    let reason = &reason[reason.find("unknown ")?..];
    let name = unknown(reason, KEY).or_else(|| unknown(reason, VALUE))?;
    did_you_mean(name, expected(reason))
}

/// The words of the SDK and of serde for a key.
const KEY: [&str; 2] = ["key", "field"];

/// The words of the SDK and of serde for a value.
const VALUE: [&str; 2] = ["value", "variant"];

/// Returns the name that is reported as unknown.
fn unknown<'r>(reason: &'r str, kinds: [&str; 2]) -> Option<&'r str> {
    let rest = reason.strip_prefix("unknown ")?;
    let rest = kinds.iter().find_map(|kind| rest.strip_prefix(kind))?;
    let (name, _) = rest.strip_prefix(" `")?.split_once('`')?;
    Some(name)
}

/// Returns the mistakes of a reason. Other lines belong to the mistake before them.
pub(super) fn mistakes(reason: &str) -> Vec<&str> {
    let mut mistakes = Vec::new();
    let mut rest = reason.trim();
    while let Some((at, _)) = rest
        .match_indices('\n')
        .find(|(at, _)| is_mistake(&rest[at + 1..]) && is_mistake(rest))
    {
        mistakes.push(&rest[..at]);
        rest = &rest[at + 1..];
    }
    mistakes.push(rest);
    mistakes
}

/// Returns true if a text starts with the place of a mistake.
fn is_mistake(text: &str) -> bool {
    text.strip_prefix("config")
        .is_some_and(|rest| rest.starts_with([':', '.', '[']))
}

/// Returns the names that are expected.
fn expected(reason: &str) -> impl Iterator<Item = &str> {
    let expected = reason
        .split_once("expected ")
        .map_or("", |(_, names)| names);
    expected.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::Place;

    #[test]
    fn a_reason_may_have_several_mistakes() {
        let reason = "config.a: wrong\n   ^^^\nconfig: missing key `b`\nconfig[0]: no\n";
        assert_eq!(
            mistakes(reason),
            [
                "config.a: wrong\n   ^^^",
                "config: missing key `b`",
                "config[0]: no"
            ]
        );
        for one in [
            "",
            "no idea\nconfig.a: wrong",
            "config.a: wrong\nconfiguration",
        ] {
            assert_eq!(mistakes(one), [one]);
        }
    }

    #[test]
    fn a_reason_is_mapped_to_the_key_that_it_names() {
        let place = |path: &str, at: usize| Place {
            path: format!("config.{path}"),
            key: Span::new(at, at + 1),
            value: Span::new(at + 2, at + 3),
        };
        let places: Places = [place("times", 10), place("aggregate.n", 20)]
            .into_iter()
            .collect();
        let found = of(
            &places,
            "config.times: unknown key `times`, expected `every`, `time`",
        );
        let found = found.unwrap();
        assert_eq!(found.span, Span::new(10, 11));
        assert_eq!(found.help.as_deref(), Some("did you mean `time`?"));
        let found = of(
            &places,
            "config.times: unknown field `times`, expected one of `every`, `time`",
        );
        assert_eq!(found.unwrap().help.as_deref(), Some("did you mean `time`?"));
        let places: Places = [place("n", 10), place("n.summ", 20)].into_iter().collect();
        let reason = "config.n: unknown variant `summ`, expected one of `count`, `sum`";
        let found = of(&places, reason).unwrap();
        assert_eq!(found.span, Span::new(20, 21));
        assert_eq!(found.help.as_deref(), Some("did you mean `sum`?"));
        let places: Places = [place("aggregate.n", 20)].into_iter().collect();
        let value = of(&places, "config.aggregate.n: it is invalid").unwrap();
        assert_eq!((value.span, value.help), (Span::new(22, 23), None));
        for elsewhere in ["config: missing field `by`", "config.by: empty", "no"] {
            assert!(of(&places, elsewhere).is_none(), "{elsewhere}");
        }
    }
}
