//! The macros of `mosaik-wasm-sdk`, which re-exports them.

mod arguments;
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
/// Both forms accept `config_schema = include_str!("config.schema.json")`, a JSON schema that `mosaik-runner inspect`
/// shows.
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

fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    match syn::parse2(item)? {
        Item::Fn(function) => function::expand(syn::parse2(arguments)?, &function),
        Item::Impl(item) => implementation::expand(syn::parse2(arguments)?, item),
        other => Err(syn::Error::new_spanned(
            other,
            "`#[operator]` belongs on a function or an `impl Operator for …`",
        )),
    }
}
