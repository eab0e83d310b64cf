//! The macros of `mosaik-wasm-sdk`, which documents them where they are used.

mod arguments;
mod function;
mod implementation;
mod ports;

use proc_macro2::TokenStream;
use syn::{Item, parse_macro_input};

/// Makes a function or an implementation of `Operator` the operator of this crate.
///
/// On a **function** from a datum to what leaves. The datum's type is the input; an optional second argument
/// `config: &Config` is the configuration. It returns the output, `Option`, `Vec` or `impl Iterator` of it, or a `Result`
/// of one of these, whose error (anything that can be displayed) rejects the datum. A type of the function's name stands
/// for the operator: `testing::run::<alert>(…)`.
///
/// On an **`impl Operator for T`**, which may keep state:
///
/// | argument | meaning |
/// |---|---|
/// | `state` | all of `T` is saved and restored with serde, as JSON, so maps need keys that are strings or numbers |
/// | `state = field` | only that field, so that the configuration comes from the manifest anew |
/// | `state = field, keyed` | that field, a map, is saved an entry a key, so that the runner can spread it over instances; its keys are the values of the datums' key field |
/// | `version = 2` | the layout has changed: a state of another version is refused rather than misread. 1 unless given |
/// | `migrate = function` | makes a state of an older version one of this: `fn(&Saved<'_>) -> Result<T>`, with `keyed` for the value of one key |
///
/// Either takes `config_schema = include_str!("config.schema.json")`, a JSON schema that `mosaik-runner inspect` shows.
#[proc_macro_attribute]
pub fn operator(
    arguments: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand(arguments.into(), item.into())
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// An enum with a variant an input port, each with the type of the datums that come there: `Left(Order)` is the port
/// `left`. `#[port = "…"]` on a variant names the port otherwise.
#[proc_macro_derive(InputPorts, attributes(port))]
pub fn input_ports(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    ports::expand_inputs(&parse_macro_input!(item))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// An enum with a variant an output port, each with the type of the datums that leave there: `Late(Order)` is the port
/// `late`. `#[port = "…"]` on a variant names the port otherwise.
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
            "`#[operator]` goes on a function or an `impl Operator for …`",
        )),
    }
}
