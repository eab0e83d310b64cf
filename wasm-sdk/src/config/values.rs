//! The types of the standard library as values of a configuration.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::hash::{BuildHasher, Hash};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::json::{items, members, string};
use super::object::unknown;
use super::{Amount, Mistakes, OperatorConfig, Shape};

macro_rules! integers {
    ($min:expr, $what:expr, $number:expr; $($type:ty),*) => {$(
        impl OperatorConfig for $type {
            const SHAPE: &'static Shape = &Shape::Integer { min: $min };

            fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
                let number = text.parse().ok();
                if number.is_none() {
                    whole_number($what, &Self::MAX, text, mistakes);
                }
                number
            }

            fn amount(&self) -> Option<Amount> {
                let number: fn(Self) -> f64 = $number;
                Some(Amount::Number(number(*self)))
            }
        }
    )*};
}

const UNSIGNED: &str = "a whole number of at least 0";

integers!(Some(0), UNSIGNED, f64::from; u8, u16, u32);
integers!(Some(0), UNSIGNED, |number| number as f64; u64, usize);
integers!(None, "a whole number", f64::from; i8, i16, i32);
integers!(None, "a whole number", |number| number as f64; i64, isize);

/// Reports that a text is not a whole number, or not one that the type can hold.
#[cold]
fn whole_number(what: &str, max: &dyn Display, text: &str, mistakes: &mut Mistakes) {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        mistakes.add(format_args!("must be at most {max}"));
    } else if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        mistakes.add(format_args!("must be {what}, found {text}"));
    } else {
        mistakes.expected(what, text);
    }
}

impl OperatorConfig for f64 {
    const SHAPE: &'static Shape = &Shape::Number;

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        // Only numbers are in range here: neither `inf` nor `nan` is JSON.
        let number = text.parse().ok().filter(|number: &Self| number.is_finite());
        if number.is_none() {
            mistakes.expected("a number", text);
        }
        number
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Number(*self))
    }
}

impl OperatorConfig for f32 {
    const SHAPE: &'static Shape = &Shape::Number;

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        f64::read(text, mistakes).map(|number| number as Self)
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Number(f64::from(*self)))
    }
}

impl OperatorConfig for bool {
    const SHAPE: &'static Shape = &Shape::Bool;

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                mistakes.expected("`true` or `false`", text);
                None
            }
        }
    }
}

impl OperatorConfig for String {
    const SHAPE: &'static Shape = &Shape::TEXT;

    #[inline(never)]
    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let string = string(text);
        if string.is_none() {
            mistakes.expected("a text", text);
        }
        string
    }
}

impl OperatorConfig for Box<RawValue> {
    const SHAPE: &'static Shape = &Shape::Any;

    fn read(text: &str, _mistakes: &mut Mistakes) -> Option<Self> {
        let value: &RawValue = serde_json::from_slice(text.as_bytes()).ok()?;
        Some(value.to_owned())
    }
}

impl OperatorConfig for serde_json::Value {
    const SHAPE: &'static Shape = &Shape::Any;

    fn read(text: &str, _mistakes: &mut Mistakes) -> Option<Self> {
        serde_json::from_slice(text.as_bytes()).ok()
    }
}

/// No configuration.
impl OperatorConfig for () {
    const SHAPE: &'static Shape = super::NoConfig::SHAPE;
    const SCHEMA: &'static str = super::NoConfig::SCHEMA;

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        super::NoConfig::read(text, mistakes).map(|_| ())
    }
}

impl<T: OperatorConfig> OperatorConfig for Option<T> {
    const SHAPE: &'static Shape = T::SHAPE;
    const SCHEMA: &'static str = T::SCHEMA;

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        match text {
            "null" => Some(None),
            text => T::read(text, mistakes).map(Some),
        }
    }

    fn amount(&self) -> Option<Amount> {
        self.as_ref().and_then(T::amount)
    }
}

impl<T: OperatorConfig> OperatorConfig for Vec<T> {
    const SHAPE: &'static Shape = &Shape::List(T::SHAPE);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let Some(items) = items(text) else {
            mistakes.expected("a list", text);
            return None;
        };
        let mut values = Some(Self::with_capacity(items.len()));
        for (index, item) in items.into_iter().enumerate() {
            let value = mistakes.at_item(index, |mistakes| T::read(item, mistakes));
            match (&mut values, value) {
                (Some(values), Some(value)) => values.push(value),
                _ => values = None,
            }
        }
        values
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Items(self.len()))
    }
}

/// A mapping from any names to values, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderedMap<T>(pub Vec<(String, T)>);

impl<T: OperatorConfig> OperatorConfig for OrderedMap<T> {
    const SHAPE: &'static Shape = &Shape::Map(T::SHAPE);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let Some(members) = members(text) else {
            mistakes.expected("a mapping", text);
            return None;
        };
        let mut entries = Some(Vec::new());
        for (name, value) in members {
            let value = mistakes.at_key(&name, |mistakes| T::read(value, mistakes));
            match (&mut entries, value) {
                (Some(entries), Some(value)) => entries.push((name, value)),
                _ => entries = None,
            }
        }
        entries.map(Self)
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Items(self.0.len()))
    }
}

impl<K: From<String> + Ord, T: OperatorConfig> OperatorConfig for BTreeMap<K, T> {
    const SHAPE: &'static Shape = &Shape::Map(T::SHAPE);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let entries = OrderedMap::read(text, mistakes)?.0.into_iter();
        Some(entries.map(|(name, value)| (name.into(), value)).collect())
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Items(self.len()))
    }
}

impl<K: From<String> + Eq + Hash, T: OperatorConfig, S: BuildHasher + Default> OperatorConfig
    for HashMap<K, T, S>
{
    const SHAPE: &'static Shape = &Shape::Map(T::SHAPE);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let entries = OrderedMap::read(text, mistakes)?.0.into_iter();
        Some(entries.map(|(name, value)| (name.into(), value)).collect())
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Items(self.len()))
    }
}

/// Reads a word, and returns its index among the known ones.
pub fn read_word(text: &str, words: &[&str], mistakes: &mut Mistakes) -> Option<usize> {
    let word = String::read(text, mistakes)?;
    let index = words.iter().position(|known| *known == word);
    if index.is_none() {
        mistakes.add(unknown("value", &word, words));
    }
    index
}

/// Reads a value with serde, which stops at the first mistake.
pub fn read_with_serde<T: DeserializeOwned>(text: &str, mistakes: &mut Mistakes) -> Option<T> {
    // One deserializer for all, because each is compiled for the type and operators should be small.
    let read = |text: &str| {
        let mut json = serde_json::Deserializer::from_slice(text.as_bytes());
        serde_path_to_error::deserialize(&mut json)
    };
    let read = match (read(text), text) {
        (Err(_), "null") => read("{}"),
        (read, _) => read,
    };
    read.map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        // The position refers to JSON generated from the manifest, which its author never sees.
        let message = message.split(" at line ").next().unwrap_or(&message);
        // Enums, and maps passed to another type, add a step without a name.
        match path.trim_end_matches(".?") {
            "." | "?" | "" => mistakes.add(message),
            path if path.starts_with('[') => mistakes.add_below(path, message),
            path => mistakes.add_at(path, message),
        }
    })
    .ok()
}
