//! Procedural macros behind those of `mosaik-streams`: ids computed at compile time, and stream definitions.
//!
//! Not for direct use: the macros of `mosaik-streams` pass the path of their crate, so that they work if it is renamed.

use proc_macro::TokenStream;
use quote::quote;
use syn::{LitStr, parse_macro_input};

mod id;
mod stream;

/// Computes the 32 bytes of an id from a string literal, as an array: 64 hex digits are decoded, other text is hashed
/// with blake3.
#[proc_macro]
pub fn id_bytes(input: TokenStream) -> TokenStream {
    let literal = parse_macro_input!(input as LitStr);
    match id::of_literal(&literal) {
        Ok(bytes) => quote!([#(#bytes),*]).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// Expands a stream definition. Starts with the path of `mosaik-streams` in parentheses; see its `stream!` for the
/// rest.
#[proc_macro]
pub fn stream(input: TokenStream) -> TokenStream {
    stream::expand(input.into()).into()
}
