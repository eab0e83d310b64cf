//! Finds the part of an operator's `config` to which the reason for a failed open refers.
//!
//! Operators that use the SDK start a reason with the path of that part: `config.times: unknown field …`.

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
    let (span, label) = match unknown(reason, "field") {
        Some(_) => (place.key, "unknown key"),
        None => (place.value, "opened with this"),
    };
    // A variant may be written as the key of a mapping.
    let variant = unknown(reason, "variant");
    let inner = variant.map(|variant| format!("{path}.{variant}"));
    let inner = inner.and_then(|path| places.get(&path));
    Some(Place {
        span: inner.map_or(span, |inner| inner.key),
        label: inner.map_or(label, |_| "unknown key"),
        help: unknown(reason, "field")
            .or(variant)
            .and_then(|unknown| did_you_mean(unknown, expected(reason))),
    })
}

/// Returns the name that was probably meant, if the reason is an unknown name.
pub(crate) fn hint(reason: &str) -> Option<String> {
    let reason = &reason[reason.find("unknown ")?..];
    let name = unknown(reason, "field").or_else(|| unknown(reason, "variant"))?;
    did_you_mean(name, expected(reason))
}

/// Returns the name that serde reports as unknown.
fn unknown<'r>(reason: &'r str, kind: &str) -> Option<&'r str> {
    let rest = reason.strip_prefix("unknown ")?.strip_prefix(kind)?;
    let (name, _) = rest.strip_prefix(" `")?.split_once('`')?;
    Some(name)
}

/// Returns the names that serde expects.
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
            "config.times: unknown field `times`, expected one of `every`, `time`",
        );
        let found = found.unwrap();
        assert_eq!(found.span, Span::new(10, 11));
        assert_eq!(found.help.as_deref(), Some("did you mean `time`?"));
        let places: Places = [place("n", 10), place("n.summ", 20)].into_iter().collect();
        let reason = "config.n: unknown variant `summ`, expected one of `count`, `sum`";
        let found = of(&places, reason).unwrap();
        assert_eq!(found.span, Span::new(20, 21));
        assert_eq!(found.help.as_deref(), Some("did you mean `sum`?"));
        let places: Places = [place("aggregate.n", 20)].into_iter().collect();
        let value = of(&places, "config.aggregate.n: it cannot be").unwrap();
        assert_eq!((value.span, value.help), (Span::new(22, 23), None));
        for elsewhere in ["config: missing field `by`", "config.by: empty", "no"] {
            assert!(of(&places, elsewhere).is_none(), "{elsewhere}");
        }
    }
}
