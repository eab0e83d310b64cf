//! Generates the items of a definition.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Attribute, Ident};

use super::{
    key::{Key, Misuse, Side, names, similar_key},
    parse::{Definition, Entry, Id},
};
use crate::id;

/// The errors in the keys of a definition, combined.
#[derive(Default)]
struct Mistakes(Option<syn::Error>);

impl Mistakes {
    fn add(&mut self, span: Span, message: impl std::fmt::Display) {
        let error = syn::Error::new(span, message);
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }
}

/// The method calls on the builders of the two sides.
#[derive(Default)]
struct Calls {
    producer: TokenStream,
    consumer: TokenStream,
}

impl Calls {
    fn of(&mut self, side: Side) -> &mut TokenStream {
        match side {
            Side::Producer => &mut self.producer,
            Side::Consumer => &mut self.consumer,
        }
    }
}

/// Generates the type and its traits. They are generated even if there are errors in the keys, so that uses of the type
/// do not cause further errors.
pub(super) fn items(definition: &Definition) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let mut calls = Calls::default();
    if let Some(id) = id_call(definition, &mut mistakes) {
        calls.producer.extend(id.clone());
        calls.consumer.extend(id);
    }
    entry_calls(definition, &mut calls, &mut mistakes);

    let type_item = type_item(definition);
    let impls = definition.sides.iter().map(|side| match side {
        Side::Producer => producer_impl(definition, &calls.producer),
        Side::Consumer => consumer_impl(definition, &calls.consumer),
    });
    let mistakes = mistakes.0.map(syn::Error::into_compile_error);
    quote! {
        #mistakes
        #type_item
        #(#impls)*
    }
}

fn id_call(definition: &Definition, mistakes: &mut Mistakes) -> Option<TokenStream> {
    let krate = &definition.krate;
    match definition.id.as_ref()? {
        Id::Literal(literal) => match id::of_literal(literal) {
            Ok(bytes) => Some(quote! {
                .with_stream_id(#krate::StreamId::from_bytes([#(#bytes),*]))
            }),
            Err(error) => {
                mistakes.add(error.span(), error);
                None
            }
        },
        Id::Expr(expr) => Some(quote!(.with_stream_id(#expr))),
    }
}

fn entry_calls(definition: &Definition, calls: &mut Calls, mistakes: &mut Mistakes) {
    let mut said = HashSet::new();
    for entry in &definition.entries {
        let name = entry.key.to_string();
        let Some(key) = Key::named(&name) else {
            mistakes.add(entry.key.span(), unknown(&name));
            continue;
        };
        let prefix = entry.prefix.map(|(side, _)| side);
        let sides = match key.route(prefix, &definition.sides) {
            Ok(sides) => sides,
            Err(misuse) => {
                let span = entry.prefix.map_or(entry.key.span(), |(_, span)| span);
                mistakes.add(span, explain(misuse, key, entry, definition));
                continue;
            }
        };
        for side in sides {
            let is_again = !said.insert((key.name, side.name()));
            if is_again && !key.is_requirement {
                mistakes.add(
                    entry.key.span(),
                    format!("`{name}` is already set for the {side}"),
                );
                continue;
            }
            let method = Ident::new(key.method, entry.key.span());
            let value = &entry.value;
            calls.of(side).extend(quote!(.#method(#value)));
        }
    }
}

fn unknown(name: &str) -> String {
    match similar_key(name) {
        Some(similar) => format!("unknown key `{name}`: did you mean `{similar}`?"),
        None => format!("unknown key `{name}`; the keys are {}", names()),
    }
}

fn explain(misuse: Misuse, key: &Key, entry: &Entry, definition: &Definition) -> String {
    let (key_name, stream) = (key.name, &definition.name);
    match misuse {
        Misuse::NotOf(side) => format!(
            "`{key_name}` applies to the {} only: remove `{side}`",
            side.other()
        ),
        Misuse::Undefined(side) if key.is_requirement => format!(
            "`{} {key_name}` is checked by the {side}, which `{stream}` does not define: \
             a prefix names the side that must satisfy the requirement",
            side.other()
        ),
        Misuse::Undefined(side) if entry.prefix.is_none() && key.is_of(side.other()) => format!(
            "`{key_name}` applies to the {side}, which `{stream}` does not define: \
             write `{other} {key_name}` to set it for the {other}",
            other = side.other()
        ),
        Misuse::Undefined(side) => {
            format!("`{key_name}` applies to the {side}, which `{stream}` does not define")
        }
    }
}

fn type_item(definition: &Definition) -> TokenStream {
    let Definition {
        attrs,
        vis,
        name,
        generics,
        ..
    } = definition;
    let params: Vec<_> = generics.type_params().map(|param| &param.ident).collect();
    let body = if params.is_empty() {
        quote!(;)
    } else {
        quote!((::core::marker::PhantomData<fn() -> (#(#params,)*)>);)
    };
    quote! {
        #(#attrs)*
        #vis struct #name #generics #body
    }
}

fn producer_impl(definition: &Definition, calls: &TokenStream) -> TokenStream {
    let Definition { krate, datum, .. } = definition;
    let (network, producer) = (local("network"), local("producer"));
    trait_impl(
        definition,
        &quote!(StreamProducer),
        &quote! {
            type Producer = #krate::streams::Producer<#datum>;

            fn producer(#network: &#krate::Network) -> Self::Producer {
                match #network.streams().producer::<#datum>() #calls .build() {
                    ::core::result::Result::Ok(#producer)
                    | ::core::result::Result::Err(
                        #krate::streams::producer::BuilderError::AlreadyExists(#producer)
                    ) => #producer,
                }
            }

            fn online_producer(
                #network: &#krate::Network,
            ) -> impl ::core::future::Future<Output = Self::Producer>
                + ::core::marker::Send
                + ::core::marker::Sync
                + 'static {
                let #producer = <Self as #krate::streams::StreamProducer>::producer(#network);
                async move {
                    #producer.when().online().await;
                    #producer
                }
            }
        },
    )
}

fn consumer_impl(definition: &Definition, calls: &TokenStream) -> TokenStream {
    let Definition { krate, datum, .. } = definition;
    let (network, consumer) = (local("network"), local("consumer"));
    trait_impl(
        definition,
        &quote!(StreamConsumer),
        &quote! {
            type Consumer = #krate::streams::Consumer<#datum>;

            fn consumer(#network: &#krate::Network) -> Self::Consumer {
                #network.streams().consumer::<#datum>() #calls .build()
            }

            fn online_consumer(
                #network: &#krate::Network,
            ) -> impl ::core::future::Future<Output = Self::Consumer>
                + ::core::marker::Send
                + ::core::marker::Sync
                + 'static {
                let #consumer = <Self as #krate::streams::StreamConsumer>::consumer(#network);
                async move {
                    #consumer.when().online().await;
                    #consumer
                }
            }
        },
    )
}

fn trait_impl(definition: &Definition, name: &TokenStream, body: &TokenStream) -> TokenStream {
    let Definition {
        krate,
        attrs,
        name: stream,
        generics,
        ..
    } = definition;
    // Conditional compilation of the type applies to its traits as well.
    let cfgs = attrs
        .iter()
        .filter(|attr: &&Attribute| attr.path().is_ident("cfg"));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #(#cfgs)*
        impl #impl_generics #krate::streams::#name for #stream #type_generics #where_clause {
            #body
        }
    }
}

/// Creates a local name that cannot clash with names in the values of a definition.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
