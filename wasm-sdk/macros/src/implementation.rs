//! `#[operator]` on an `impl Operator for …`: exports it, and with `state` generates saving and restoring.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Ident, ImplItem, ItemImpl, Path, Result, Type, parse_quote, parse2};

use crate::arguments::{Arguments, State};

pub(crate) fn expand(arguments: Arguments, mut item: ItemImpl) -> Result<TokenStream> {
    let is_operator = item
        .trait_
        .as_ref()
        .and_then(|(_, path, _)| path.segments.last())
        .is_some_and(|last| last.ident == "Operator");
    if !is_operator {
        return Err(Error::new_spanned(
            item.self_ty,
            "`#[operator]` belongs on an `impl Operator for …`",
        ));
    }
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            item.generics,
            "the operator of a crate cannot be generic",
        ));
    }
    if let Some(state) = &arguments.state {
        not_written_twice(&item, "state", &["STATE_VERSION", "snapshot", "restore"])?;
        let written = write_state(&arguments, state, &item.self_ty)?;
        item.items.extend(written);
    }
    let operator = &item.self_ty;
    let export = quote!(::mosaik_wasm_sdk::export!(::mosaik_wasm_sdk::Typed<#operator>););
    Ok(quote!(#item #export))
}

/// Generates `STATE_VERSION`, `snapshot` and `restore`. Errors in the type of the state are reported where the state is
/// named.
fn write_state(arguments: &Arguments, state: &State, operator: &Type) -> Result<[ImplItem; 3]> {
    let first = || quote!(1);
    let version = (arguments.version.as_ref()).map_or_else(first, |version| quote!(#version));
    let (place, span) = match state {
        State::Whole(_) => (quote_spanned!(operator.span()=> *self), operator.span()),
        State::Field(field) => (quote_spanned!(field.span()=> self.#field), field.span()),
    };
    let keyed = arguments.keyed.is_some();
    let function = |plain: &str, by_key: &str| {
        let name = Ident::new(if keyed { by_key } else { plain }, span);
        quote_spanned!(span=> ::mosaik_wasm_sdk::private::#name)
    };
    let (save, load) = (
        function("save", "save_keyed"),
        function("load", "load_keyed"),
    );
    let none = || quote!(::core::option::Option::None);
    let some =
        |migrate: &Path| quote_spanned!(migrate.span()=> ::core::option::Option::Some(#migrate));
    let migrate = arguments.migrate.as_ref().map_or_else(none, some);
    let saved = quote_spanned!(span=> #save(&#place));
    Ok([
        parse_quote!(const STATE_VERSION: u32 = #version;),
        parse2(quote! {
            fn snapshot(&self)
                -> ::mosaik_wasm_sdk::Result<::std::vec::Vec<::mosaik_wasm_sdk::Entry>>
            {
                #saved
            }
        })?,
        parse2(quote! {
            fn restore(&mut self, saved: ::mosaik_wasm_sdk::State) -> ::mosaik_wasm_sdk::Result<()> {
                if let ::core::option::Option::Some(state) = #load(&saved, #version, #migrate)? {
                    #place = state;
                }
                ::core::result::Result::Ok(())
            }
        })?,
    ])
}

/// Checks that the implementation does not contain an item that an argument generates.
fn not_written_twice(item: &ItemImpl, argument: &str, names: &[&str]) -> Result<()> {
    for item in &item.items {
        let name = match item {
            ImplItem::Const(item) => &item.ident,
            ImplItem::Fn(item) => &item.sig.ident,
            _ => continue,
        };
        if names.iter().any(|written| name == written) {
            return Err(Error::new_spanned(
                name,
                format!("`#[operator({argument})]` generates `{name}`: remove one of them"),
            ));
        }
    }
    Ok(())
}
