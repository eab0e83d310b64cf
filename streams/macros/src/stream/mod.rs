//! `stream!`: expands a definition to a type that creates producers and consumers.

mod build;
mod key;
mod parse;

use proc_macro2::TokenStream;

/// Returns the items of the definition. Errors are reported at their tokens, and together where possible.
pub(crate) fn expand(input: TokenStream) -> TokenStream {
    match syn::parse2::<parse::Definition>(input) {
        Ok(definition) => build::items(&definition),
        Err(error) => error.into_compile_error(),
    }
}
