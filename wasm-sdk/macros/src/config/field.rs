//! One key of a configuration.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Field, GenericArgument, Ident, PathArguments, Result, Type};

use super::attributes::{FieldArguments, bound, doc, json, plain};

pub(super) struct Key<'a> {
    pub(super) name: String,
    field: &'a Ident,
    /// The type without `Option`.
    of: &'a Type,
    doc: String,
    presence: Presence,
    arguments: FieldArguments,
}

enum Presence {
    Required,
    /// JSON.
    Default(String),
    /// An `Option`, and the meaning of `None`.
    Optional(String),
    /// `Default::default()`, and its meaning.
    Empty(String),
}

impl<'a> Key<'a> {
    pub(super) fn of(field: &'a Field) -> Result<Self> {
        let arguments = FieldArguments::of(&field.attrs)?;
        let Some(ident) = &field.ident else {
            return Err(Error::new_spanned(
                field,
                "the fields of a configuration have names",
            ));
        };
        let optional = optional(&field.ty);
        let unset = arguments.unset.as_ref().map(syn::LitStr::value);
        let presence = match (&arguments.default, unset, optional) {
            (Some(default), _, Some(_)) => {
                return Err(Error::new_spanned(
                    default,
                    "a key with a default always has a value: its type is not an `Option`",
                ));
            }
            (Some(default), ..) => Presence::Default(json(default)?),
            (None, unset, Some(_)) => Presence::Optional(unset.unwrap_or_default()),
            (None, Some(unset), None) => Presence::Empty(unset),
            (None, None, None) => Presence::Required,
        };
        let name = match &arguments.name {
            Some(name) => name.value(),
            None => plain(ident),
        };
        Ok(Self {
            name,
            field: ident,
            of: optional.unwrap_or(&field.ty),
            doc: doc(&field.attrs),
            presence,
            arguments,
        })
    }

    /// Returns the name of the field in code.
    pub(super) fn ident(&self) -> &Ident {
        self.field
    }

    /// Returns the type of the value.
    pub(super) fn value_type(&self) -> &Type {
        self.of
    }

    /// Returns the former name.
    pub(super) fn was(&self) -> Option<String> {
        self.arguments.was.as_ref().map(syn::LitStr::value)
    }

    pub(super) fn requires(&self) -> &[Ident] {
        &self.arguments.requires
    }

    pub(super) fn conflicts(&self) -> &[Ident] {
        &self.arguments.conflicts
    }

    /// Returns the key as a constant.
    pub(super) fn constant(&self, requires: &[String], conflicts: &[String]) -> TokenStream {
        let (name, doc, of) = (&self.name, &self.doc, self.of);
        let presence = match &self.presence {
            Presence::Required => quote!(Required),
            Presence::Default(json) => quote!(Default(#json)),
            Presence::Optional(text) | Presence::Empty(text) => quote!(Unset(#text)),
        };
        let shape = match (&self.arguments.schema, self.arguments.serde) {
            (Some(schema), _) => {
                quote!(&::mosaik_wasm_sdk::Shape::Json { form: "any", schema: #schema })
            }
            (None, true) => quote!(&::mosaik_wasm_sdk::Shape::Any),
            (None, false) => {
                quote_spanned!(of.span()=> <#of as ::mosaik_wasm_sdk::OperatorConfig>::SHAPE)
            }
        };
        let (min, max) = (
            bound(self.arguments.min.as_ref()),
            bound(self.arguments.max.as_ref()),
        );
        quote! {
            ::mosaik_wasm_sdk::private::Key::new(
                #name,
                #doc,
                #shape,
                ::mosaik_wasm_sdk::private::Presence::#presence,
            )
            .bounds(#min, #max)
            .requires(&[#(#requires),*])
            .conflicts(&[#(#conflicts),*])
        }
    }

    /// Returns the variable with what was read.
    fn read(&self) -> Ident {
        format_ident!("read_{}", plain(self.field), span = Span::mixed_site())
    }

    /// Returns the statements that read and check the value.
    pub(super) fn statements(&self, requires: &[String], conflicts: &[String]) -> TokenStream {
        let (name, of, read) = (&self.name, self.of, self.read());
        let absent = match &self.presence {
            Presence::Required => quote!(Mistake),
            Presence::Default(json) => quote!(Read(#json)),
            Presence::Optional(_) | Presence::Empty(_) => quote!(Unset),
        };
        let reader = if self.arguments.serde {
            quote!(::mosaik_wasm_sdk::private::read_with_serde::<#of>)
        } else {
            quote!(<#of as ::mosaik_wasm_sdk::OperatorConfig>::read)
        };
        let FieldArguments { min, max, .. } = &self.arguments;
        let bounds = (min.is_some() || max.is_some()).then(|| {
            let (min, max) = (bound(min.as_ref()), bound(max.as_ref()));
            quote! {
                if let ::core::option::Option::Some(::core::option::Option::Some(value)) = &#read {
                    let amount = ::mosaik_wasm_sdk::OperatorConfig::amount(value);
                    object.bounds(#name, amount, #min, #max, mistakes);
                }
            }
        });
        let requires = (!requires.is_empty())
            .then(|| quote!(object.requires(#name, &[#(#requires),*], mistakes);));
        let conflicts = (!conflicts.is_empty())
            .then(|| quote!(object.conflicts(#name, &[#(#conflicts),*], mistakes);));
        quote! {
            let #read = object.value::<#of>(
                #name,
                ::mosaik_wasm_sdk::private::Absent::#absent,
                #reader,
                mistakes,
            );
            #bounds
            #requires
            #conflicts
        }
    }

    /// Returns the field with its value.
    pub(super) fn initializer(&self) -> TokenStream {
        let (field, read) = (self.field, self.read());
        match self.presence {
            Presence::Required | Presence::Default(_) => quote!(#field: #read??),
            Presence::Optional(_) => quote!(#field: #read?),
            Presence::Empty(_) => quote!(#field: #read?.unwrap_or_default()),
        }
    }
}

/// Returns the `T` of `Option<T>`.
fn optional(of: &Type) -> Option<&Type> {
    let Type::Path(path) = of else { return None };
    let last = path
        .path
        .segments
        .last()
        .filter(|last| last.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(of) => Some(of),
        _ => None,
    }
}
