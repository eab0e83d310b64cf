//! What the macros of `mosaik-streams` expand through: ids computed when a program is compiled, and stream definitions.
//!
//! Nothing here is for use by name: the macros of `mosaik-streams` tell these the path of their own crate, so that they
//! work under whatever name it has.

use proc_macro::TokenStream;
use quote::quote;
use syn::{LitStr, parse_macro_input};

mod id;
mod stream;

/// The 32 bytes of the id that a string literal stands for, as an array: 64 hex digits are decoded, other text is
/// hashed by blake3.
#[proc_macro]
pub fn id_bytes(input: TokenStream) -> TokenStream {
    let literal = parse_macro_input!(input as LitStr);
    match id::of_literal(&literal) {
        Ok(bytes) => quote!([#(#bytes),*]).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// A stream definition. It opens with the path of `mosaik-streams` in parentheses; see its `stream!` for what follows.
#[proc_macro]
pub fn stream(input: TokenStream) -> TokenStream {
    stream::expand(input.into()).into()
}
