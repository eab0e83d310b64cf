//! `#[derive(InputPorts)]` and `#[derive(OutputPorts)]`: an enum with one variant per port.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{
    Data, DeriveInput, Error, Expr, ExprLit, Fields, Ident, Lit, Meta, Result, Type, Variant,
};

/// The maximum length of a port name in bytes, as in manifests.
const NAME_LEN_MAX: usize = 64;

struct Port<'a> {
    variant: &'a Ident,
    datum: &'a Type,
    name: String,
}

pub(crate) fn expand_inputs(item: &DeriveInput) -> Result<TokenStream> {
    let ports = ports(item)?;
    let (numbers, variants) = (0..ports.len(), ports.iter().map(|port| port.variant));
    let types = ports.iter().map(|port| port.datum);
    let names = ports.iter().map(|port| &port.name);
    let of = &item.ident;
    Ok(quote! {
        impl ::mosaik_wasm_sdk::InputPorts for #of {
            const PORTS: &'static [&'static str] = &[#(#names),*];

            fn read(
                port: usize,
                encoding: ::mosaik_wasm_sdk::Encoding,
                datum: &[u8],
            ) -> ::mosaik_wasm_sdk::Result<Self> {
                match port {
                    #(#numbers => encoding.decode::<#types>(datum).map(Self::#variants),)*
                    port => ::core::result::Result::Err(::mosaik_wasm_sdk::Error::new(
                        ::core::format_args!("no input port {port}"),
                    )),
                }
            }
        }
    })
}

pub(crate) fn expand_outputs(item: &DeriveInput) -> Result<TokenStream> {
    let ports = ports(item)?;
    let (numbers, variants) = (
        0..ports.len(),
        ports.iter().map(|port| port.variant).collect::<Vec<_>>(),
    );
    let types = ports.iter().map(|port| port.datum);
    let names = ports.iter().map(|port| &port.name);
    let of = &item.ident;
    Ok(quote! {
        impl ::mosaik_wasm_sdk::OutputPorts for #of {
            const PORTS: &'static [&'static str] = &[#(#names),*];

            fn port(datum: &Self) -> usize {
                match datum {
                    #(Self::#variants(_) => #numbers,)*
                }
            }

            fn write(
                datum: &Self,
                encoding: ::mosaik_wasm_sdk::Encoding,
                to: &mut ::std::vec::Vec<u8>,
            ) -> ::mosaik_wasm_sdk::Result<()> {
                match datum {
                    #(Self::#variants(datum) => encoding.encode::<#types>(datum, to),)*
                }
            }
        }
    })
}

fn ports(item: &DeriveInput) -> Result<Vec<Port<'_>>> {
    let Data::Enum(data) = &item.data else {
        return Err(Error::new_spanned(
            &item.ident,
            "ports are the variants of an enum; a single port only needs serde",
        ));
    };
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &item.generics,
            "the ports of an operator cannot be generic",
        ));
    }
    if data.variants.is_empty() {
        return Err(Error::new_spanned(
            &item.ident,
            "an operator needs at least one port",
        ));
    }
    let mut ports: Vec<Port<'_>> = Vec::new();
    for variant in &data.variants {
        let port = port(variant)?;
        if ports.iter().any(|other| other.name == port.name) {
            return Err(Error::new_spanned(
                variant,
                format!("duplicate port `{}`", port.name),
            ));
        }
        ports.push(port);
    }
    Ok(ports)
}

fn port(variant: &Variant) -> Result<Port<'_>> {
    let datum = match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => &fields.unnamed[0].ty,
        _ => {
            return Err(Error::new_spanned(
                variant,
                format!(
                    "the variant of a port contains the type of its records: `{}(Record)`",
                    variant.ident
                ),
            ));
        }
    };
    Ok(Port {
        variant: &variant.ident,
        datum,
        name: name(variant)?,
    })
}

/// Returns the name given by `#[port = "…"]`, or the variant's name in snake case.
fn name(variant: &Variant) -> Result<String> {
    let mut given = variant
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("port"));
    let Some(attribute) = given.next() else {
        return Ok(snake_case(&variant.ident.to_string()));
    };
    if let Some(second) = given.next() {
        return Err(Error::new_spanned(second, "duplicate name of a port"));
    }
    let Meta::NameValue(meta) = &attribute.meta else {
        return Err(Error::new_spanned(
            attribute,
            "name a port like this: `#[port = \"late\"]`",
        ));
    };
    let Expr::Lit(ExprLit {
        lit: Lit::Str(name),
        ..
    }) = &meta.value
    else {
        return Err(Error::new(
            meta.value.span(),
            "the name of a port must be a string",
        ));
    };
    let text = name.value();
    let plain = |c: char| c.is_ascii_alphanumeric();
    let is_name = text.starts_with(plain)
        && text.len() <= NAME_LEN_MAX
        && text.chars().all(|c| plain(c) || "_-.".contains(c));
    if !is_name {
        return Err(Error::new_spanned(
            name,
            "the name of a port must have 1 to 64 letters, digits, `_`, `-` or `.`, and start with a letter or digit",
        ));
    }
    Ok(text)
}

/// Converts `TooLate` to `too_late`.
pub(crate) fn snake_case(name: &str) -> String {
    let name = name.strip_prefix("r#").unwrap_or(name);
    let mut snake = String::new();
    for (index, c) in name.char_indices() {
        if c.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
