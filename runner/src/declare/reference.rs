//! The reference of a section as a Markdown table.

use std::fmt::Write as _;

use super::{Section, Shape};
use crate::declare::scalar::{show_duration, show_size};

/// Returns the keys of a section as a table, one line for each key.
pub(crate) fn table(section: &Section) -> String {
    let mut table =
        String::from("| key | value | default | reload | meaning |\n|---|---|---|---|---|\n");
    let has_reload = section.all_keys().any(|key| key.reload.is_some());
    if !has_reload {
        table = String::from("| key | value | default | meaning |\n|---|---|---|---|\n");
    }
    for key in section.all_keys() {
        let cell = |text: &str| format!(" {} |", text.replace('|', "\\|"));
        let reload = key
            .reload
            .map_or_else(String::new, |reload| reload.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{}` |{}{}{}{}",
            key.name,
            cell(&describe(&(key.shape)())),
            cell(key.default().as_deref().unwrap_or("required")),
            if has_reload {
                cell(&reload)
            } else {
                String::new()
            },
            cell(first_sentence(&key.doc())),
        );
    }
    table
}

/// Returns the first sentence, without its full stop. The page tells the rest.
fn first_sentence(doc: &str) -> &str {
    let first = doc.split_once(". ").map_or(doc, |(first, _)| first);
    first.trim_end_matches('.')
}

/// Returns a description of the allowed values, in Markdown.
fn describe(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Bool => "`true`, `false`".to_owned(),
        Shape::Duration(min, max) if min.is_zero() => {
            format!("duration, at most {}", show_duration(*max))
        }
        Shape::Duration(min, max) => format!(
            "duration, {} to {}",
            show_duration(*min),
            show_duration(*max)
        ),
        Shape::Size(0 | 1, max) => format!("size, at most {}", show_size(*max)),
        Shape::Size(min, max) => {
            format!("size, {} to {}", show_size(*min), show_size(*max))
        }
        Shape::Name => "name".to_owned(),
        Shape::Count(min, max) => format!("{min} to {max}"),
        Shape::Number => "number".to_owned(),
        Shape::Pattern(what, _) => (*what).to_owned(),
        Shape::Words(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Shape::Anything => "any".to_owned(),
        Shape::List(item) => format!("list of {}", describe(item)),
        Shape::Map(_) => "mapping by name".to_owned(),
        Shape::Columns(_) => "mapping by column".to_owned(),
        Shape::Of(_) => "mapping".to_owned(),
        Shape::Either(shapes) => {
            let mut all: Vec<_> = shapes.iter().map(describe).collect();
            all.dedup();
            all.join(", or ")
        }
        Shape::OneOf(connectors) => {
            let names: Vec<_> = connectors
                .iter()
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            format!("mapping: {}", names.join(", "))
        }
        Shape::Criteria => "criteria".to_owned(),
        Shape::PostcardSchema => "schema".to_owned(),
    }
}
