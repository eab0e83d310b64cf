//! The syntax of a definition: `#[attributes] visibility [producer|consumer] Name<Generics> = Datum [, id] [, key:
//! value]*`.

use proc_macro2::{Span, TokenStream};
use syn::{
    Attribute, Expr, Generics, Ident, LitStr, Token, Type, Visibility,
    ext::IdentExt,
    parenthesized,
    parse::{Parse, ParseStream},
};

use super::key::{Key, Side, similar};

/// A parsed stream definition.
pub(super) struct Definition {
    /// The path of `mosaik-streams`, as passed by its macro.
    pub(super) krate: TokenStream,
    pub(super) attrs: Vec<Attribute>,
    pub(super) vis: Visibility,
    /// The sides that it defines.
    pub(super) sides: Vec<Side>,
    pub(super) name: Ident,
    pub(super) generics: Generics,
    pub(super) datum: Type,
    pub(super) id: Option<Id>,
    pub(super) entries: Vec<Entry>,
}

pub(super) enum Id {
    Literal(LitStr),
    Expr(Expr),
}

/// `[producer|consumer] key: value`
pub(super) struct Entry {
    pub(super) prefix: Option<(Side, Span)>,
    pub(super) key: Ident,
    pub(super) value: Expr,
}

impl Parse for Definition {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let krate;
        parenthesized!(krate in input);
        let krate = krate.parse()?;
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sides = parse_mode(input)?;
        let name = parse_name(input)?;
        let generics = input.parse()?;
        if !input.peek(Token![=]) {
            return Err(input.error(format!(
                "expected `=` and the record type: `{name} = Datum`"
            )));
        }
        input.parse::<Token![=]>()?;
        if input.is_empty() || input.peek(Token![,]) || input.peek(LitStr) {
            return Err(input.error("expected the record type of the stream"));
        }
        let datum = input.parse()?;
        let mut definition = Self {
            krate,
            attrs,
            vis,
            sides,
            name,
            generics,
            datum,
            id: None,
            entries: Vec::new(),
        };
        definition.parse_rest(input)?;
        Ok(definition)
    }
}

fn parse_mode(input: ParseStream<'_>) -> syn::Result<Vec<Side>> {
    if !(input.peek(Ident::peek_any) && input.peek2(Ident)) {
        return Ok(Side::BOTH.into());
    }
    let mode = input.call(Ident::parse_any)?;
    match Side::named(&mode.to_string()) {
        Some(side) => Ok(vec![side]),
        None => Err(syn::Error::new(
            mode.span(),
            "expected `producer`, `consumer`, or only the name of the stream",
        )),
    }
}

fn parse_name(input: ParseStream<'_>) -> syn::Result<Ident> {
    if input.is_empty() {
        return Err(
            input.error("expected the name and record type of a stream: `pub Name = Datum`")
        );
    }
    input.parse()
}

impl Definition {
    /// Parses everything after the type.
    fn parse_rest(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let mut is_first = true;
        while !input.is_empty() {
            if !input.peek(Token![,]) {
                return Err(input.error("expected `,`"));
            }
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            if starts_entry(input) {
                self.entries.push(input.parse()?);
            } else if !is_first {
                let message = if input.peek(LitStr) {
                    "the id of a stream must directly follow its record type, once"
                } else {
                    "expected a key and its value: `key: value`"
                };
                return Err(input.error(message));
            } else if input.peek(LitStr) && !input.peek2(Token![.]) {
                self.id = Some(Id::Literal(input.parse()?));
            } else {
                self.id = Some(Id::Expr(input.parse()?));
            }
            is_first = false;
        }
        Ok(())
    }
}

/// Returns true if the next tokens are meant as `[side] key: value`, well-formed or not, rather than as the id.
fn starts_entry(input: ParseStream<'_>) -> bool {
    let is_alone = input.peek2(Token![::]) || input.peek2(syn::token::Paren);
    if !input.peek(Ident) || is_alone {
        return false;
    }
    let is_assigned = input.peek2(Token![=]) && !input.peek2(Token![==]);
    let is_known = || {
        let word = input.fork().parse::<Ident>();
        word.is_ok_and(|word| Key::named(&word.to_string()).is_some())
    };
    input.peek2(Token![:]) || input.peek2(Ident) || is_assigned || is_known()
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let prefix = if input.peek2(Ident) {
            Some(parse_prefix(input)?)
        } else {
            None
        };
        let key: Ident = input.parse()?;
        if !input.peek(Token![:]) {
            return Err(input.error(format!("expected `:` and the value of `{key}`")));
        }
        input.parse::<Token![:]>()?;
        if input.is_empty() || input.peek(Token![,]) {
            return Err(input.error(format!("expected the value of `{key}`")));
        }
        Ok(Self {
            prefix,
            value: input.parse()?,
            key,
        })
    }
}

fn parse_prefix(input: ParseStream<'_>) -> syn::Result<(Side, Span)> {
    let word: Ident = input.parse()?;
    let text = word.to_string();
    if let Some(side) = Side::named(&text) {
        return Ok((side, word.span()));
    }
    let names = Side::BOTH.map(Side::name);
    let message = match similar(&text, names) {
        Some(name) => format!("unknown side `{text}`: did you mean `{name}`?"),
        None if Key::named(&text).is_some() => {
            format!("expected `:` and the value of `{text}` after it")
        }
        None => format!("unknown side `{text}`: expected `producer` or `consumer`"),
    };
    Err(syn::Error::new(word.span(), message))
}
