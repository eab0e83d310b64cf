//! Kinds of single values.

use std::{fmt::Display, path::PathBuf, time::Duration};

use super::{Kind, Shape};
use crate::declare::{
    diagnostics::Diagnostic,
    guarded::Guarded,
    scalar::{
        StreamName, duration_hint, parse_duration, parse_size, show_duration, show_size, size_hint,
    },
    source::Spanned,
    tree::{Node, Value},
};

/// Any text.
pub(crate) fn text() -> Kind<Guarded<String>> {
    Kind::new(Shape::Text, |cx, node, what| {
        Some(cx.text(node, what, "text")?.value)
    })
    .show(ToString::to_string)
}

/// `true` or `false`.
pub(crate) fn flag() -> Kind<bool> {
    Kind::new(Shape::Bool, |cx, node, what| {
        let flag = cx.text(node, what, "`true` or `false`")?.flag();
        if flag.is_none() {
            cx.note(
                Diagnostic::error(format!("`{what}` is neither true nor false"))
                    .at(node.span, "expected `true` or `false`"),
            );
        }
        flag
    })
    .show(ToString::to_string)
}

/// A whole number within inclusive bounds.
pub(crate) fn count<N: TryFrom<u64> + Display + 'static>(min: u64, max: u64) -> Kind<N> {
    Kind::new(Shape::Count(min, max), move |cx, node, what| {
        N::try_from(cx.count(node, what, min, max)?).ok()
    })
    .show(ToString::to_string)
}

/// A number.
pub(crate) fn number() -> Kind<f64> {
    Kind::new(Shape::Number, |cx, node, what| {
        let text = cx.text(node, what, "a number")?;
        let number = text.number();
        if number.is_none() {
            cx.expected(node, what, "a number");
        }
        number
    })
    .show(ToString::to_string)
}

/// A path, relative to the manifest.
pub(crate) fn path() -> Kind<PathBuf> {
    Kind::new(Shape::Text, |cx, node, what| {
        let text = cx.text(node, what, "a path")?;
        Some(cx.path(text.as_str()))
    })
}

/// A duration within inclusive bounds.
pub(crate) fn duration(min: Duration, max: Duration) -> Kind<Duration> {
    Kind::new(Shape::Duration(min, max), move |cx, node, what| {
        let duration = cx.parse(node, what, "a duration", |text| {
            parse_duration(text).map_err(|label| (label, duration_hint(text)))
        })?;
        cx.within(node, what, duration, (min, max), show_duration)
    })
    .show(|duration| show_duration(*duration))
}

/// A size in bytes within inclusive bounds.
pub(crate) fn size<N>(min: u64, max: u64) -> Kind<N>
where
    N: TryFrom<u64> + Copy + 'static,
    u64: TryFrom<N>,
{
    Kind::new(Shape::Size(min, max), move |cx, node, what| {
        let size = cx.parse(node, what, "a size", |text| {
            parse_size(text).map_err(|label| (label, Some(size_hint(text))))
        })?;
        N::try_from(cx.within(node, what, size, (min, max), show_size)?).ok()
    })
    .show(|size| {
        let size = u64::try_from(*size).unwrap_or(u64::MAX);
        show_size(size).replace(" bytes", "")
    })
}

/// One of these words, each with its value.
pub(crate) fn words<T: Copy + PartialEq + 'static>(words: &'static [(&'static str, T)]) -> Kind<T> {
    let names = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    Kind::new(Shape::Words(names()), move |cx, node, what| {
        let word = cx.word(node, what, &names())?;
        let mut words = words.iter();
        words
            .find(|(name, _)| *name == word)
            .map(|(_, value)| *value)
    })
    .show(|value| {
        let mut words = words.iter();
        let word = words.find(|(_, word)| word == value);
        word.map_or("", |(word, _)| word).to_owned()
    })
}

/// Text that `parse` accepts, whose error consists of the expected content and an optional hint. `expected` describes
/// it in messages.
pub(crate) fn parsed<T: 'static>(
    shape: Shape,
    expected: &'static str,
    parse: impl Fn(&str) -> Result<T, (String, Option<String>)> + 'static,
) -> Kind<T> {
    Kind::new(shape, move |cx, node, what| {
        cx.parse(node, what, expected, &parse)
    })
}

/// The shape of text that matches a regular expression.
pub(crate) const fn pattern(described: &'static str, pattern: &'static str) -> Shape {
    Shape::Pattern(described, pattern)
}

/// The name of a stream.
pub(crate) fn stream_name() -> Kind<Spanned<StreamName>> {
    Kind::new(Shape::Name, |cx, node, what| {
        if !is_scalar(node) {
            cx.expected(node, what, "the name of a stream");
            return None;
        }
        cx.name_value(node, what, "a stream", StreamName::new)
    })
    .show(|name| name.value.to_string())
}

fn is_scalar(node: &Node) -> bool {
    matches!(node.value, Value::Scalar(_)) && !node.is_null()
}
