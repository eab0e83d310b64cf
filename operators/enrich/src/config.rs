//! [`Config`]: the configuration of an enrich operator.

use mosaik_operator_common::key::By;
use mosaik_operator_common::pair::pair;
use mosaik_wasm_sdk::{Result, ensure, parse_config};
use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The maximum number of fields in a key.
pub(crate) const KEY_FIELDS_MAX: usize = 8;

/// The configuration.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The fields of the record and of the row by which a row is found.
    #[serde(deserialize_with = "by_sides")]
    pub(crate) by: [By; 2],
    /// The rows, each an object.
    pub(crate) table: Vec<Box<RawValue>>,
    /// The fields of the row to add; all except the key fields if not set.
    pub(crate) fields: Option<Fields>,
    /// The field that contains the added fields as an object; if not set, they are added next to the record's own
    /// fields.
    pub(crate) into: Option<String>,
    /// The handling of records without a row.
    #[serde(default)]
    pub(crate) missing: Missing,
    /// True if a field that the record already has is replaced.
    #[serde(default)]
    pub(crate) overwrite: bool,
    /// The maximum number of rows.
    #[serde(default = "max_rows")]
    pub(crate) max_rows: usize,
}

fn max_rows() -> usize {
    100_000
}

fn by_sides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[By; 2], D::Error> {
    pair(deserializer, ["datum", "table"])
}

/// The handling of records without a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    /// Passes the record unchanged.
    #[default]
    Pass,
    /// Drops the record.
    Drop,
    /// Rejects the record.
    Reject,
}

/// Fields of a row with their names in the output: `[country]`, or `{land: country}`.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of fields, or a map from new names to fields")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = seq.next_element::<String>()? {
                    fields.push((field.clone(), field));
                }
                Ok(Fields(fields))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_any(FieldsVisitor)
    }
}

impl Config {
    /// Parses and validates a configuration, except for its rows.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let config: Self = parse_config(text)?;
        let [datum, table] = &config.by;
        let (count, other) = (datum.0.len(), table.0.len());
        ensure!(
            count == other,
            "config.by: {count} fields of the datum, and {other} of the table"
        );
        ensure!(
            (1..=KEY_FIELDS_MAX).contains(&count),
            "config.by: a key has 1 to {KEY_FIELDS_MAX} fields, not {count}"
        );
        let (rows, most) = (config.table.len(), config.max_rows);
        ensure!(
            rows <= most,
            "config.table: {rows} rows are more than {most} (max_rows)"
        );
        if let Some(Fields(fields)) = &config.fields {
            for (index, (name, _)) in fields.iter().enumerate() {
                ensure!(
                    !fields.iter().take(index).any(|(other, _)| other == name),
                    "config.fields: two fields would be called `{name}`"
                );
            }
        }
        Ok(config)
    }
}
