//! [`Config`]: the configuration of an enrich operator.

use mosaik_operator_common::key::{By, same_number};
use mosaik_wasm_sdk::{Amount, Mistakes, OperatorConfig, OrderedMap, Shape};
use serde_json::value::RawValue;

/// The maximum number of fields in a key.
pub(crate) const KEY_FIELDS_MAX: usize = 8;

/// The configuration.
#[derive(Debug, OperatorConfig)]
#[config(check = check)]
pub(crate) struct Config {
    /// Fields of the record and of the table by which a row is found.
    pub(crate) by: Keys,
    /// Rows, each with another key; usually from a file by `files`.
    pub(crate) table: Vec<Row>,
    /// Fields of the row to add; in a mapping, by their new names.
    #[config(unset = "all but the key")]
    pub(crate) fields: Option<Fields>,
    /// Field that holds the added fields, as an object.
    #[config(unset = "none: they are added to the record")]
    pub(crate) into: Option<String>,
    /// What happens to a record without a row.
    #[config(default = "pass")]
    pub(crate) missing: Missing,
    /// Replace a field that the record already has, even as `null`.
    #[config(default = false)]
    pub(crate) overwrite: bool,
    /// Maximum number of rows.
    #[config(default = 100_000)]
    max_rows: usize,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row(pub(crate) Box<RawValue>);

impl OperatorConfig for Row {
    const SHAPE: &'static Shape = &Shape::Json {
        form: "mapping",
        schema: r#"{"type":"object"}"#,
    };

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        Box::<RawValue>::read(text, mistakes).map(Self)
    }
}

/// The fields by which a row is found, which may have other names in the table.
#[derive(Debug, OperatorConfig)]
#[config(shorthand(record, table))]
pub(crate) struct Keys {
    /// Fields of the record.
    #[config(min = 1, max = KEY_FIELDS_MAX, was = "datum")]
    pub(crate) record: By,
    /// Fields of the table.
    #[config(min = 1, max = KEY_FIELDS_MAX)]
    pub(crate) table: By,
}

/// The handling of records without a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, OperatorConfig)]
pub(crate) enum Missing {
    /// Passes the record unchanged.
    Pass,
    /// Drops the record.
    Drop,
    /// Rejects the record.
    Reject,
}

/// Fields of a row with their names in the output: `[country]`, or `{land: country}`.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl OperatorConfig for Fields {
    const SHAPE: &'static Shape = &Shape::Either(&[<Vec<Name>>::SHAPE, <OrderedMap<Name>>::SHAPE]);

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        let fields = match text.as_bytes().first() {
            Some(b'[') => {
                let names = Vec::<Name>::read(text, mistakes)?.into_iter();
                names.map(|Name(name)| (name.clone(), name)).collect()
            }
            Some(b'{') => {
                let names = OrderedMap::<Name>::read(text, mistakes)?.0.into_iter();
                names.map(|(new, Name(name))| (new, name)).collect()
            }
            _ => {
                mistakes.expected(
                    "a list of fields, or a mapping from new names to fields",
                    text,
                );
                return None;
            }
        };
        Some(Self(fields))
    }

    fn amount(&self) -> Option<Amount> {
        Some(Amount::Items(self.0.len()))
    }
}

/// The name of a field of a row.
#[derive(Debug)]
struct Name(String);

impl OperatorConfig for Name {
    const SHAPE: &'static Shape = &Shape::Text {
        form: "field",
        limits: "",
    };

    fn read(text: &str, mistakes: &mut Mistakes) -> Option<Self> {
        String::read(text, mistakes).map(Self)
    }
}

fn check(config: &Config, mistakes: &mut Mistakes) {
    let Keys { record, table } = &config.by;
    same_number([("record", record), ("table", table)], mistakes);
    let (rows, most) = (config.table.len(), config.max_rows);
    if rows > most {
        mistakes.add_at(
            "table",
            format_args!("{rows} rows are more than {most} (max_rows)"),
        );
    }
    if let Some(Fields(fields)) = &config.fields {
        for (index, (name, _)) in fields.iter().enumerate() {
            if fields.iter().take(index).any(|(other, _)| other == name) {
                mistakes.add_at(
                    "fields",
                    format_args!("two fields would be called `{name}`"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaik_wasm_sdk::testing::documented;

    #[test]
    fn the_reference_is_generated() {
        documented::<Config>(env!("CARGO_MANIFEST_DIR"));
    }
}
