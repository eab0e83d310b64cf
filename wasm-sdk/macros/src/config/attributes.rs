//! The arguments of `#[config(…)]`, on a type and on a field.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, Result, Token, UnOp};

/// The arguments on a type.
#[derive(Default)]
pub(super) struct TypeArguments {
    /// `serde`: serde reads the type.
    pub(super) serde: bool,
    /// `schema = …`: the JSON Schema of a type that serde reads.
    pub(super) schema: Option<Expr>,
    /// `shorthand(key)`: the keys for which a value may stand in place of the mapping.
    pub(super) shorthand: Vec<Ident>,
    /// `one_of(a, b)`: exactly one of these keys is required.
    pub(super) one_of: Vec<Ident>,
    /// `definitions = …`: the `$defs` of the schema.
    pub(super) definitions: Option<Expr>,
    /// `check = function`: checks what a single key cannot.
    pub(super) check: Option<Path>,
}

/// The arguments on a field or a variant.
#[derive(Default)]
pub(super) struct FieldArguments {
    /// `name = "…"`.
    pub(super) name: Option<LitStr>,
    /// `was = "…"`: a former name, which is refused with the present one.
    pub(super) was: Option<LitStr>,
    /// `default = …`, as written in a manifest.
    pub(super) default: Option<Expr>,
    /// `unset = "…"`: what holds if the key is missing.
    pub(super) unset: Option<LitStr>,
    /// `min = …`.
    pub(super) min: Option<Expr>,
    /// `max = …`.
    pub(super) max: Option<Expr>,
    /// `requires(key)`.
    pub(super) requires: Vec<Ident>,
    /// `conflicts(key)`.
    pub(super) conflicts: Vec<Ident>,
    /// `serde`: serde reads the value.
    pub(super) serde: bool,
    /// `schema = …`: the JSON Schema of a value that serde reads.
    pub(super) schema: Option<Expr>,
}

impl TypeArguments {
    pub(super) fn of(attributes: &[Attribute]) -> Result<Self> {
        let mut all = Self::default();
        each(attributes, |meta, name| {
            match name {
                "serde" => all.serde = true,
                "schema" => all.schema = Some(meta.value()?.parse()?),
                "shorthand" => all.shorthand = names(meta)?,
                "one_of" => all.one_of = names(meta)?,
                "definitions" => all.definitions = Some(meta.value()?.parse()?),
                "check" => all.check = Some(meta.value()?.parse()?),
                _ => {
                    return Err(meta.error(
                        "unknown argument; on a type there are `shorthand(key)`, `one_of(a, b)`, `check = function`, \
                         `definitions = \"…\"`, `serde` and `schema = include_str!(…)`",
                    ));
                }
            }
            Ok(())
        })?;
        schema_with_serde(all.schema.as_ref(), all.serde)?;
        Ok(all)
    }
}

fn schema_with_serde(schema: Option<&Expr>, serde: bool) -> Result<()> {
    match schema {
        Some(schema) if !serde => Err(Error::new_spanned(
            schema,
            "`schema` belongs to `serde`; otherwise the schema is generated",
        )),
        _ => Ok(()),
    }
}

impl FieldArguments {
    pub(super) fn of(attributes: &[Attribute]) -> Result<Self> {
        let mut all = Self::default();
        each(attributes, |meta, name| {
            match name {
                "name" => all.name = Some(meta.value()?.parse()?),
                "was" => all.was = Some(meta.value()?.parse()?),
                "default" => all.default = Some(meta.value()?.parse()?),
                "unset" => all.unset = Some(meta.value()?.parse()?),
                "min" => all.min = Some(meta.value()?.parse()?),
                "max" => all.max = Some(meta.value()?.parse()?),
                "requires" => all.requires = names(meta)?,
                "conflicts" => all.conflicts = names(meta)?,
                "serde" => all.serde = true,
                "schema" => all.schema = Some(meta.value()?.parse()?),
                _ => {
                    return Err(meta.error(
                        "unknown argument; on a field there are `default = …`, `unset = \"…\"`, `min = …`, `max = …`, \
                         `requires(key)`, `conflicts(key)`, `name = \"…\"`, `was = \"…\"`, `serde` and `schema = …`",
                    ));
                }
            }
            Ok(())
        })?;
        schema_with_serde(all.schema.as_ref(), all.serde)?;
        if let (Some(default), Some(_)) = (&all.default, &all.unset) {
            return Err(Error::new_spanned(
                default,
                "a key with a default is never unset: remove `default` or `unset`",
            ));
        }
        Ok(all)
    }
}

fn each(
    attributes: &[Attribute],
    mut read: impl FnMut(&ParseNestedMeta<'_>, &str) -> Result<()>,
) -> Result<()> {
    for attribute in attributes {
        if attribute.path().is_ident("config") {
            attribute.parse_nested_meta(|meta| {
                let name = meta.path.get_ident().map(ToString::to_string);
                read(&meta, &name.unwrap_or_default())
            })?;
        }
    }
    Ok(())
}

fn names(meta: &ParseNestedMeta<'_>) -> Result<Vec<Ident>> {
    let content;
    syn::parenthesized!(content in meta.input);
    let names = Punctuated::<Ident, Token![,]>::parse_terminated(&content)?;
    Ok(names.into_iter().collect())
}

/// Returns a name as in a manifest: without `r#`.
pub(super) fn plain(name: &Ident) -> String {
    let name = name.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

/// Returns the doc comment as one line.
pub(super) fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(meta) = &attribute.meta else {
            return None;
        };
        let Expr::Lit(ExprLit {
            lit: Lit::Str(line),
            ..
        }) = &meta.value
        else {
            return None;
        };
        meta.path
            .is_ident("doc")
            .then(|| line.value().trim().to_owned())
    });
    // Further paragraphs are for readers of the code.
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// Returns a literal as JSON.
pub(super) fn json(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => {
                let text = text.value();
                Ok(format!(
                    "\"{}\"",
                    text.replace('\\', "\\\\").replace('"', "\\\"")
                ))
            }
            Lit::Int(number) => Ok(number.base10_digits().to_owned()),
            Lit::Float(number) => Ok(number.base10_digits().to_owned()),
            Lit::Bool(word) => Ok(word.value.to_string()),
            other => Err(not_a_value(other)),
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => {
            Ok(format!("-{}", json(&unary.expr)?))
        }
        Expr::Array(list) => {
            let items = list.elems.iter().map(json).collect::<Result<Vec<_>>>()?;
            Ok(format!("[{}]", items.join(",")))
        }
        other => Err(not_a_value(other)),
    }
}

fn not_a_value(value: &impl quote::ToTokens) -> Error {
    Error::new_spanned(
        value,
        "a default is written as in a manifest: a text, a number, `true`, `false` or a list",
    )
}

/// Returns an `Option<i64>` in code.
pub(super) fn bound(bound: Option<&Expr>) -> TokenStream {
    let none = || quote!(::core::option::Option::None);
    bound.map_or_else(
        none,
        |bound| quote!(::core::option::Option::Some((#bound) as i64)),
    )
}
