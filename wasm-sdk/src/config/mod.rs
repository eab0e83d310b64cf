//! [`OperatorConfig`]: a type whose values are read from an operator's `config`, and described by a JSON Schema.
//!
//! `#[derive(OperatorConfig)]` makes reader, schema and reference from one declaration. The schema is written by the
//! compiler, so the component contains its text and no code for it.

mod document;
mod json;
mod mistakes;
mod object;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod reference;
mod shape;
mod values;

use serde_json::value::RawValue;

use crate::{Error, Result};

pub use document::{document, document_len};
pub use mistakes::Mistakes;
pub use object::{Absent, Keys, Object};
pub use shape::{Key, Mapping, Presence, Shape};
pub use values::{OrderedMap, read_with_serde, read_word};

/// A value in the `config` of an operator: how it is read, and which values are allowed.
///
/// Derive it with [`#[derive(OperatorConfig)]`](derive@crate::OperatorConfig). Numbers, texts, booleans, lists and maps
/// implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a configuration",
    note = "add `#[derive(OperatorConfig)]` to `{Self}`",
    note = "a type that serde reads also needs `#[config(serde)]`"
)]
pub trait OperatorConfig: Sized {
    /// The allowed values.
    const SHAPE: &'static Shape;
    /// The JSON Schema of a whole configuration; empty for none. Generated for types that derive this trait.
    const SCHEMA: &'static str = "";

    /// Reads a value from JSON. Returns `None` if it has reported a mistake.
    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self>;

    /// Returns the number that `min` and `max` of a key refer to; `None` if the type has no such number.
    fn amount(&self) -> Option<Amount> {
        None
    }
}

/// A number that may have bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// The value itself.
    Number(f64),
    /// The number of its items.
    Items(usize),
}

/// Reads a configuration. Empty text and `null` count as an empty mapping.
///
/// # Errors
/// Returns all mistakes, one per line, each with the place: `config.every: unknown time unit`.
pub fn parse_config<T: OperatorConfig>(text: &str) -> Result<T> {
    let text = match text.trim() {
        "" => "null",
        text => text,
    };
    // The parts of valid JSON are found without serde_json, each of whose typed readers would add code.
    serde_json::from_slice::<&RawValue>(text.as_bytes())
        .map_err(|error| Error::new(format_args!("config: {error}")))?;
    let mut mistakes = Mistakes::new();
    let config = T::read(text, &mut mistakes);
    mistakes.result(config)
}

/// The configuration of an operator without settings. A manifest that contains any is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoConfig {}

impl OperatorConfig for NoConfig {
    const SHAPE: &'static Shape = &Shape::Mapping(&Mapping::new(&[]));
    const SCHEMA: &'static str = crate::config_schema!(NoConfig);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        Object::open(text, &Keys::new(&[]), mistakes).map(|_| Self {})
    }
}

/// Writes the JSON Schema of a type at compile time. Used by `#[derive(OperatorConfig)]`.
#[doc(hidden)]
#[macro_export]
macro_rules! config_schema {
    ($of:ty) => {{
        const SHAPE: &$crate::private::Shape = <$of as $crate::OperatorConfig>::SHAPE;
        const LEN: usize = $crate::private::document_len(SHAPE);
        const TEXT: [u8; LEN] = $crate::private::document(SHAPE);
        match ::core::str::from_utf8(&TEXT) {
            Ok(text) => text,
            Err(_) => "",
        }
    }};
}
