//! `stream!`: from the tokens of a definition to a type that makes producers and consumers.

mod build;
mod key;
mod parse;

use proc_macro2::TokenStream;

/// The definition's items; mistakes are said at the token where they are, all at once where that can be.
pub(crate) fn expand(input: TokenStream) -> TokenStream {
    match syn::parse2::<parse::Definition>(input) {
        Ok(definition) => build::items(&definition),
        Err(error) => error.into_compile_error(),
    }
}
