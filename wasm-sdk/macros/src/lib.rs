//! The macros of `mosaik-wasm-sdk`, which re-exports them.

mod arguments;
mod config;
mod function;
mod implementation;
mod ports;

use proc_macro2::TokenStream;
use syn::{Item, parse_macro_input};

/// Makes a function or an implementation of `Operator` the operator of this crate.
///
/// On a **function** from a record to the output. The type of the argument is the input; an optional second argument
/// `config: &Config` is the configuration. It returns the output, an `Option`, `Vec` or `impl Iterator` of it, or a
/// `Result` of one of these. An error (any type that implements `Display`) rejects the record. A type with the name of
/// the function represents the operator: `testing::run::<alert>(…)`.
///
/// On an **`impl Operator for T`**, which may keep state:
///
/// | argument | meaning |
/// |---|---|
/// | `state` | saves and restores all of `T` with serde, as JSON; map keys must be strings or numbers |
/// | `state = field` | saves and restores only that field; the configuration is taken from the manifest again |
/// | `state = field, keyed` | saves the map in that field with one entry per key, so that the runner can distribute it over instances; its keys are the values of the records' key field |
/// | `version = 2` | the version of the layout, 1 by default; a state of another version is refused |
/// | `migrate = function` | converts a state of an older version: `fn(&Saved<'_>) -> Result<T>`, with `keyed` for the value of one key |
///
/// The configuration is a type with [`OperatorConfig`](macro@OperatorConfig), whose JSON Schema the operator carries.
#[proc_macro_attribute]
pub fn operator(
    arguments: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand(arguments.into(), item.into())
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Derives input ports from an enum with one variant per port, each containing the type of its records: `Left(Order)`
/// is the port `left`. `#[port = "…"]` on a variant sets another name.
#[proc_macro_derive(InputPorts, attributes(port))]
pub fn input_ports(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    ports::expand_inputs(&parse_macro_input!(item))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Derives output ports from an enum with one variant per port, each containing the type of its records: `Late(Order)`
/// is the port `late`. `#[port = "…"]` on a variant sets another name.
#[proc_macro_derive(OutputPorts, attributes(port))]
pub fn output_ports(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    ports::expand_outputs(&parse_macro_input!(item))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Derives the configuration of an operator: its reader, its JSON Schema, and the table of its keys.
///
/// A **struct** is a mapping with one key per field. Doc comments are the descriptions; the first sentence is that in the
/// table. A key is required unless it has a default or is an `Option`. All mistakes are reported at once, each with its
/// place.
///
/// | argument of a field | meaning |
/// |---|---|
/// | `default = 100` | the value if the key is missing, written as in a manifest: `"16MiB"`, `false`, `[]` |
/// | `unset = "no limit"` | what holds if the key is missing; the value is `None`, or that of `Default` |
/// | `min = 1`, `max = 10` | bounds of a number, or of the number of items |
/// | `requires(other)`, `conflicts(other)` | refuses the key without another, or with it |
/// | `name = "match"` | the name of the key |
/// | `was = "old"` | a former name of the key, which is refused with a pointer to the present one |
/// | `serde`, `schema = "…"` | reads the value with serde; its JSON Schema |
///
/// | argument of a struct | meaning |
/// |---|---|
/// | `one_of(a, b)` | requires exactly one of these keys |
/// | `shorthand(a)` | accepts the value of `a` in place of the mapping |
/// | `check = function` | calls `fn(&Config, &mut Mistakes)` for what a single key cannot express |
/// | `definitions = "…"` | the `$defs` of the schema |
/// | `serde` | reads the type with serde, as for any enum; add `schema = include_str!("config.schema.json")` |
///
/// An **enum** without fields is a word: `FirstOnly` is `first_only`. `#[config(name = "…")]` sets another.
#[proc_macro_derive(OperatorConfig, attributes(config))]
pub fn operator_config(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    config::expand(&parse_macro_input!(item))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    match syn::parse2(item)? {
        Item::Fn(function) => function::expand(&syn::parse2(arguments)?, &function),
        Item::Impl(item) => implementation::expand(syn::parse2(arguments)?, item),
        other => Err(syn::Error::new_spanned(
            other,
            "`#[operator]` belongs on a function or an `impl Operator for …`",
        )),
    }
}
