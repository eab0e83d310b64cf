//! `#[derive(OperatorConfig)]`: a struct with one field per key, or an enum with one variant per word.

mod attributes;
mod field;
mod item;

pub(crate) use item::expand;
