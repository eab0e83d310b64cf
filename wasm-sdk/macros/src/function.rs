//! `#[operator]` on a function: generates a type of the same name that implements `Operator` by calling it.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{
    Error, FnArg, GenericArgument, GenericParam, Ident, ItemFn, PathArguments, Result, ReturnType,
    Type, TypeParamBound,
};

use crate::arguments::{Arguments, State};

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    if let Some(State::Whole(state) | State::Field(state)) = &arguments.state {
        return Err(Error::new_spanned(
            state,
            "a function cannot have state: implement `Operator` for a type",
        ));
    }
    let signature = &function.sig;
    if let Some(asyncness) = signature.asyncness {
        return Err(Error::new_spanned(
            asyncness,
            "an operator's function cannot be async",
        ));
    }
    let generic = |parameter: &&GenericParam| !matches!(parameter, GenericParam::Lifetime(_));
    if signature
        .generics
        .params
        .iter()
        .any(|parameter| generic(&parameter))
    {
        return Err(Error::new_spanned(
            &signature.generics,
            "an operator's function cannot be generic",
        ));
    }
    let arguments = signature
        .inputs
        .iter()
        .map(argument_type)
        .collect::<Result<Vec<_>>>()?;
    let (input, config) = match arguments.as_slice() {
        [input] => (*input, None),
        [input, Type::Reference(config)] if config.mutability.is_none() => {
            (*input, Some(&*config.elem))
        }
        [_, other] => {
            return Err(Error::new_spanned(
                other,
                "the second argument is the configuration: `config: &Config`",
            ));
        }
        [] => {
            return Err(Error::new_spanned(
                &signature.ident,
                "an operator's function takes a record, and optionally `config: &Config`",
            ));
        }
        _ => {
            return Err(Error::new_spanned(
                &signature.inputs,
                "an operator's function takes a record, and optionally `config: &Config`",
            ));
        }
    };
    if let Type::Reference(reference) = input {
        return Err(Error::new_spanned(
            reference,
            "the record must be taken by value",
        ));
    }
    let ReturnType::Type(_, returned) = &signature.output else {
        return Err(Error::new_spanned(
            &signature.ident,
            "an operator's function returns its output: a record, or `Option`, `Vec` or `Result` of it",
        ));
    };

    let name = &signature.ident;
    let visibility = &function.vis;
    let documentation = format!("The operator that calls the function `{name}`.");
    // Hygienic names, since the function may have the same ones.
    let local = |name| Ident::new(name, Span::mixed_site());
    let (input_datum, out, datum, error) =
        (local("input"), local("out"), local("datum"), local("error"));
    let (config_type, call) = match config {
        Some(config) => (quote!(#config), quote!(#name(#input_datum, &self.config))),
        None => (
            quote!(::mosaik_wasm_sdk::NoConfig),
            quote!(#name(#input_datum)),
        ),
    };
    let returned = Returned::of(returned);
    let output = returned.datum;
    let value = if returned.fallible {
        quote!(#call.map_err(|#error| ::mosaik_wasm_sdk::Error::new(#error))?)
    } else {
        call
    };
    let push = if returned.many {
        quote! {
            for #datum in ::core::iter::IntoIterator::into_iter(#value) {
                #out.push(&#datum)?;
            }
        }
    } else {
        quote!(#out.push(&#value)?;)
    };
    Ok(quote! {
        #function

        #[doc = #documentation]
        #[allow(non_camel_case_types, reason = "a type and its function share a name")]
        #visibility struct #name {
            #[allow(dead_code, reason = "not every operator looks at its configuration")]
            config: #config_type,
        }

        const _: () = {
            impl ::mosaik_wasm_sdk::Operator for #name {
                type Config = #config_type;
                type Input = #input;
                type Output = #output;

                fn open(config: #config_type) -> ::mosaik_wasm_sdk::Result<Self> {
                    ::core::result::Result::Ok(Self { config })
                }

                fn process(
                    &mut self,
                    #input_datum: #input,
                    #out: &mut ::mosaik_wasm_sdk::Out<'_, #output>,
                ) -> ::mosaik_wasm_sdk::Result<()> {
                    #push
                    ::core::result::Result::Ok(())
                }
            }
        };

        ::mosaik_wasm_sdk::export!(::mosaik_wasm_sdk::Typed<#name>);
    })
}

fn argument_type(argument: &FnArg) -> Result<&Type> {
    match argument {
        FnArg::Typed(typed) => Ok(&typed.ty),
        FnArg::Receiver(receiver) => Err(Error::new_spanned(
            receiver,
            "an operator's function cannot take self: implement `Operator` for a type",
        )),
    }
}

/// The return type of a function, determined from its tokens.
struct Returned<'a> {
    datum: &'a Type,
    many: bool,
    fallible: bool,
}

impl<'a> Returned<'a> {
    fn of(returned: &'a Type) -> Self {
        match first_argument(returned, "Result") {
            Some(inner) => Self {
                fallible: true,
                ..Self::of_value(inner)
            },
            None => Self::of_value(returned),
        }
    }

    fn of_value(value: &'a Type) -> Self {
        let several = first_argument(value, "Option")
            .or_else(|| first_argument(value, "Vec"))
            .or_else(|| iterated(value));
        Self {
            datum: several.unwrap_or(value),
            many: several.is_some(),
            fallible: false,
        }
    }
}

/// Returns the `T` of `Name<T, …>`.
fn first_argument<'a>(of: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = of else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(argument) if last.ident == name => Some(argument),
        _ => None,
    }
}

/// Returns the `T` of `impl Iterator<Item = T>`.
fn iterated(of: &Type) -> Option<&Type> {
    let Type::ImplTrait(of) = of else { return None };
    of.bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else {
            return None;
        };
        let last = bound
            .path
            .segments
            .last()
            .filter(|last| last.ident == "Iterator" || last.ident == "IntoIterator")?;
        let PathArguments::AngleBracketed(arguments) = &last.arguments else {
            return None;
        };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(item) if item.ident == "Item" => Some(&item.ty),
            _ => None,
        })
    })
}
