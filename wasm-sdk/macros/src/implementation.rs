//! `#[operator]` on an `impl Operator for …`: exports it, and with `state` writes what saves and restores it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, ItemImpl, LitInt, Result, Token, parse_quote};

/// `state`, `state = field`, `version = 2`.
#[derive(Default)]
pub(crate) struct Arguments {
    state: Option<State>,
    version: Option<LitInt>,
}

enum State {
    Whole,
    Field(Ident),
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            if name == "state" && arguments.state.is_none() {
                arguments.state = Some(match input.parse::<Option<Token![=]>>()? {
                    Some(_) => State::Field(input.parse()?),
                    None => State::Whole,
                });
            } else if name == "version" && arguments.version.is_none() {
                input.parse::<Token![=]>()?;
                let version: LitInt = input.parse()?;
                if version.base10_parse::<u32>()? == 0 {
                    return Err(Error::new_spanned(
                        version,
                        "versions start at 1; 0 means that no state is kept",
                    ));
                }
                arguments.version = Some(version);
            } else {
                return Err(Error::new_spanned(
                    name,
                    "expected `state`, `state = field` or `version = 2`, each once",
                ));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        if let (None, Some(version)) = (&arguments.state, &arguments.version) {
            return Err(Error::new_spanned(
                version,
                "a version is one of a state: `#[operator(state, version = …)]`",
            ));
        }
        Ok(arguments)
    }
}

pub(crate) fn expand(arguments: Arguments, mut item: ItemImpl) -> Result<TokenStream> {
    let is_operator = item
        .trait_
        .as_ref()
        .and_then(|(_, path, _)| path.segments.last())
        .is_some_and(|last| last.ident == "Operator");
    if !is_operator {
        return Err(Error::new_spanned(
            item.self_ty,
            "`#[operator]` goes on an `impl Operator for …`",
        ));
    }
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            item.generics,
            "the operator of a crate cannot be generic",
        ));
    }
    if let Some(state) = arguments.state {
        let version = arguments
            .version
            .map_or_else(|| quote!(1), |version| quote!(#version));
        let place = match state {
            State::Whole => quote!(*self),
            State::Field(field) => quote!(self.#field),
        };
        item.items
            .push(parse_quote!(const STATE_VERSION: u32 = #version;));
        item.items.push(parse_quote! {
            fn snapshot(&self) -> ::mosaik_wasm_sdk::Result<::core::option::Option<::std::vec::Vec<u8>>> {
                ::mosaik_wasm_sdk::private::save(&#place).map(::core::option::Option::Some)
            }
        });
        item.items.push(parse_quote! {
            fn restore(&mut self, version: u32, state: &[u8]) -> ::mosaik_wasm_sdk::Result<()> {
                #place = ::mosaik_wasm_sdk::private::load(version, #version, state)?;
                ::core::result::Result::Ok(())
            }
        });
    }
    let operator = &item.self_ty;
    let export = quote!(::mosaik_wasm_sdk::export!(::mosaik_wasm_sdk::Typed<#operator>););
    Ok(quote!(#item #export))
}
