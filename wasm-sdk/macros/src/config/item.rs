//! A type of a configuration.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataEnum, DeriveInput, Error, Fields, Ident, Result};

use super::attributes::{FieldArguments, TypeArguments, plain};
use super::field::Key;
use crate::ports::snake_case;

pub(crate) fn expand(item: &DeriveInput) -> Result<TokenStream> {
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &item.generics,
            "a configuration cannot be generic",
        ));
    }
    let arguments = TypeArguments::of(&item.attrs)?;
    if arguments.serde {
        return Ok(with_serde(&item.ident, &arguments));
    }
    match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => {
                let keys = fields
                    .named
                    .iter()
                    .map(Key::of)
                    .collect::<Result<Vec<_>>>()?;
                mapping(&item.ident, &arguments, &keys)
            }
            Fields::Unit => mapping(&item.ident, &arguments, &[]),
            Fields::Unnamed(_) => Err(Error::new_spanned(
                &item.ident,
                "the fields of a configuration have names",
            )),
        },
        Data::Enum(data) => words(&item.ident, data),
        Data::Union(_) => Err(Error::new_spanned(
            &item.ident,
            "a configuration is a struct or an enum",
        )),
    }
}

fn mapping(name: &Ident, arguments: &TypeArguments, keys: &[Key<'_>]) -> Result<TokenStream> {
    let resolve = |idents: &[Ident]| {
        let key = |ident: &Ident| {
            let key = keys.iter().find(|key| key.ident() == ident);
            let key = key.ok_or_else(|| {
                Error::new_spanned(ident, format!("there is no field `{}`", plain(ident)))
            });
            key.map(|key| key.name.clone())
        };
        idents.iter().map(key).collect::<Result<Vec<_>>>()
    };
    let (shorthand, one_of) = (resolve(&arguments.shorthand)?, resolve(&arguments.one_of)?);
    let (mut constants, mut statements) = (Vec::new(), Vec::new());
    for key in keys {
        let (requires, conflicts) = (resolve(key.requires())?, resolve(key.conflicts())?);
        constants.push(key.constant(&requires, &conflicts));
        statements.push(key.statements(&requires, &conflicts));
    }
    let names = keys.iter().map(|key| &key.name);
    let renamed: Vec<_> = keys
        .iter()
        .filter_map(|key| Some((key.was()?, &key.name)))
        .map(|(was, name)| quote!((#was, #name)))
        .collect();
    let renamed = (!renamed.is_empty()).then(|| quote!(.renamed(&[#(#renamed),*])));
    let initializers = keys.iter().map(Key::initializer);
    let short = arguments.shorthand.first();
    let short = short.and_then(|short| keys.iter().find(|key| key.ident() == short));
    let short = short.map(|key| {
        let of = key.value_type();
        quote! {
            .shorthand(
                &[#(#shorthand),*],
                <#of as ::mosaik_wasm_sdk::OperatorConfig>::SHAPE.admits_mapping(),
            )
        }
    });
    let check_one_of =
        (!one_of.is_empty()).then(|| quote!(object.one_of(&[#(#one_of),*], mistakes);));
    let definitions = arguments
        .definitions
        .as_ref()
        .map(|definitions| quote!(.definitions(#definitions)));
    let check = arguments
        .check
        .as_ref()
        .map(|check| quote!(#check(&config, mistakes);));
    Ok(quote! {
        const _: () = {
            use ::mosaik_wasm_sdk::private as sdk;

            impl ::mosaik_wasm_sdk::OperatorConfig for #name {
                const SHAPE: &'static ::mosaik_wasm_sdk::Shape =
                    &::mosaik_wasm_sdk::Shape::Mapping(
                        &sdk::Mapping::new(&[#(#constants),*])
                            .shorthand(&[#(#shorthand),*])
                            .one_of(&[#(#one_of),*])
                            #definitions
                    );
                const SCHEMA: &'static str = ::mosaik_wasm_sdk::config_schema!(#name);

                fn read(
                    text: &str,
                    mistakes: &mut ::mosaik_wasm_sdk::Mistakes,
                ) -> ::core::option::Option<Self> {
                    const KEYS: sdk::Keys = sdk::Keys::new(&[#(#names),*]) #short #renamed;
                    let object = sdk::Object::open(text, &KEYS, mistakes)?;
                    #(#statements)*
                    #check_one_of
                    let config = Self { #(#initializers),* };
                    #check
                    ::core::option::Option::Some(config)
                }
            }
        };
    })
}

fn words(name: &Ident, data: &DataEnum) -> Result<TokenStream> {
    let mut words = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(
                variant,
                "the variants of a configuration are words without fields; for others write `#[config(serde)]` on the \
                 type, and derive `Deserialize`",
            ));
        }
        let given = FieldArguments::of(&variant.attrs)?.name;
        words.push(given.map_or_else(
            || snake_case(&variant.ident.to_string()),
            |given| given.value(),
        ));
    }
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    Ok(quote! {
        const _: () = {
            const WORDS: &[&str] = &[#(#words),*];

            impl ::mosaik_wasm_sdk::OperatorConfig for #name {
                const SHAPE: &'static ::mosaik_wasm_sdk::Shape = &::mosaik_wasm_sdk::Shape::Words(WORDS);
                const SCHEMA: &'static str = ::mosaik_wasm_sdk::config_schema!(#name);

                fn read(
                    text: &str,
                    mistakes: &mut ::mosaik_wasm_sdk::Mistakes,
                ) -> ::core::option::Option<Self> {
                    const ALL: &[fn() -> #name] = &[#(|| #name::#variants),*];
                    let index = ::mosaik_wasm_sdk::private::read_word(text, WORDS, mistakes)?;
                    ALL.get(index).map(|variant| variant())
                }
            }
        };
    })
}

fn with_serde(name: &Ident, arguments: &TypeArguments) -> TokenStream {
    let (shape, schema) = match &arguments.schema {
        Some(schema) => (
            quote!(Json { form: "mapping", schema: #schema }),
            quote!(#schema),
        ),
        None => (quote!(Any), quote!("")),
    };
    quote! {
        impl ::mosaik_wasm_sdk::OperatorConfig for #name {
            const SHAPE: &'static ::mosaik_wasm_sdk::Shape = &::mosaik_wasm_sdk::Shape::#shape;
            const SCHEMA: &'static str = #schema;

            fn read(
                text: &str,
                mistakes: &mut ::mosaik_wasm_sdk::Mistakes,
            ) -> ::core::option::Option<Self> {
                ::mosaik_wasm_sdk::private::read_with_serde(text, mistakes)
            }
        }
    }
}
