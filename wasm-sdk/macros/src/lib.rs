//! The `#[operator]` attribute of `mosaik-wasm-sdk`, which documents it where it is used.

mod function;
mod implementation;

use proc_macro2::TokenStream;
use syn::Item;

/// Makes a function or an implementation of `Operator` the operator of this crate.
///
/// On a **function** from a datum to what leaves. The datum's type is the input; an optional second argument
/// `config: &Config` is the configuration. It returns the output, `Option`, `Vec` or `impl Iterator` of it, or a `Result`
/// of one of these, whose error (anything that can be displayed) rejects the datum. A type of the function's name stands
/// for the operator: `testing::run::<alert>(…)`.
///
/// On an **`impl Operator for T`**. With `#[operator(state)]` all of `T` is saved and restored with serde (as JSON, so
/// maps need keys that are strings or numbers); with `#[operator(state = field)]` only that field, so that the
/// configuration comes from the manifest anew. `#[operator(state, version = 2)]` says that the layout has changed: a
/// state of another version is then refused rather than misread.
#[proc_macro_attribute]
pub fn operator(
    arguments: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand(arguments.into(), item.into())
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    match syn::parse2(item)? {
        Item::Fn(function) if arguments.is_empty() => function::expand(&function),
        Item::Fn(function) => Err(syn::Error::new_spanned(
            function.sig.ident,
            "a function keeps no state: `#[operator]` takes no arguments here",
        )),
        Item::Impl(item) => implementation::expand(syn::parse2(arguments)?, item),
        other => Err(syn::Error::new_spanned(
            other,
            "`#[operator]` goes on a function or an `impl Operator for …`",
        )),
    }
}
