//! The reference of a configuration as a Markdown table, and its JSON Schema in a form for readers.

use std::fmt::Write as _;

use super::shape::{Key, Mapping, Presence, Shape};

/// Returns the keys of a configuration as a table, one line for each.
pub(crate) fn table(shape: &Shape) -> String {
    let mut table = String::from("| key | value | default | meaning |\n|---|---|---|---|\n");
    let Shape::Mapping(mapping) = shape else {
        return table;
    };
    for key in mapping.keys {
        let default = match key.presence {
            Presence::Required => "required".to_owned(),
            Presence::Default(json) => format!("`{}`", plain(json)),
            Presence::Unset("") if mapping.one_of.contains(&key.name) => {
                format!("one of {}", words(mapping.one_of))
            }
            Presence::Unset("") => "none".to_owned(),
            Presence::Unset(meaning) => meaning.to_owned(),
        };
        let cells = [
            format!("`{}`", key.name),
            form(key.shape, key.min, key.max),
            default,
            meaning(key),
        ];
        for cell in cells {
            // Writing to a string cannot fail.
            let _ = write!(table, "| {} ", cell.replace('|', "\\|"));
        }
        table.push_str("|\n");
    }
    table
}

/// Returns JSON as written in a manifest: a text without quotes, unless it is empty.
fn plain(json: &str) -> &str {
    let text = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    text.filter(|text| !text.is_empty()).unwrap_or(json)
}

/// Returns the first sentence of a description, without its full stop, and the keys that it requires.
fn meaning(key: &Key) -> String {
    let first = key.doc.split_once(". ").map_or(key.doc, |(first, _)| first);
    let mut meaning = first.trim_end_matches('.').to_owned();
    if !key.requires.is_empty() {
        let _ = write!(meaning, "; requires {}", words(key.requires));
    }
    if !key.conflicts.is_empty() {
        let _ = write!(meaning, ", not with {}", words(key.conflicts));
    }
    meaning
}

fn words(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// Returns a description of the allowed values.
fn form(shape: &Shape, min: Option<i64>, max: Option<i64>) -> String {
    match shape {
        Shape::Any => "any".to_owned(),
        Shape::Bool => "`true`, `false`".to_owned(),
        Shape::Integer { min: least } => bounded("whole number", min.or(*least), max),
        Shape::Number => bounded("number", min, max),
        Shape::Text { form, .. } | Shape::Json { form, .. } => (*form).to_owned(),
        Shape::Words([first, .., last]) if is_long(shape) => format!("`{first}` … `{last}`"),
        Shape::Words(known) => words(known),
        Shape::List(item) => {
            let items = plural(form(item, None, None));
            bounded_items(&format!("list of {items}"), min, max)
        }
        Shape::Map(value) => {
            let values = plural(form(value, None, None));
            bounded_items(&format!("mapping from names to {values}"), min, max)
        }
        Shape::Mapping(mapping) => mapping_form(mapping),
        Shape::Either(shapes) => {
            let mut forms: Vec<_> = shapes.iter().map(|shape| form(shape, min, max)).collect();
            forms.dedup();
            forms.join(", or ")
        }
    }
}

fn plural(form: String) -> String {
    if form.ends_with(char::is_alphanumeric) {
        form + "s"
    } else {
        form
    }
}

/// Returns true if there are more words than a cell of a table should have.
fn is_long(shape: &Shape) -> bool {
    matches!(shape, Shape::Words(words) if words.len() > 7)
}

fn mapping_form(mapping: &Mapping) -> String {
    let names: Vec<_> = mapping.keys.iter().map(|key| key.name).collect();
    let keys = format!("`{{{}}}`", names.join(", "));
    match mapping.shorthand.first().and_then(|name| mapping.key(name)) {
        Some(short) => format!("{}, or {keys}", form(short.shape, short.min, short.max)),
        None => keys,
    }
}

fn bounded(what: &str, min: Option<i64>, max: Option<i64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(0) | None, None) => what.to_owned(),
        (Some(min), None) => format!("{what}, at least {min}"),
        (None, Some(max)) => format!("{what}, at most {max}"),
    }
}

fn bounded_items(what: &str, min: Option<i64>, max: Option<i64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{what}, {min} to {max}"),
        (None | Some(0 | 1), None) => what.to_owned(),
        (Some(min), None) => format!("{what}, at least {min}"),
        (None, Some(max)) => format!("{what}, at most {max}"),
    }
}

/// Returns JSON over several lines, with the members in their order.
pub(crate) fn indented(json: &str) -> String {
    let mut text = String::new();
    let (mut depth, mut is_string, mut is_escaped) = (0, false, false);
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        if is_string {
            is_string = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
            text.push(character);
            continue;
        }
        match character {
            '{' | '[' => {
                text.push(character);
                if let Some(end @ ('}' | ']')) = characters.peek().copied() {
                    characters.next();
                    text.push(end);
                } else {
                    depth += 1;
                    text.push_str(&line(depth));
                }
            }
            '}' | ']' => {
                depth -= 1;
                text.push_str(&line(depth));
                text.push(character);
            }
            ',' => {
                text.push(character);
                text.push_str(&line(depth));
            }
            ':' => text.push_str(": "),
            character if character.is_whitespace() => {}
            character => {
                is_string = character == '"';
                text.push(character);
            }
        }
    }
    text.push('\n');
    text
}
